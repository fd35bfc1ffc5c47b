"""The layer between scores and generator: hard documents forward, backward what its estimators say.

Shapes: B questions, N candidates, K slots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from clara_lightning.errors import ClaraError
from clara_lightning.objectives.estimators import DEFAULT, SETTING, Choice, Estimator, LeaveOneOut, Teacher
from clara_lightning.objectives.gradients import MOST_SAMPLES, success_weights
from clara_lightning.objectives.topk import best_first, check_enough_candidates, gumbel_noise


class Selected(NamedTuple):
    """What a batch takes.

    Attributes:
        selection_BKN: exactly one-hot rows, which carry the gradient of estimators with rows.
        indices_BK: the same choice as candidate numbers, in the order of the slots.
        loss_B: weighted sum of the losses of estimators that have one; ``None`` without.
        successes: by estimator with a ``success_temperature`` where its questions' weights go.
    """

    selection_BKN: Tensor
    indices_BK: Tensor
    loss_B: Tensor | None
    successes: tuple[tuple[float, list[Tensor]], ...]

    def weigh(self, losses_B: Tensor, losses_without_B: Tensor) -> None:
        """Say what the answers cost, before gradients flow; see ``success_temperature``."""
        for temperature, holder in self.successes:
            holder.append(success_weights(losses_B, losses_without_B, temperature=temperature))


class Selection(nn.Module):
    """The layer between scores and generator: hard documents forward, the estimators' gradient backward.

    Args:
        k: documents that the generator reads.
        estimators: how the scores are taught; their signals are summed. Where one of them needs documents that are
            drawn, the batch's documents are drawn, for all of them; in evaluation the best are taken.
        temperature: tau of the scores' distribution, at the first step.
        final_temperature: at the last; between them it falls or rises by the same factor each step. By default it
            stays.
        learned: tau is trained along, as its logarithm.
        standardised: divide each question's scores by their spread over its candidates first.

    Raises:
        ClaraError: a setting is out of range.
    """

    def __init__(
        self,
        *,
        k: int,
        estimators: Sequence[Estimator] = DEFAULT,
        temperature: float = 0.02,
        final_temperature: float | None = None,
        learned: bool = False,
        standardised: bool = False,
    ) -> None:
        super().__init__()
        if k < 1:
            raise ClaraError(f"top_k must be >= 1, got {k}")
        for name, value in (("temperature", temperature), ("final_temperature", final_temperature)):
            if value is not None and not value > 0:
                raise ClaraError(f"{name} must be > 0, got {value}")
        if learned and final_temperature is not None:
            raise ClaraError("final_temperature must not be given where the temperature is learned")
        if not estimators:
            raise ClaraError(f"{SETTING} must not be empty: the scores would learn nothing")
        if any(isinstance(each, LeaveOneOut) for each in estimators) and not 2 <= k <= MOST_SAMPLES:
            raise ClaraError(f"top_k must be from 2 to {MOST_SAMPLES} with the estimator LeaveOneOut, got {k}")
        self.k = k
        self.estimators = tuple(estimators)
        self._ends = (temperature, temperature if final_temperature is None else final_temperature)
        self._present = temperature
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature))) if learned else None
        self.standardised = standardised

    @property
    def tau(self) -> float | Tensor:
        """The temperature at present; a tensor with gradient, where it is learned."""
        return self._present if self.log_temperature is None else self.log_temperature.exp()

    @property
    def temperature(self) -> float:
        """The same, as a number."""
        return self._present if self.log_temperature is None else math.exp(self.log_temperature.item())

    def reach(self, progress: float) -> None:
        """Set the temperature for a share of the run, from 0 at the first step to 1 at the last."""
        first, last = self._ends
        self._present = first * (last / first) ** progress

    @property
    def has_losses(self) -> bool:
        """Whether some estimator has a loss of its own."""
        return any(each.has_loss for each in self.estimators)

    @property
    def has_rows(self) -> bool:
        """Whether the loss of the answer teaches the scores."""
        return any(each.has_rows for each in self.estimators)

    @property
    def only_rows(self) -> bool:
        """Whether nothing else teaches them."""
        return not any(each.has_loss for each in self.estimators)

    @property
    def learns_from_gold(self) -> bool:
        """Whether gold documents teach the scores."""
        return any(each.needs_gold for each in self.estimators)

    @property
    def needs_gold(self) -> bool:
        """Whether nothing else does."""
        return all(each.needs_gold for each in self.estimators)

    @property
    def weighs_success(self) -> bool:
        """Whether it has to be told what the answers cost; see :meth:`Selected.weigh`."""
        return any(each.success_temperature is not None for each in self.estimators)

    def logits(self, scores_BN: Tensor, mask_BN: Tensor | None = None) -> Tensor:
        """Scores over the temperature, in fp32 or wider; minus infinity where there is no candidate."""
        scores_BN = scores_BN.to(torch.promote_types(scores_BN.dtype, torch.float32))
        if self.standardised:
            scores_BN = standardise(scores_BN, mask_BN)
        logits_BN = scores_BN / self.tau
        return logits_BN if mask_BN is None else logits_BN.masked_fill(~mask_BN, -torch.inf)

    def forward(self, scores_BN: Tensor, mask_BN: Tensor | None, teacher: Teacher) -> Selected:
        """Select k documents for each question.

        Args:
            scores_BN: finite scores of the candidates.
            mask_BN: True where a candidate exists; None means everywhere.
            teacher: asked by estimators that need it, and not in evaluation.

        Raises:
            ClaraError: k exceeds the candidates of a question.
        """
        check_enough_candidates(scores_BN, mask_BN, k=self.k)
        logits_BN = self.logits(scores_BN, mask_BN)
        taught = self.training and logits_BN.requires_grad
        drawn = taught and any(each.draws for each in self.estimators)
        noise_BN = gumbel_noise(logits_BN.detach()) if drawn else torch.zeros_like(logits_BN)
        order_BN = best_first(logits_BN + noise_BN)
        indices_BK = order_BN[:, : self.k]
        selection_BKN = one_hot(indices_BK, logits_BN.shape[1]).to(logits_BN.dtype)
        if not taught:
            return Selected(selection_BKN, indices_BK, None, ())
        return self._taught(Choice(logits_BN, noise_BN, order_BN, self.k, self.tau), selection_BKN, teacher)

    def _taught(self, choice: Choice, selection_BKN: Tensor, teacher: Teacher) -> Selected:
        losses: list[Tensor] = []
        successes: list[tuple[float, list[Tensor]]] = []
        for each in self.estimators:
            logits_BN, temperature = choice.logits_BN, each.success_temperature
            if temperature is not None:
                logits_BN = logits_BN.clone()
                successes.append((temperature, _weighed(logits_BN)))
            rows_BKN, loss_B = each(choice._replace(logits_BN=logits_BN), teacher)
            if rows_BKN is not None:
                selection_BKN = selection_BKN + each.weight * (rows_BKN - rows_BKN.detach())
            if loss_B is not None:
                losses.append(each.weight * loss_B)
        loss_B = torch.stack(losses).sum(0) if losses else None
        return Selected(selection_BKN, choice.taken_BK, loss_B, tuple(successes))

    def extra_repr(self) -> str:
        """Name the settings in ``print(module)``."""
        return f"k={self.k}, temperature={self.temperature}, estimators={self.estimators}"


def _weighed(logits_BN: Tensor) -> list[Tensor]:
    """Where a weight of each question goes, before gradients flow back through its logits."""
    holder: list[Tensor] = []
    logits_BN.register_hook(lambda gradient_BN: gradient_BN * holder[0].unsqueeze(1).to(gradient_BN.dtype))
    return holder


def standardise(scores_BN: Tensor, mask_BN: Tensor | None = None) -> Tensor:
    """Scores of each question with mean 0 and spread 1 over its candidates; 0 where all score alike.

    Args:
        scores_BN: finite scores.
        mask_BN: True where a candidate exists; None means everywhere. The others come out as 0.
    """
    mask_BN = torch.ones_like(scores_BN, dtype=torch.bool) if mask_BN is None else mask_BN
    count_B1 = mask_BN.sum(dim=-1, keepdim=True).clamp_min(1)
    mean_B1 = scores_BN.masked_fill(~mask_BN, 0.0).sum(dim=-1, keepdim=True) / count_B1
    centred_BN = (scores_BN - mean_B1).masked_fill(~mask_BN, 0.0)
    variance_B1 = centred_BN.square().sum(dim=-1, keepdim=True) / count_B1
    # The root has an infinite gradient at 0, and scores that are all alike tell nothing.
    alike_B1 = variance_B1 <= 1e-12
    spread_B1 = variance_B1.masked_fill(alike_B1, 1.0).sqrt()
    return centred_BN / spread_B1.masked_fill(alike_B1, torch.inf)
