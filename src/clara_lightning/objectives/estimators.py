"""How the answer's loss reaches the retriever: estimators behind one Protocol, and the selection that sums them.

Shapes: B questions, N candidates, K slots, M documents that are read alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from clara_lightning.errors import ClaraError
from clara_lightning.objectives.gradients import (
    MOST_SAMPLES,
    distillation,
    leave_one_out,
    reinmax_rows,
    success_weights,
)
from clara_lightning.objectives.topk import PUBLISHED_LEAK, best_first, check_enough_candidates, gumbel_noise, slot_rows

SETTING = "model.init_args.estimators"


class Teacher(Protocol):
    """What an estimator may ask about a batch beside its scores."""

    @property
    def has_gold_B(self) -> Tensor:
        """Which questions have a gold document."""
        ...

    def alone(self, places_BM: Tensor, asked_B: Tensor | None = None) -> Tensor:
        """What each answer costs from single candidates.

        Args:
            places_BM: which are read, one by one.
            asked_B: questions for which they are; None means all.

        Returns:
            ``(B, M)`` nats an answer token, without gradient; zeros for questions that are not asked.
        """
        ...

    def contrast(self, *, temperature: float | Tensor, in_batch: bool) -> Tensor:
        """:func:`~clara_lightning.objectives.losses.info_nce` of each question ``(B,)``; 0 where no document is gold.

        Args:
            temperature: of the loss.
            in_batch: against the candidates of all questions, or a question's own alone.
        """
        ...


class Choice(NamedTuple):
    """What each question chooses from, and the order in which it takes it.

    Attributes:
        logits_BN: scores over the temperature, with gradient; minus infinity where there is no candidate.
        noise_BN: what was added before the order was made; zeros where the best are taken.
        order_BN: candidates in the order in which slots take them, those that are not there last.
        k: slots.
        tau: what the scores were divided by.
    """

    logits_BN: Tensor
    noise_BN: Tensor
    order_BN: Tensor
    k: int
    tau: float | Tensor

    @property
    def taken_BK(self) -> Tensor:
        """Candidates that are taken."""
        return self.order_BN[:, : self.k]


class Signal(NamedTuple):
    """How scores are taught: by rows that stand behind the hard choice, by a loss of their own, or both.

    Attributes:
        rows_BKN: whose gradient the selection has; only differences count.
        loss_B: of each question.
    """

    rows_BKN: Tensor | None = None
    loss_B: Tensor | None = None


class Estimator(Protocol):
    """Gives the scores a gradient.

    Attributes:
        weight: in a sum of estimators.
        success_temperature: T of :func:`~clara_lightning.objectives.gradients.success_weights`; ``None``: all
            questions teach alike.
        draws: whether it needs documents drawn by the scores, and not the best.
        has_rows: whether the loss of the answer teaches, through the documents that are taken.
        has_loss: whether a loss of its own teaches.
        needs_gold: whether questions without a gold document teach nothing.
    """

    @property
    def weight(self) -> float: ...
    @property
    def success_temperature(self) -> float | None: ...
    @property
    def draws(self) -> bool: ...
    @property
    def has_rows(self) -> bool: ...
    @property
    def has_loss(self) -> bool: ...
    @property
    def needs_gold(self) -> bool: ...

    def __call__(self, choice: Choice, teacher: Teacher) -> Signal:
        """The signal of one batch."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Weighted:
    """What all estimators have.

    Args:
        weight: in a sum of estimators.
        success_temperature: T of the weight ``exp(-(loss - loss without documents) / T)`` of each question, in nats an
            answer token; by default all questions teach alike.

    Raises:
        ClaraError: one of them is not above 0.
    """

    weight: float = 1.0
    success_temperature: float | None = None

    def __post_init__(self) -> None:
        for name in ("weight", "success_temperature", "temperature"):
            value = getattr(self, name, None)
            if value is not None and not value > 0:
                raise ClaraError(f"{SETTING}: {name} of {type(self).__name__} must be > 0, got {value}")

    @property
    def draws(self) -> bool:
        """No: the best are taken."""
        return False

    @property
    def has_rows(self) -> bool:
        """Yes."""
        return True

    @property
    def has_loss(self) -> bool:
        """No: it has rows."""
        return False

    @property
    def needs_gold(self) -> bool:
        """No."""
        return False


class _OwnLoss(_Weighted):
    """What estimators have that teach by a loss of their own."""

    @property
    def has_rows(self) -> bool:
        """No: it has a loss."""
        return False

    @property
    def has_loss(self) -> bool:
        """Yes."""
        return True


@dataclass(frozen=True, kw_only=True)
class StraightThrough(_Weighted):
    """Forward the best documents, backward their soft mixture, without mass on what earlier slots took."""

    def __call__(self, choice: Choice, teacher: Teacher) -> Signal:
        """See :class:`Estimator`."""
        return Signal(rows_BKN=slot_rows(choice.logits_BN, choice.order_BN, k=choice.k))


@dataclass(frozen=True, kw_only=True)
class Published(StraightThrough):
    """As :class:`StraightThrough`, but the mask of what is taken leaks (the reference's), for comparison."""

    def __call__(self, choice: Choice, teacher: Teacher) -> Signal:
        """See :class:`Estimator`."""
        return Signal(rows_BKN=slot_rows(choice.logits_BN, choice.order_BN, k=choice.k, leak=PUBLISHED_LEAK))


@dataclass(frozen=True, kw_only=True)
class Gumbel(_Weighted):
    """Documents are drawn without replacement (Gumbel top-k); backward the soft choice under the same noise."""

    @property
    def draws(self) -> bool:
        """Yes."""
        return True

    def __call__(self, choice: Choice, teacher: Teacher) -> Signal:
        """See :class:`Estimator`."""
        return Signal(rows_BKN=slot_rows(choice.logits_BN + choice.noise_BN, choice.order_BN, k=choice.k))


@dataclass(frozen=True, kw_only=True)
class ReinMax(Gumbel):
    """Documents are drawn without replacement; backward the soft choice to second order."""

    def __call__(self, choice: Choice, teacher: Teacher) -> Signal:
        """See :class:`Estimator`."""
        soft_BKN = slot_rows(choice.logits_BN, choice.order_BN, k=choice.k)
        hard_BKN = one_hot(choice.taken_BK, choice.logits_BN.shape[1]).to(soft_BKN.dtype)
        return Signal(rows_BKN=reinmax_rows(soft_BKN, choice.logits_BN, hard_BKN))


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut(_OwnLoss):
    """REINFORCE (RLOO): the documents drawn are read one by one, and each is compared with the others.

    Its gradient is, in the mean, that of what the answer costs from one document that the scores draw. It needs
    ``top_k`` from 2 to 8.
    """

    @property
    def draws(self) -> bool:
        """Yes."""
        return True

    def __call__(self, choice: Choice, teacher: Teacher) -> Signal:
        """See :class:`Estimator`."""
        log_shares_BN = choice.logits_BN.log_softmax(dim=-1)
        outside_B = log_shares_BN.detach().scatter(1, choice.taken_BK, -torch.inf).logsumexp(dim=-1)
        losses_BK = teacher.alone(choice.taken_BK)
        return Signal(loss_B=leave_one_out(log_shares_BN.gather(1, choice.taken_BK), outside_B, losses_BK))


@dataclass(frozen=True, kw_only=True)
class Distill(_OwnLoss):
    """PDist: the retriever's distribution follows that of how well each document, read alone, tells the answer.

    Args:
        documents: so many of the best candidates are read; by default all.
        temperature: T, of the reader's distribution, in nats an answer token.
        unlabelled: questions without a gold document alone are taught: beside :class:`Contrastive`, which teaches the
            others.
    """

    documents: int | None = None
    temperature: float = 0.1
    unlabelled: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.documents is not None and self.documents < 2:
            raise ClaraError(f"{SETTING}: documents of Distill must be >= 2, got {self.documents}")

    def __call__(self, choice: Choice, teacher: Teacher) -> Signal:
        """See :class:`Estimator`."""
        num = choice.logits_BN.shape[1]
        best_BM = choice.logits_BN.detach().topk(min(self.documents or num, num)).indices
        logits_BM = choice.logits_BN.gather(1, best_BM)
        asked_B = ~teacher.has_gold_B if self.unlabelled else None
        losses_BM = teacher.alone(best_BM, asked_B)
        loss_B = distillation(logits_BM, losses_BM, ~logits_BM.isinf(), temperature=self.temperature)
        return Signal(loss_B=loss_B if asked_B is None else loss_B * asked_B)


@dataclass(frozen=True, kw_only=True)
class Contrastive(_OwnLoss):
    """Gold documents against the others, for questions that have any; see
    :func:`~clara_lightning.objectives.losses.info_nce`.

    The temperature is the one of the scores, which are not standardised for it.

    Args:
        in_batch: against the documents of all questions that a device has at a time, or a question's own alone. With
            them, ``batch_size``, devices and ``accumulate_grad_batches`` decide what a step is.

    Raises:
        ClaraError: ``success_temperature`` is given: the answer has no part in it.
    """

    in_batch: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.success_temperature is not None:
            raise ClaraError(f"{SETTING}: success_temperature must not be given for Contrastive")

    @property
    def needs_gold(self) -> bool:
        """Yes."""
        return True

    def __call__(self, choice: Choice, teacher: Teacher) -> Signal:
        """See :class:`Estimator`."""
        return Signal(loss_B=teacher.contrast(temperature=choice.tau, in_batch=self.in_batch))


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
        estimators: Sequence[Estimator] = (StraightThrough(),),
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
