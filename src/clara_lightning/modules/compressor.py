"""Stages 1 and 2: the compressor learns to keep what matters, the generator learns to read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, LoraSettings
from clara_lightning.backbone.backbone import AnswerLoss, Compressed
from clara_lightning.backbone.folder import AdapterFolder
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.backbone.memory import MemoryKind
from clara_lightning.data.corpus import CorpusBatch
from clara_lightning.data.examples import ReadingExample
from clara_lightning.data.loading import Batch
from clara_lightning.data.modules import QADataModule
from clara_lightning.data.prompts import MEMORY, Background, Prompt, PromptTemplate
from clara_lightning.errors import ClaraError
from clara_lightning.modules.base import ClaraModule, adamw
from clara_lightning.modules.schedule import ScheduleConfig
from clara_lightning.objectives.losses import compression_mse, information_retained

CONDITIONS = ("none", "another", "memory", "text")


class SalientCompressor(ClaraModule):
    """Trains ``compressor`` and ``generator`` with ``L = CE + mse_weight * MSE`` (paper, sections 3.1 and 3.2).

    CE: the generator reads the memory in the documents' place and writes the answer. MSE: between the mean last
    hidden state of the document's tokens and that of its memory tokens. Stage 1 feeds documents with their SCP targets
    (``SCPDataModule``), stage 2 questions with several documents (``InstructDataModule``).

    ``clara predict`` with this module and a ``CorpusDataModule`` compresses a corpus.

    Args:
        backbone: pretrained weights; the name may be left out where ``init_from`` names it.
        init_from: adapter folder of an earlier stage.
        memory_tokens: l, memory tokens per document (default 16).
        document_tokens: documents are cut after so many tokens (default 256).
        memory: kind of memory: ``anchors`` (default), ``calibrated`` or ``published``.
        lora: settings of the adapters.
        prompt: the words around background and question.
        mse_weight: lambda.
        optimizer: called with the parameter groups.
        schedule: warmup and decay of the learning rate.
        memory_lr_scale: learning rate of memory tokens and calibration, relative to the adapters'.
        resize: let memory and document tokens differ from those of ``init_from``: memory tokens are cut, or new ones
            join them.
    """

    def __init__(
        self,
        *,
        backbone: BackboneConfig = BackboneConfig(),
        init_from: str | None = None,
        memory_tokens: int | None = None,
        document_tokens: int | None = None,
        memory: MemoryKind | None = None,
        lora: LoraSettings | None = None,
        prompt: PromptTemplate | None = None,
        mse_weight: float = 0.1,
        optimizer: OptimizerCallable = adamw,
        schedule: ScheduleConfig = ScheduleConfig(),
        memory_lr_scale: float = 2.0,
        resize: bool = False,
    ) -> None:
        super().__init__(
            backbone=backbone,
            init_from=init_from,
            memory_tokens=memory_tokens,
            document_tokens=document_tokens,
            memory=memory,
            lora=lora,
            prompt=prompt,
            optimizer=optimizer,
            schedule=schedule,
            memory_lr_scale=memory_lr_scale,
            resize=resize,
        )
        if mse_weight < 0:
            raise ClaraError(f"model.init_args.mse_weight must be >= 0, got {mse_weight}")
        self.mse_weight = mse_weight

    @property
    def adapters(self) -> Sequence[str]:
        """Compressor and generator."""
        return (COMPRESSOR, GENERATOR)

    @property
    def trained(self) -> Sequence[str]:
        """Both."""
        return (COMPRESSOR, GENERATOR)

    def take_over(self, parent: AdapterFolder) -> None:
        """Load both adapters."""
        self.load_adapters(parent, (COMPRESSOR, GENERATOR))

    def setup(self, stage: str) -> None:
        """Refuse the data of stage 3."""
        if isinstance(self.trainer.datamodule, QADataModule):  # type: ignore[attr-defined]
            raise ClaraError(
                "data.class_path must be clara_lightning.SCPDataModule or InstructDataModule for SalientCompressor"
            )

    def training_step(self, batch: list[ReadingExample], batch_idx: int) -> Tensor:
        """Loss of one batch."""
        read = self._compress(batch)
        loss = self._loss(batch, "memory", read.memory_NLD)
        distance = compression_mse(read.text_mean_ND, read.memory_mean_ND) * read.memory_NLD.shape[0]
        ce, mse = self.step_means.add([loss.sum_B.sum(), distance], batch, batch_idx)
        if (step := self.step_means.whole(batch_idx)) is not None:
            values = {"train/ce": step[0], "train/mse": step[1]}
            self.log_dict(values, batch_size=len(batch))
            self.log("train/loss", step[0] + self.mse_weight * step[1], batch_size=len(batch), prog_bar=True)
        return ce + self.mse_weight * mse

    def targets(self, examples: Sequence[ReadingExample]) -> tuple[int, int]:
        """Answer tokens (of the cross-entropy) and documents (of the MSE)."""
        prompts = [self._prompt(example, "memory") for example in examples]
        documents = sum(len(example.documents) for example in examples)
        return self.backbone.prompts.count_answer_tokens(prompts), documents

    def on_validation_epoch_start(self) -> None:
        """Start sums of the answers' cross-entropy and of their tokens under each condition."""
        self._ce = torch.zeros(len(CONDITIONS), 2, device=self.device)

    def validation_step(self, batch: list[ReadingExample], batch_idx: int) -> None:
        """Cross-entropy of the answers without memory, from another document's, from their own, and from the text."""
        memory_NLD = self._compress(batch).memory_NLD
        real = batch.real if isinstance(batch, Batch) else len(batch)
        for index, condition in enumerate(CONDITIONS):
            if condition == "another" and len(batch) == 1:
                continue  # no other question whose documents could be lent
            loss = self._loss(batch, condition, memory_NLD)
            self._ce[index] += torch.stack([loss.sum_B[:real].sum(), loss.tokens_B[:real].sum()])

    def on_validation_epoch_end(self) -> None:
        """Log ``val/loss`` (from memory), ``val/ce_*`` and ``val/information_retained``."""
        sums = cast(Tensor, self.all_gather(self._ce)).reshape(-1, len(CONDITIONS), 2).sum(0)
        ce = {name: (total / count).item() for name, (total, count) in zip(CONDITIONS, sums, strict=True)}
        self.log_dict({f"val/ce_{name}": value for name, value in ce.items()})
        self.log("val/loss", ce["memory"], prog_bar=True)
        retained = information_retained(ce_none=ce["none"], ce_memory=ce["memory"], ce_text=ce["text"])
        self.log("val/information_retained", retained, prog_bar=True)

    test_step = validation_step
    on_test_epoch_start = on_validation_epoch_start
    on_test_epoch_end = on_validation_epoch_end

    @torch.no_grad()
    def predict_step(self, batch: CorpusBatch, batch_idx: int) -> Any:
        """Memory of a batch of documents, in bfloat16, and how many were longer than the limit."""
        read = self.backbone.read([document.content for document in batch.documents], adapter=COMPRESSOR)
        return read.memory_NLD.to(torch.bfloat16), read.num_cut

    def _compress(self, batch: list[ReadingExample]) -> Compressed:
        return self.backbone.read([text for example in batch for text in example.documents], adapter=COMPRESSOR)

    def _loss(self, batch: list[ReadingExample], condition: str, memory_NLD: Tensor) -> AnswerLoss:
        """Loss of the answers under one of :data:`CONDITIONS`."""
        prompts = [self._prompt(example, condition) for example in batch]
        if condition == "another":
            memory_NLD = memory_NLD[others_documents([len(example.documents) for example in batch])]
        return self.backbone.answer_loss(prompts, memory_NLD if condition in ("memory", "another") else None)

    def _prompt(self, example: ReadingExample, condition: str) -> Prompt:
        background: tuple[Background, ...] = ()
        if condition == "text":
            background = example.documents
        elif condition != "none":
            background = (MEMORY,) * len(example.documents)
        template = self.backbone.prompts.template
        if example.task == "question":
            return self.backbone.prompts.ask(example.question, background, answer=example.answer)
        return Prompt(getattr(template, example.task), background, example.answer)


def others_documents(counts: Sequence[int]) -> list[int]:
    """For each document of a batch, a document of another question in its place.

    Args:
        counts: documents of each of at least two questions, in order.

    Returns:
        Numbers of documents; a question borrows from those that follow it, over and over where they have fewer.

    Example:
        >>> others_documents([2, 1, 1])
        [2, 3, 3, 0]
    """
    starts = [sum(counts[:number]) for number in range(len(counts))]
    borrowed: list[int] = []
    for start, count in zip(starts, counts, strict=True):
        others = [*range(start + count, sum(counts)), *range(start)]
        borrowed.extend(others[place % len(others)] for place in range(count))
    return borrowed
