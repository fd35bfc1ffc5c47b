"""How likely answers are: by token, and by prompt.

Shapes: B prompts, X answer tokens of all prompts.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class AnswerLoss(NamedTuple):
    """Negative log-likelihood of the answers: sum over each prompt's answer tokens and their number, ``(B,)``."""

    sum_B: Tensor
    tokens_B: Tensor

    @property
    def mean_B(self) -> Tensor:
        """Mean over each prompt's answer tokens."""
        return self.sum_B / self.tokens_B

    @property
    def mean(self) -> Tensor:
        """Mean over all answer tokens of the batch."""
        return self.sum_B.sum() / self.tokens_B.sum()


class TokenLosses(NamedTuple):
    """Negative log-likelihood of each answer token, over all prompts in order.

    Attributes:
        losses_X: nats, float32.
        rows_X: the prompt of each token.
        ids_X: the token itself.
        distances_X: how far its distribution lies from a teacher's (KL, nats, float32), where there is a teacher.
    """

    losses_X: Tensor
    rows_X: Tensor
    ids_X: Tensor
    distances_X: Tensor | None = None

    def by_prompt(self, count: int) -> AnswerLoss:
        """Added up for each of ``count`` prompts."""
        sums_B = self.losses_X.new_zeros(count).index_add(0, self.rows_X, self.losses_X)
        return AnswerLoss(sums_B, self.rows_X.bincount(minlength=count))
