"""Bootstrap over questions: how much a figure would move with other questions of the same kind.

Shapes: R resamples, Q questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clara_lightning.errors import ClaraError

RESAMPLES = 2000
LEVEL = 0.95

Array = NDArray[np.float64]


class Difference(NamedTuple):
    """A paired difference: its value, its interval, and the two-sided p-value of "there is none"."""

    value: float
    low: float
    high: float
    p_value: float


class Bootstrap:
    r"""Resamples of Q questions, the same for every figure, so that figures can be compared pair by pair.

    A figure over all questions is a ratio of sums, :math:`\sum_q w_q a_q / \sum_q w_q b_q`: a mean has
    :math:`b = 1`, a cross-entropy per token the answers' lengths. :math:`w_q` counts how often question q was drawn:
    once for the figure itself, and in a resample as chance has it, Q draws with replacement (Efron 1979). A *sample* is
    an array ``(1 + R,)``: the figure, then its value in every resample; arithmetic on samples gives samples.

    Args:
        num_questions: Q.
        resamples: R.
        seed: of the draws.

    Raises:
        ClaraError: a number is below 1.

    Example:
        >>> bootstrap = Bootstrap(4, resamples=500, seed=0)
        >>> bootstrap.interval(bootstrap.ratio([1.0, 0.0, 1.0, 1.0]))
        (0.75, 0.25, 1.0)
    """

    def __init__(self, num_questions: int, *, resamples: int = RESAMPLES, seed: int = 0) -> None:
        for name, value in (("questions", num_questions), ("resamples", resamples)):
            if value < 1:
                raise ClaraError(f"{name} must be >= 1, got {value}")
        draws_RQ = np.random.default_rng(seed).multinomial(
            num_questions, np.full(num_questions, 1 / num_questions), size=resamples
        )
        self._weights: Array = np.concatenate([np.ones((1, num_questions)), draws_RQ])

    def ratio(self, numerators_Q: Sequence[float], denominators_Q: Sequence[float] | None = None) -> Array:
        """The sample of a ratio of sums; without denominators of a mean. ``nan`` where the denominators sum to 0."""
        above = self._weights @ np.asarray(numerators_Q, dtype=np.float64)
        ones = np.ones(self._weights.shape[1])
        below = self._weights @ (ones if denominators_Q is None else np.asarray(denominators_Q, dtype=np.float64))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(below == 0, np.nan, above / below)

    @staticmethod
    def interval(sample: Array) -> tuple[float, float, float]:
        """A figure's value and the limits of its 95 % percentile interval.

        Resamples in which it is not defined are left out. A figure that is not defined itself has no interval.
        """
        if not np.isfinite(sample[0]):
            return (float("nan"),) * 3
        drawn = sample[1:][np.isfinite(sample[1:])]
        if not len(drawn):
            return float(sample[0]), float("nan"), float("nan")
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(sample[0]), float(low), float(high)

    @classmethod
    def difference(cls, ours: Array, theirs: Array) -> Difference:
        """``ours - theirs``, question by question.

        The p-value is twice the share of resamples on the smaller side of 0, where one that is exactly 0 counts on both
        sides; at most 1, and at least 1 / R, since R resamples cannot show less.
        """
        sample = ours - theirs
        value, low, high = cls.interval(sample)
        drawn = sample[1:][np.isfinite(sample[1:])]
        if not np.isfinite(value) or not len(drawn):
            return Difference(value, low, high, float("nan"))
        smaller = min((drawn <= 0).mean(), (drawn >= 0).mean())
        return Difference(value, low, high, float(min(1.0, max(2 * smaller, 1 / len(drawn)))))
