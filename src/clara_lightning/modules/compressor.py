"""Stages 1 and 2: the compressor learns to keep what matters, the generator learns to read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, LoraSettings
from clara_lightning.backbone.backbone import Compressed
from clara_lightning.backbone.folder import AdapterFolder
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.backbone.memory import MemoryKind
from clara_lightning.data.corpus import CorpusBatch
from clara_lightning.data.examples import ReadingExample
from clara_lightning.data.loading import Batch
from clara_lightning.data.modules import QADataModule
from clara_lightning.data.prompts import Prompt, PromptTemplate
from clara_lightning.data.requests import reading_request
from clara_lightning.errors import ClaraError
from clara_lightning.modules.base import ClaraModule, adamw
from clara_lightning.modules.documents import ValidationDocuments
from clara_lightning.modules.schedule import ScheduleConfig
from clara_lightning.modules.validation import CONDITIONS, Asked, measure_conditions
from clara_lightning.objectives.losses import compression_mse
from clara_lightning.objectives.monitors import ConditionLosses


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
        generate_rows: so many rows of the validation file are answered by the last validation of an epoch or of the
            run; 0 answers none.
        max_new_tokens: such an answer ends there at the latest.
        ranked_documents: validation ranks at most so many distinct documents for its questions; 0 ranks none.
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
        generate_rows: int = 64,
        max_new_tokens: int = 32,
        ranked_documents: int = 1000,
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
            generate_rows=generate_rows,
            max_new_tokens=max_new_tokens,
            resize=resize,
        )
        if mse_weight < 0:
            raise ClaraError(f"model.init_args.mse_weight must be >= 0, got {mse_weight}")
        self.mse_weight = mse_weight
        self.losses = ConditionLosses(CONDITIONS)
        self.documents = ValidationDocuments(ranked=ranked_documents)

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

    def take_data(self, data: Any, *, speaks: bool) -> None:
        """Refuse the data of stage 3."""
        if isinstance(data, QADataModule):
            raise ClaraError(
                "data.class_path must be clara_lightning.SCPDataModule or InstructDataModule for SalientCompressor"
            )

    def training_step(self, batch: list[ReadingExample], batch_idx: int) -> Tensor:
        """Loss of one batch."""
        read = self._compress(batch)
        loss = self.backbone.answer_loss(self.requests(batch), read.memory_NLD)
        distance = compression_mse(read.text_mean_ND, read.memory_mean_ND) * read.memory_NLD.shape[0]
        ce, mse = self.step_means.add([loss.sum_B.sum(), distance], batch, batch_idx)
        if (step := self.step_means.whole(batch_idx)) is not None:
            values = {"train/ce": step[0], "train/mse": step[1]}
            self.log_dict(values, batch_size=len(batch))
            self.log("train/loss", step[0] + self.mse_weight * step[1], batch_size=len(batch), prog_bar=True)
        return ce + self.mse_weight * mse

    def requests(self, examples: Sequence[ReadingExample]) -> list[Prompt]:
        """The questions or other tasks, from the memory of their documents."""
        return [reading_request(example, template=self.prompt) for example in examples]

    def targets(self, examples: Sequence[ReadingExample]) -> tuple[int, int]:
        """Answer tokens (of the cross-entropy) and documents (of the MSE)."""
        documents = sum(len(example.documents) for example in examples)
        return self.backbone.prompts.count_answer_tokens(self.requests(examples)), documents

    def on_validation_epoch_start(self) -> None:
        """Begin a validation."""
        self.losses.reset()
        self.documents.reset()
        self.answers.start(self.trainer)

    def validation_step(self, batch: list[ReadingExample], batch_idx: int) -> None:
        """Losses of the answers under each condition; documents to be ranked; now and then answers."""
        real = batch.real if isinstance(batch, Batch) else len(batch)
        memory = self._compress(batch).memory_NLD.split([len(example.documents) for example in batch])
        others = self.documents.add(batch, memory, self._queries(batch), real=real)
        asked = [
            Asked(prompt, example.documents, *both)
            for prompt, example, *both in zip(self.requests(batch), batch, memory, others, strict=True)
        ]
        measure_conditions(self.backbone, asked, self.losses, real=real)
        prompts, own = zip(*(question.fill("memory") for question in asked), strict=True)
        references = [example.references or (example.answer,) for example in batch]
        self.answers.add(self.backbone, prompts, torch.cat(own), references, real=real)

    def on_validation_epoch_end(self) -> None:
        """Log the figures; ``val/loss`` is the cross-entropy from memory."""
        losses = self.losses.compute()
        self.log("val/loss", losses["ce_memory"], prog_bar=True)
        self.log("val/information_retained", losses.pop("information_retained"), prog_bar=True)
        ranking = self.documents.figures(self.retrieval.score, device=self.device)
        figures: dict[str, Any] = {**losses, **ranking, **self.answers.figures()}
        self.log_dict({f"val/{name}": value for name, value in figures.items()})

    test_step = validation_step
    on_test_epoch_start = on_validation_epoch_start
    on_test_epoch_end = on_validation_epoch_end

    @torch.no_grad()
    def predict_step(self, batch: CorpusBatch, batch_idx: int) -> Compressed:
        """Memory of a batch of documents."""
        return self.backbone.read([document.content for document in batch.documents], adapter=COMPRESSOR)

    def _compress(self, batch: list[ReadingExample]) -> Compressed:
        return self.backbone.read([text for example in batch for text in example.documents], adapter=COMPRESSOR)

    def _queries(self, batch: list[ReadingExample]) -> Compressed | None:
        """The questions as the compressor reads them: as a query reasoner, which starts as its copy, would."""
        if not self.documents.ranked:
            return None
        return self.backbone.read([example.question for example in batch], adapter=COMPRESSOR)
