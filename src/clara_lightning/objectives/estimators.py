"""What teaches the retriever: estimators behind one Protocol, of which a selection sums the signals.

Shapes: B questions, N candidates, K slots, M documents that are read alone, H hardest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from clara_lightning.errors import ClaraError
from clara_lightning.objectives.gradients import (
    distillation,
    leave_one_out,
    reinmax_rows,
)
from clara_lightning.objectives.topk import PUBLISHED_LEAK, slot_rows

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

    def contrast(self, *, temperature: float | Tensor, in_batch: bool, places_BH: Tensor | None = None) -> Tensor:
        """:func:`~clara_lightning.objectives.losses.info_nce` of each question ``(B,)``; 0 where no document is gold.

        Args:
            temperature: of the loss.
            in_batch: against the candidates of all questions, or a question's own alone.
            places_BH: which of each question's candidates take part beside gold documents; None means all.
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

    draws: ClassVar[bool] = False
    has_rows: ClassVar[bool] = True
    has_loss: ClassVar[bool] = False
    needs_gold: ClassVar[bool] = False

    weight: float = 1.0
    success_temperature: float | None = None

    def __post_init__(self) -> None:
        for name in ("weight", "success_temperature", "temperature"):
            value = getattr(self, name, None)
            if value is not None and not value > 0:
                raise ClaraError(f"{SETTING}: {name} of {type(self).__name__} must be > 0, got {value}")


class _OwnLoss(_Weighted):
    """What estimators have that teach by a loss of their own."""

    has_rows: ClassVar[bool] = False
    has_loss: ClassVar[bool] = True


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

    draws: ClassVar[bool] = True

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

    draws: ClassVar[bool] = True

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
        hardest: so many of each question's best-scored candidates take part beside the gold documents, in the batch
            too; by default all, which costs more.

    Raises:
        ClaraError: ``hardest`` is below 1, or ``success_temperature`` is given: the answer has no part in it.
    """

    needs_gold: ClassVar[bool] = True

    in_batch: bool = True
    hardest: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.success_temperature is not None:
            raise ClaraError(f"{SETTING}: success_temperature must not be given for Contrastive")
        if self.hardest is not None and self.hardest < 1:
            raise ClaraError(f"{SETTING}: hardest of Contrastive must be >= 1, got {self.hardest}")

    def __call__(self, choice: Choice, teacher: Teacher) -> Signal:
        """See :class:`Estimator`."""
        places_BH = None
        if self.hardest is not None:
            logits_BN = choice.logits_BN.detach()
            places_BH = logits_BN.topk(min(self.hardest, logits_BN.shape[1])).indices
        loss_B = teacher.contrast(temperature=choice.tau, in_batch=self.in_batch, places_BH=places_BH)
        return Signal(loss_B=loss_B)


DEFAULT: tuple[Estimator, ...] = (Contrastive(hardest=7), Distill(unlabelled=True, documents=5))
"""What teaches where nothing else is asked for: gold documents, and the reader where none is known.

Both left every retriever of the study as good as they found it, or better; :class:`StraightThrough`, the published way,
spoilt those that find little (``docs/joint-training.md``).
"""
