"""What every validation measures of the answers: their loss under each background, and now and then what is written.

Shapes: N documents of a question, X documents of a batch, L memory tokens, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torchmetrics import MeanMetric

from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.data.prompts import MEMORY, Background, Prompt
from clara_lightning.errors import ClaraError
from clara_lightning.objectives.metrics import AnswerScores
from clara_lightning.objectives.monitors import ConditionLosses

CONDITIONS = ("none", "another", "memory", "text")


class Asked(NamedTuple):
    """A question of a validation, and the documents that it is asked about.

    Attributes:
        prompt: the request with its target; its background is filled by each condition.
        texts: the documents; none where they are not known, and such a question is not measured.
        memory_NLD: their memory.
        others_NLD: memory of other documents, or of none where there is no other.
    """

    prompt: Prompt
    texts: Sequence[str]
    memory_NLD: Tensor
    others_NLD: Tensor

    def fill(self, condition: str) -> tuple[Prompt, Tensor]:
        """The prompt under a condition, and the memory for its places."""
        background: tuple[Background, ...] = tuple(self.texts) if condition == "text" else ()
        memory_NLD = self.memory_NLD[:0]
        if condition not in ("none", "text"):
            memory_NLD = self.others_NLD if condition == "another" else self.memory_NLD
            background = (MEMORY,) * len(memory_NLD)
        return replace(self.prompt, background=background), memory_NLD

    def is_measured(self, condition: str) -> bool:
        """Whether the question counts under ``condition``."""
        return bool(self.texts) and (condition != "another" or len(self.others_NLD) > 0)


def measure_condition(
    backbone: ClaraBackbone, questions: Sequence[Asked], losses: ConditionLosses, condition: str, *, real: int
) -> Tensor:
    """As :func:`measure_conditions` under one condition; ``memory_16`` and the like are memories.

    Returns:
        What each answer costs ``(B,)``, in nats a token, counted or not.
    """
    prompts, memory = zip(*(question.fill(condition) for question in questions), strict=True)
    memory_XLD = torch.cat(memory)
    loss = backbone.answer_loss(prompts, memory_XLD if len(memory_XLD) else None)
    counted = [place < real and question.is_measured(condition) for place, question in enumerate(questions)]
    counted_B = torch.tensor(counted, device=loss.sum_B.device)
    losses.update(condition, loss.sum_B[counted_B], loss.tokens_B[counted_B])
    return loss.mean_B


def measure_conditions(
    backbone: ClaraBackbone,
    questions: Sequence[Asked],
    losses: ConditionLosses,
    *,
    real: int,
    conditions: Sequence[str] = CONDITIONS,
) -> dict[str, Tensor]:
    """Add the losses of a batch of questions under each condition.

    Args:
        backbone: reads.
        questions: the batch; those that do not count are read too, since processes must stay in step.
        losses: where the losses go.
        real: the first so many questions count.
        conditions: of :data:`CONDITIONS`.

    Returns:
        What each answer costs under each of them; see :func:`measure_condition`.
    """
    return {name: measure_condition(backbone, questions, losses, name, real=real) for name in conditions}


class ValidationAnswers(nn.Module):
    """Answers the first rows of the validation file, where a validation is to measure everything.

    Args:
        rows: so many of them; 0 answers none.
        max_new_tokens: an answer ends there at the latest.
    """

    def __init__(self, *, rows: int, max_new_tokens: int) -> None:
        super().__init__()
        if rows < 0:
            raise ClaraError(f"model.init_args.generate_rows must be >= 0, got {rows}")
        if max_new_tokens < 1:
            raise ClaraError(f"model.init_args.max_new_tokens must be >= 1, got {max_new_tokens}")
        self.rows = rows
        self.max_new_tokens = max_new_tokens
        self.scores = AnswerScores()
        self.words = MeanMetric()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the figures."""
        return ("em", "f1", "cover_em", "answer_words") if self.rows else ()

    def start(self, trainer: Trainer) -> None:
        """Begin a validation."""
        self.due = self.rows > 0 and measures_everything(trainer)
        self._rank, self._processes = trainer.global_rank, trainer.world_size
        self._passed = 0  # rows of all processes
        self.scores.reset()
        self.words.reset()

    def add(
        self,
        backbone: ClaraBackbone,
        prompts: Sequence[Prompt],
        memory: Tensor,
        references: Sequence[Sequence[str]],
        *,
        real: int,
    ) -> None:
        """Answer and score a batch, if it is one of the first and the validation measures everything.

        Every process answers its whole batch, or none does: with a backbone in shards they must stay in step.

        Args:
            backbone: answers.
            prompts: the requests; a target in them is left out.
            memory: of the documents in their background.
            references: acceptable answers of each.
            real: the first so many rows count.
        """
        first, self._passed = self._passed, self._passed + len(prompts) * self._processes
        if not self.due or first >= self.rows:
            return
        asked = [replace(prompt, answer=None) for prompt in prompts]
        texts = backbone.generate(asked, memory, max_new_tokens=self.max_new_tokens)
        # Rows of a batch are dealt out to the processes in turn.
        counted = [place for place in range(real) if first + place * self._processes + self._rank < self.rows]
        self.scores.update([texts[place] for place in counted], [references[place] for place in counted])
        lengths = [float(len(texts[place].split())) for place in counted]
        self.words.update(torch.tensor(lengths, device=self.words.device))

    def figures(self) -> dict[str, Tensor]:
        """``em``, ``f1``, ``cover_em`` and ``answer_words`` (a mean), where the validation measures everything."""
        return {**self.scores.compute(), "answer_words": self.words.compute()} if self.due else {}


def measures_everything(trainer: Trainer) -> bool:
    """Whether a validation is the first or last of its epoch or of the run, or was asked for by itself.

    That depends on how far the training is, and on nothing else: a resumed run decides as the undisturbed one did.
    """
    if trainer.state.fn != "fit":
        return True
    if trainer.sanity_checking:
        return False
    loop = trainer.fit_loop.epoch_loop
    if loop.batch_idx < 0:  # before the first step: what comes later is compared with it
        return True
    if loop.batch_progress.is_last_batch or trainer.should_stop:
        return True
    return is_last_validation(
        loop.batch_idx + 1,
        batches=trainer.num_training_batches,
        every=trainer.val_check_batch,
        steps=trainer.global_step,
        max_steps=trainer.max_steps,
        accumulate=trainer.accumulate_grad_batches,
    )


def is_last_validation(
    done: int, *, batches: float, every: float | None, steps: int, max_steps: int, accumulate: int
) -> bool:
    """Whether an epoch or a run ends before its next validation.

    Args:
        done: batches of the epoch that are done.
        batches: of an epoch.
        every: batches between validations; ``None`` where a clock decides.
        steps: optimizer steps that are done.
        max_steps: of the run; -1 where epochs end it.
        accumulate: batches of an optimizer step.

    Example:
        >>> [is_last_validation(n, batches=10, every=4, steps=n, max_steps=-1, accumulate=1) for n in (4, 8)]
        [False, True]
    """
    if 0 <= max_steps <= steps:
        return True
    if every is None:
        return False
    following = done + every
    if following > batches:
        return True
    # It is reached if steps are left after the batch before it.
    return 0 <= max_steps <= steps + (following - 1) // accumulate - done // accumulate
