"""From easy to hard: in the first part of a run some documents stand as text, or memories are long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clara_lightning.errors import ClaraError


@dataclass(frozen=True)
class CurriculumConfig:
    """The generator first learns what is asked of it from text, which it can read already.

    Args:
        text_share: share of the examples whose documents stand as text in the first step; it falls in a straight line.
        until: part of the run after which no document stands as text, and all lengths are trained.
        growing_rates: of a compressor for several lengths the longest is trained alone at first, and the shorter join
            it one by one.
    """

    text_share: float = 0.0
    until: float = 0.3
    growing_rates: bool = False

    def __post_init__(self) -> None:
        for name, value in (("text_share", self.text_share), ("until", self.until)):
            if not 0.0 <= value <= 1.0:
                raise ClaraError(f"model.init_args.curriculum.{name} must be in [0, 1], got {value}")

    def share(self, step: int, *, total: int) -> float:
        """Share of the examples that are read as text at an optimizer step of ``total``.

        Example:
            >>> [round(CurriculumConfig(0.8, 0.5).share(step, total=100), 2) for step in (0, 25, 50, 90)]
            [0.8, 0.4, 0.0, 0.0]
        """
        length = self.until * total
        return self.text_share * max(0.0, 1.0 - step / length) if length else 0.0

    def lengths(self, nested: Sequence[int], step: int, *, total: int) -> Sequence[int]:
        """Those of the lengths, which are in rising order, that an optimizer step of ``total`` draws from.

        Example:
            >>> growing = CurriculumConfig(growing_rates=True, until=0.6)
            >>> [list(growing.lengths((4, 16, 64), step, total=100)) for step in (0, 20, 40)]
            [[64], [16, 64], [4, 16, 64]]
        """
        if not self.growing_rates or step >= self.until * total:
            return nested
        joined = 1 + int(step / (self.until * total) * len(nested))
        return nested[-joined:]
