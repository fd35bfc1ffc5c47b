"""Stages 1 and 2: the compressor learns to keep what matters, the generator learns to read it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
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
from clara_lightning.data.modules import QADataModule, SCPDataModule
from clara_lightning.data.prompts import Prompt, PromptTemplate
from clara_lightning.data.requests import in_words, reading_request
from clara_lightning.errors import ClaraError
from clara_lightning.modules.base import ClaraModule, adamw
from clara_lightning.modules.curriculum import CurriculumConfig
from clara_lightning.modules.documents import ValidationDocuments
from clara_lightning.modules.schedule import ScheduleConfig
from clara_lightning.modules.validation import CONDITIONS, Asked, measure_condition, measure_conditions
from clara_lightning.objectives.losses import compression_mse
from clara_lightning.objectives.monitors import ConditionLosses


class SalientCompressor(ClaraModule):
    """Trains ``compressor`` and ``generator`` with ``L = CE + mse_weight * MSE`` (paper, sections 3.1 and 3.2).

    With ``distill`` d, ``(1 - d) CE + d KL`` stands in the place of CE.

    CE: the generator reads the memory in the documents' place and writes the answer. MSE: between the mean last
    hidden state of the document's tokens and that of its memory tokens. Stage 1 feeds documents with their SCP targets
    (``SCPDataModule``), stage 2 questions with several documents (``InstructDataModule``).

    ``clara predict`` with this module and a ``CorpusDataModule`` compresses a corpus.

    Args:
        backbone: pretrained weights; the name may be left out where ``init_from`` names it.
        init_from: adapter folder of an earlier stage.
        memory_tokens: l, memory tokens per document (default 16).
        document_tokens: documents are cut after so many tokens (default 256).
        nested: numbers of memory tokens that are trained at once, one of them drawn for every step; ``memory_tokens``
            is the one that validations measure first.
        memory_layer: memory is made of the hidden states behind so many layers, which alone are run and adapted to
            compress; by default behind all.
        memory_mlp: hidden width of a residual MLP that the hidden states pass before they are memory; by default none.
        words_per_token: of memory ``words`` or ``learned``, so many whole words stand together on a memory token at
            most; by default none do: each token of a word has a memory token of its own.
        memory: kind of memory: ``words`` (default), ``learned``, ``anchors``, ``calibrated`` or ``published``.
        lora: settings of the adapters.
        prompt: the words around background and question.
        mse_weight: lambda.
        distill: d, from 0 (default) to 1. KL: from what the bare backbone expects at each answer token when it reads
            the documents' text to what is expected from their memory.
        curriculum: part of the documents that stand as text, or long memories first, in the first part of the run.
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
        nested: list[int] | None = None,
        memory_layer: int | None = None,
        memory_mlp: int | None = None,
        words_per_token: int | None = None,
        mse_weight: float = 0.1,
        distill: float = 0.0,
        curriculum: CurriculumConfig = CurriculumConfig(),
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
            nested=nested,
            memory_layer=memory_layer,
            memory_mlp=memory_mlp,
            words_per_token=words_per_token,
        )
        if mse_weight < 0:
            raise ClaraError(f"model.init_args.mse_weight must be >= 0, got {mse_weight}")
        if not 0.0 <= distill <= 1.0:
            raise ClaraError(f"model.init_args.distill must be in [0, 1], got {distill}")
        self.mse_weight = mse_weight
        self.distill = distill
        self.curriculum = curriculum
        self.other_lengths = tuple(n for n in self.memory_config.nested if n != self.memory_config.tokens)
        self.losses = ConditionLosses((*CONDITIONS, *(f"memory_{length}" for length in self.other_lengths)))
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

    def in_effect(self) -> dict[str, str]:
        """The loss, and how many documents stand as text at first."""
        mse = f" + {self.mse_weight:g} MSE" if self.mse_weight else ""
        answers = f"{1 - self.distill:g} CE + {self.distill:g} KL to the text" if self.distill else "CE"
        shown = {"loss": answers + mse}
        if self.curriculum.text_share:
            share, until = self.curriculum.text_share, self.curriculum.until
            shown["curriculum"] = f"{share:g} as text at first, none from {until:g} of the run on"
        if self.curriculum.growing_rates:
            shown["rates"] = f"the lowest alone at first, all from {self.curriculum.until:g} of the run on"
        return shown

    def without_effect(self) -> list[str]:
        """A curriculum that begins with nothing, or ends before it begins, or has one length."""
        name, given = "model.init_args.curriculum", self.curriculum
        begun = [what for what in ("text_share", "growing_rates") if getattr(given, what)]
        found = [f"{name}.{what}: {name}.until is 0" for what in begun if not given.until]
        if given.growing_rates and not self.memory_config.nested:
            found.append(f"{name}.growing_rates: model.init_args.nested is not given")
        if not begun and given != CurriculumConfig():
            found.append(f"{name}.until: {name}.text_share is 0, and growing_rates false")
        return found

    def take_data(self, data: Any, *, speaks: bool) -> None:
        """Refuse the data of stage 3."""
        if isinstance(data, QADataModule):
            raise ClaraError(
                "data.class_path must be clara_lightning.SCPDataModule or InstructDataModule for SalientCompressor"
            )
        if isinstance(data, SCPDataModule) and data.shares["recital"] and not self.memory_config.is_of_words:
            raise ClaraError(
                f"data.init_args.recital_share must be 0 for model.init_args.memory {self.memory_config.kind}, which "
                "stands on no words"
            )

    def training_step(self, batch: list[ReadingExample], batch_idx: int) -> Tensor:
        """Loss of one batch."""
        epoch, step_idx = self.trainer.current_epoch, batch_idx // self.trainer.accumulate_grad_batches
        length = random.Random(f"{self.run_seed}-{epoch}-{step_idx}").choice(self._lengths())
        with self.backbone.shortened(length):
            as_text = self._as_text(batch, random.Random(f"{self.run_seed}-{epoch}-{batch_idx}-text"))
            read = self._compress([each for each, text in zip(batch, as_text, strict=True) if not text])
            requests = [
                in_words(request, example) if text else request
                for request, example, text in zip(self.requests(batch), batch, as_text, strict=True)
            ]
            teacher = self._teach(batch) if self.distill else None
            losses = self.backbone.token_losses(requests, read.memory_NLD, teacher=teacher)
            distance = compression_mse(read.text_mean_ND, read.memory_mean_ND) * read.memory_NLD.shape[0]
            sums = [losses.losses_X.sum(), distance]
            if losses.distances_X is not None:
                taught_B = torch.tensor([example.is_teachable for example in batch], device=losses.rows_X.device)
                sums.append((losses.distances_X * taught_B[losses.rows_X]).sum())
            means = self.step_means.add(sums, batch, batch_idx)
        if (step := self.step_means.whole(batch_idx)) is not None:
            names = ("train/ce", "train/mse", "train/kl")[: len(step)]
            self.log_dict(dict(zip(names, step, strict=True)), batch_size=len(batch))
            self.log("train/loss", self._loss(step), batch_size=len(batch), prog_bar=True)
        return self._loss(means)

    def _loss(self, means: Sequence[Tensor] | Tensor) -> Tensor:
        ce, mse, *kl = means
        return (1.0 - self.distill) * ce + self.mse_weight * mse + self.distill * sum(kl)

    def _lengths(self) -> Sequence[int]:
        """Numbers of memory tokens that the step draws from."""
        lengths = self.memory_config.nested or (self.memory_config.tokens,)
        return self.curriculum.lengths(lengths, self.trainer.global_step, total=self._num_steps)

    @property
    def _num_steps(self) -> int:
        """Optimizer steps of the run."""
        return int(self.trainer.estimated_stepping_batches)

    def _as_text(self, batch: Sequence[ReadingExample], draw: random.Random) -> list[bool]:
        """Which examples' documents stand as text; never all, since the compressor is to get a gradient."""
        share = self.curriculum.share(self.trainer.global_step, total=self._num_steps)
        drawn = [draw.random() < share for _ in batch]
        return drawn if not all(drawn) else [False, *drawn[1:]]

    def _teach(self, batch: Sequence[ReadingExample]) -> Tensor:
        """What the bare backbone expects at the answers when it reads the documents."""
        pairs = zip(self.requests(batch), batch, strict=True)
        return self.backbone.teach([in_words(request, example) for request, example in pairs])

    def requests(self, examples: Sequence[ReadingExample]) -> list[Prompt]:
        """The questions or other tasks, from the memory of their documents."""
        recited = [document for example in examples if example.is_unsaid for document in example.documents]
        words = iter(self.backbone.standing_words(recited) if recited else ())
        told = [replace(each, answer=next(words)) if each.is_unsaid else each for each in examples]
        return [reading_request(example, template=self.prompt) for example in told]

    def targets(self, examples: Sequence[ReadingExample]) -> tuple[int, ...]:
        """Answer tokens (of the cross-entropy), documents (of the MSE), answer tokens with a teacher (of the KL)."""
        documents = sum(len(example.documents) for example in examples)
        tokens = self._count_answers(examples)
        if not self.distill:
            return tokens, documents
        return tokens, documents, max(1, self._count_answers([each for each in examples if each.is_teachable]))

    def _count_answers(self, examples: Sequence[ReadingExample]) -> int:
        return self.backbone.prompts.count_answer_tokens(self.requests(examples))

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
        self._measure_other_lengths(batch, asked, real=real)
        prompts, own = zip(*(question.fill("memory") for question in asked), strict=True)
        references = [example.references or (example.answer,) for example in batch]
        self.answers.add(self.backbone, prompts, torch.cat(own), references, real=real)

    def _measure_other_lengths(self, batch: list[ReadingExample], asked: Sequence[Asked], *, real: int) -> None:
        """Losses from memories of the other lengths that the compressor is trained for."""
        for length in self.other_lengths:
            with self.backbone.shortened(length):
                memory = self._compress(batch).memory_NLD.split([len(example.documents) for example in batch])
                questions = [one._replace(memory_NLD=own) for one, own in zip(asked, memory, strict=True)]
                measure_condition(self.backbone, questions, self.losses, f"memory_{length}", real=real)

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
