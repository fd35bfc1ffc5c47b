"""Stage 3: the generator's loss trains the query reasoner."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER, LoraSettings
from clara_lightning.backbone.backbone import AnswerLoss
from clara_lightning.backbone.folder import AdapterFolder, RetrievalConfig, fingerprint
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.backbone.memory import MemoryKind
from clara_lightning.corpus.candidates import (
    Candidates,
    CandidateSource,
    GivenCandidates,
    SearchedCandidates,
    check_given,
    check_search,
)
from clara_lightning.corpus.index import open_index
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.examples import ExamplesDataModule
from clara_lightning.data.loading import Batch
from clara_lightning.data.modules import QADataModule
from clara_lightning.data.prompts import MEMORY, PromptTemplate
from clara_lightning.data.records import Question
from clara_lightning.errors import ClaraError
from clara_lightning.modules.base import ClaraModule, adamw
from clara_lightning.modules.overview import default_of
from clara_lightning.modules.schedule import ScheduleConfig
from clara_lightning.objectives.metrics import RetrievalScores, collapse_statistics
from clara_lightning.objectives.scores import ScoreName, score
from clara_lightning.objectives.topk import StraightThroughTopK, mix

log = logging.getLogger(__name__)


class Reading(NamedTuple):
    """One pass over a batch: the answers' loss, scores ``(B, N)``, what was taken ``(B, K)``, and the candidates."""

    loss: AnswerLoss
    scores_BN: Tensor
    indices_BK: Tensor
    candidates: Candidates


class Scored(NamedTuple):
    """A batch's candidates, detached: their scores, which places hold one, and which are gold, ``(B, N)``."""

    scores_BN: Tensor
    mask_BN: Tensor
    gold_BN: Tensor


class JointRAGModule(ClaraModule):
    """Trains ``query_reasoner`` and ``generator`` on the loss of the answer alone (paper, section 3.3).

    The query reasoner starts as a copy of the compressor, which is frozen. It reads the question and gives query
    vectors; each candidate document gets a score; ``StraightThroughTopK`` picks ``top_k`` of them; the generator reads
    their memory and writes the answer. The gradient reaches the query reasoner through the soft selection.

    Args:
        backbone: pretrained weights; the name may be left out where ``init_from`` names it.
        init_from: adapter folder of stage 1, 2 or 3. Without one, the compressor is an untrained one, and stays so.
        store: the corpus, encoded by the same compressor; required for ``candidates: search``.
        candidates: ``given`` with each question, or found by ``search`` in the store at every step.
        num_candidates: N, for ``search``.
        top_k: k, documents that the generator reads.
        score: ``maxsim`` (late interaction) or ``flat`` (cosine of the flattened memory, the method's).
        temperature: tau of the soft selection.
        noise: ``gumbel`` samples the selection in training, ``none`` takes the best.
        estimator: ``straight_through``, or ``published`` with its leaking mask, for comparison.
        optimizer: called with the parameter groups.
        schedule: warmup and decay of the learning rate.
        memory_lr_scale: learning rate of memory tokens and calibration, relative to the adapters'.
        memory_tokens: checked against ``init_from``; without it, as in ``SalientCompressor``.
        document_tokens: checked against ``init_from``.
        memory: checked against ``init_from``.
        lora: checked against ``init_from``.
        prompt: checked against ``init_from``.
    """

    def __init__(
        self,
        *,
        backbone: BackboneConfig = BackboneConfig(),
        init_from: str | None = None,
        store: str | None = None,
        candidates: Literal["given", "search"] = "given",
        num_candidates: int = 20,
        top_k: int = 5,
        score: ScoreName = "maxsim",
        temperature: float = 0.02,
        noise: Literal["none", "gumbel"] = "none",
        estimator: Literal["straight_through", "published"] = "straight_through",
        optimizer: OptimizerCallable = adamw,
        schedule: ScheduleConfig = ScheduleConfig(),
        memory_lr_scale: float = 2.0,
        memory_tokens: int | None = None,
        document_tokens: int | None = None,
        memory: MemoryKind | None = None,
        lora: LoraSettings | None = None,
        prompt: PromptTemplate | None = None,
    ) -> None:
        if init_from is None and store is not None:
            raise ClaraError("model.init_args.init_from is required with a store: the adapters that it was made with")
        if candidates == "search" and store is None:
            raise ClaraError("model.init_args.store is required when model.init_args.candidates is 'search'")
        if candidates == "search" and num_candidates < top_k:
            raise ClaraError(f"model.init_args.top_k must be <= num_candidates ({num_candidates}), got {top_k}")
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
        )
        self.store_path = store
        self.candidates = candidates
        self.num_candidates = num_candidates
        self.top_k = top_k
        self.score: ScoreName = score
        self.select = StraightThroughTopK(k=top_k, temperature=temperature, noise=noise, estimator=estimator)
        self.ranking = RetrievalScores(top_k=(1, top_k))
        self.scored: Scored | None = None  # the last batch of training, for who looks on
        self._source: CandidateSource | None = None
        self._store: LatentStore | None = None

    @property
    def adapters(self) -> Sequence[str]:
        """All three."""
        return (COMPRESSOR, GENERATOR, QUERY_REASONER)

    @property
    def trained(self) -> Sequence[str]:
        """Query reasoner and generator; the compressor is frozen, so a store stays valid."""
        return (GENERATOR, QUERY_REASONER)

    @property
    def retrieval(self) -> RetrievalConfig:
        """The score, the number of documents and the temperature of this training."""
        return RetrievalConfig(score=self.score, top_k=self.top_k, temperature=self.select.temperature)

    def take_over(self, parent: AdapterFolder) -> None:
        """Load compressor and generator, and the query reasoner or a copy of the compressor in its place."""
        self.load_adapters(parent, (COMPRESSOR, GENERATOR))
        if parent.has(QUERY_REASONER):
            self.load_adapters(parent, (QUERY_REASONER,))
        else:
            self.backbone.start_query_reasoner()

    def calibrate(self, data: Any) -> None:
        """As every stage; the query reasoner starts from the result."""
        log.warning(
            "model.init_args.init_from is not given: the compressor was never trained, and stage 3 keeps it frozen; "
            "the generator sees what its %s memory holds without training",
            self.memory_config.kind,
        )
        super().calibrate(data)
        self.backbone.start_query_reasoner()

    def without_effect(self) -> list[str]:
        """``num_candidates``, where candidates are given."""
        if self.candidates == "given" and self.num_candidates != default_of(JointRAGModule, "num_candidates"):
            return ["model.init_args.num_candidates: model.init_args.candidates is 'given'"]
        return []

    def setup(self, stage: str) -> None:
        """Open the store, and look through the questions: a mistake in the last one is found before the first step."""
        if self.store_path and self._store is None:
            self._store = LatentStore.open(self.store_path, setting="model.init_args.store")
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, ExamplesDataModule):
            return  # a DataModule of the user's own
        if not isinstance(data, QADataModule):
            raise ClaraError("data.class_path must be clara_lightning.QADataModule for JointRAGModule")
        questions = [*data.train_rows, *data.val_rows]
        if self.candidates == "given":
            check_given(questions, self._store, top_k=self.top_k)
        elif self._store is not None:
            check_search(questions, self._store, num_candidates=self.num_candidates)

    def configure_model(self) -> None:
        """Build the backbone, and compare the store with the compressor."""
        if hasattr(self, "backbone"):
            return
        super().configure_model()
        store = self._store
        if store is not None:
            store.require(
                fingerprint=fingerprint(self.backbone),
                memory_tokens=self.memory_config.tokens,
                setting="model.init_args.store",
            )
        if self.candidates == "given":
            self._source = GivenCandidates(self.backbone, store)
        elif store is not None:
            index = open_index(store, score=self.score)
            self._source = SearchedCandidates(store, index, num_candidates=self.num_candidates)

    def training_step(self, batch: list[Question], batch_idx: int) -> Tensor:
        """Loss of one batch."""
        reading = self._read(batch)
        (loss,) = self.step_means.add([reading.loss.sum_B.sum()], batch, batch_idx)
        if (step := self.step_means.whole(batch_idx)) is not None:
            self.log("train/loss", step[0], batch_size=len(batch), prog_bar=True)
        self.scored = Scored(reading.scores_BN.detach(), reading.candidates.mask_BN, reading.candidates.gold_BN)
        taken_BK = reading.candidates.keys_BN.gather(1, reading.indices_BK)
        for name, value in collapse_statistics(taken_BK).items():
            self.log(f"train/{name}", value, batch_size=len(batch))
        return loss

    def targets(self, examples: Sequence[Question]) -> tuple[int]:
        """Answer tokens."""
        prompts = [self.backbone.prompts.ask(row.question, (), answer=row.answers[0]) for row in examples]
        return (self.backbone.prompts.count_answer_tokens(prompts),)

    def on_validation_epoch_start(self) -> None:
        """Start the sums of cross-entropy and answer tokens."""
        self._ce = torch.zeros(2, device=self.device)
        self.ranking.reset()

    def validation_step(self, batch: list[Question], batch_idx: int) -> None:
        """Loss of the answers, and where the gold documents stand among the candidates."""
        reading = self._read(batch)
        real = slice(batch.real if isinstance(batch, Batch) else len(batch))
        loss, candidates = reading.loss, reading.candidates
        self._ce += torch.stack([loss.sum_B[real].sum(), loss.tokens_B[real].sum()])
        self.ranking.update(
            reading.scores_BN[real],
            candidates.gold_BN[real],
            candidates.mask_BN[real],
            num_gold_B=candidates.num_gold_B[real],
        )

    def on_validation_epoch_end(self) -> None:
        """Log ``val/loss``, ``val/recall@1``, ``val/recall@k`` and ``val/mrr``."""
        total, count = cast(Tensor, self.all_gather(self._ce)).reshape(-1, 2).sum(0)
        self.log("val/loss", total / count, prog_bar=True)
        self.log_dict({f"val/{name}": value for name, value in self.ranking.compute().items()}, prog_bar=True)

    test_step = validation_step
    on_test_epoch_start = on_validation_epoch_start
    on_test_epoch_end = on_validation_epoch_end

    def _read(self, batch: list[Question]) -> Reading:
        """Query, candidates, selection, answer."""
        assert self._source is not None
        query = self.backbone.read([question.question for question in batch], adapter=QUERY_REASONER)
        candidates = self._source(batch, query)
        scores_BN = score(self.score, query.memory_NLD, candidates.memory_BNLD, query.weights_NL)
        selected = self.select(scores_BN, candidates.mask_BN)
        memory_BKLD = mix(selected.selection_BKN, candidates.memory_BNLD)
        prompts = [
            self.backbone.prompts.ask(question.question, (MEMORY,) * self.top_k, answer=question.answers[0])
            for question in batch
        ]
        return Reading(self.backbone.answer_loss(prompts, memory_BKLD), scores_BN, selected.indices_BK, candidates)
