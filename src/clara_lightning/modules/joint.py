"""Stage 3, search and answer trained together: gold documents or the reader teach the search, answers the reader."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER, LoraSettings
from clara_lightning.backbone.folder import AdapterFolder, RetrievalConfig, fingerprint
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.backbone.memory import MemoryKind
from clara_lightning.backbone.query import QueryConfig, QueryHead
from clara_lightning.corpus.candidates import (
    CandidateSource,
    GivenCandidates,
    GoldDocuments,
    StoredPassages,
    check_given,
    other_candidates,
)
from clara_lightning.corpus.contrast import has_gold
from clara_lightning.corpus.lexical import LexicalIndex
from clara_lightning.corpus.mixing import CandidateDrafts, CandidateMix, MixedCandidates, check_mix
from clara_lightning.corpus.search import open_index
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.examples import ExamplesDataModule
from clara_lightning.data.loading import Batch
from clara_lightning.data.modules import QADataModule
from clara_lightning.data.prompts import Prompt, PromptTemplate
from clara_lightning.data.records import Question
from clara_lightning.data.requests import answering_request
from clara_lightning.errors import ClaraError
from clara_lightning.modules.base import ClaraModule, adamw, checked_scale
from clara_lightning.modules.overview import default_of
from clara_lightning.modules.schedule import ScheduleConfig
from clara_lightning.modules.search import BatchTeacher, Found, SearchFigures, contrastive_losses
from clara_lightning.modules.sharding import ShardedStrategy
from clara_lightning.modules.validation import CONDITIONS, Asked, measure_conditions, measures_everything
from clara_lightning.objectives.estimators import DEFAULT, Estimator
from clara_lightning.objectives.metrics import collapse_statistics
from clara_lightning.objectives.monitors import ConditionLosses
from clara_lightning.objectives.scores import ScoreName, fused, score
from clara_lightning.objectives.selection import Selection

READ_GOLD = 0.5
"""How often a question that took no gold document reads one in training, by default (docs/joint-training.md)."""
GENERATOR_KEY = "clara_train_generator"
UNTRAINED = ("ce_another", "ce_memory", "ce_text", "information_retained")
"""Figures that have nothing of what is trained in them, where the generator is not."""

log = logging.getLogger(__name__)


class Scored(NamedTuple):
    """A batch's candidates, detached: their scores, which places hold one, and which are gold, ``(B, N)``."""

    scores_BN: Tensor
    mask_BN: Tensor
    gold_BN: Tensor


class JointRAGModule(ClaraModule):
    """Trains ``query_reasoner`` and ``generator`` together; the compressor is frozen.

    The query reasoner starts as a copy of the compressor. It reads the question and gives query vectors; each candidate
    document gets a score; ``top_k`` of them are taken; the generator reads their memory and writes the answer, whose
    loss trains it. The query reasoner learns by ``estimators``: from gold documents, from how well each document by
    itself tells the answer, or, as in the paper (section 3.3), from the loss of the answer through what was taken.

    With ``train_generator: false`` and such estimators alone, no answer is read from what was taken: the steps of a
    warm-up are cheap (``configs/retrieval.yaml``).

    Args:
        backbone: pretrained weights; the name may be left out where ``init_from`` names it.
        init_from: adapter folder of stage 1, 2 or 3. Without one, the compressor is an untrained one, and stays so.
        store: the corpus, encoded by the same compressor; required for candidates that are not given.
        candidates: where they come from in the store; by default each question has the passages that came with it.
        num_candidates: N, with ``candidates``.
        top_k: k, documents that the generator reads.
        score: ``maxsim`` (late interaction), ``flat`` (cosine of the flattened memory, the method's) or ``mean``
            (cosine of the mean memory vectors).
        hybrid_weight: BM25's part in the scores, 0 (none) or more and below 1; see
            :func:`~clara_lightning.objectives.scores.fused`. It needs ``candidates``, and a BM25 index in the store.
        train_generator: whether the generator learns from the loss of the answer, or stays as it is.
        read_gold: in training, a question that took no gold document, though one is known, reads the best-scored in the
            place of the last that it took with this probability (as RAFT, arXiv 2403.10131), so that the generator does
            not learn to distrust what it reads while the retriever finds little. By default :data:`READ_GOLD`, but 0
            where the loss of the answer teaches the scores: what was not taken could not.
        temperature: tau of the soft selection, and of the contrastive loss.
        final_temperature: tau at the last step, which it nears by the same factor each step; by default it stays.
        learn_temperature: tau is trained along.
        standardise: divide each question's scores by their spread over its candidates before ``temperature``.
        estimators: what teaches the scores; the signals of several are summed. By default
            :data:`~clara_lightning.objectives.estimators.DEFAULT`.
        optimizer: called with the parameter groups.
        schedule: warmup and decay of the learning rate.
        memory_lr_scale: learning rate of memory tokens and calibration, relative to the adapters'.
        query_lr_scale: the same of what ``query`` adds: small maps, which learn at rates that adapters cannot have.
        generate_rows: so many rows of the validation file are answered by the last validation of an epoch or of the
            run; 0 answers none.
        max_new_tokens: such an answer ends there at the latest.
        memory_tokens: checked against ``init_from``; without it, as in ``SalientCompressor``.
        document_tokens: checked against ``init_from``.
        memory: checked against ``init_from``.
        lora: checked against ``init_from``.
        prompt: checked against ``init_from``.
        query: what is learned of a question's vectors beside the query reasoner's adapter: a projection, and how much
            each counts; with ``init_from``, that folder's.
    """

    def __init__(
        self,
        *,
        backbone: BackboneConfig = BackboneConfig(),
        init_from: str | None = None,
        store: str | None = None,
        candidates: CandidateMix | None = None,
        num_candidates: int = 20,
        top_k: int = 5,
        score: ScoreName = "maxsim",
        hybrid_weight: float = 0.0,
        train_generator: bool = True,
        read_gold: float | None = None,
        temperature: float = 0.02,
        final_temperature: float | None = None,
        learn_temperature: bool = False,
        standardise: bool = False,
        estimators: list[Estimator] | None = None,
        optimizer: OptimizerCallable = adamw,
        schedule: ScheduleConfig = ScheduleConfig(),
        memory_lr_scale: float = 2.0,
        query_lr_scale: float = 10.0,
        generate_rows: int = 64,
        max_new_tokens: int = 32,
        memory_tokens: int | None = None,
        document_tokens: int | None = None,
        memory: MemoryKind | None = None,
        lora: LoraSettings | None = None,
        prompt: PromptTemplate | None = None,
        query: QueryConfig | None = None,
    ) -> None:
        if init_from is None and store is not None:
            raise ClaraError("model.init_args.init_from is required with a store: the adapters that it was made with")
        if candidates and store is None:
            raise ClaraError(f"model.init_args.store is required when model.init_args.candidates is {candidates}")
        if not 0 <= hybrid_weight < 1:
            raise ClaraError(f"model.init_args.hybrid_weight must be >= 0 and below 1, got {hybrid_weight}")
        if hybrid_weight and not candidates:
            raise ClaraError("model.init_args.candidates is required with model.init_args.hybrid_weight")
        if candidates and num_candidates < top_k:
            raise ClaraError(f"model.init_args.top_k must be <= num_candidates ({num_candidates}), got {top_k}")
        if read_gold is not None and not 0 <= read_gold <= 1:
            raise ClaraError(f"model.init_args.read_gold must be between 0 and 1, got {read_gold}")
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
            query=query,
        )
        if self.query.importance and score != "maxsim":
            raise ClaraError(f"model.init_args.score must be maxsim with query.importance, got {score}")
        self.store_path = store
        self.mix = candidates
        self.num_candidates = num_candidates
        self.query_lr_scale = checked_scale("query_lr_scale", query_lr_scale)
        self.top_k = top_k
        self.score: ScoreName = score
        self.hybrid_weight = hybrid_weight
        self.train_generator = train_generator
        self.read_gold = read_gold
        self.select = Selection(
            k=top_k,
            estimators=DEFAULT if estimators is None else estimators,
            temperature=temperature,
            final_temperature=final_temperature,
            learned=learn_temperature,
            standardised=standardise,
        )
        self.scored: Scored | None = None  # the last batch of training, for who looks on
        self.searches = SearchFigures(top_k=top_k)
        self.losses = ConditionLosses(("retrieved", *CONDITIONS))
        self._source: CandidateSource | None = None
        self._store: LatentStore | None = None
        self._ahead: StoredPassages | CandidateDrafts | None = None  # what is read before the step
        self._progress = 0.0  # of the run, from 0 at its first step to 1 at its last

    @property
    def adapters(self) -> Sequence[str]:
        """All three."""
        return (COMPRESSOR, GENERATOR, QUERY_REASONER)

    @property
    def trained(self) -> Sequence[str]:
        """Query reasoner and, as configured, generator; the compressor is frozen, so a store stays valid."""
        return (GENERATOR, QUERY_REASONER) if self.train_generator else (QUERY_REASONER,)

    @property
    def late_figures(self) -> tuple[str, ...]:
        """As every stage; those that the generator alone can change, where it does not learn."""
        unchanged = () if self.train_generator else tuple(f"val/{name}" for name in UNTRAINED)
        return (*super().late_figures, *unchanged)

    @property
    def reads_answers(self) -> bool:
        """Whether training reads the answers from what was taken."""
        return self.train_generator or self.select.has_rows or self.select.weighs_success

    @property
    def read_gold_share(self) -> float:
        """How often a question that took no gold document reads one in training."""
        if not self.reads_answers:
            return 0.0
        if self.read_gold is None:
            return 0.0 if self.select.has_rows or self.select.weighs_success else READ_GOLD
        return self.read_gold

    @property
    def is_contrastive(self) -> bool:
        """Whether gold documents are all that teaches."""
        return self.select.needs_gold and not self.reads_answers

    @property
    def retrieval(self) -> RetrievalConfig:
        """The score, the number of documents and the temperature of this training."""
        return RetrievalConfig(
            score=self.score,
            top_k=self.top_k,
            temperature=self.select.temperature,
            hybrid_weight=self.hybrid_weight,
            standardise=self.select.standardised,
        )

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

    def in_effect(self) -> dict[str, str]:
        """What teaches the scores, what of them is learned beside the adapter, and what the generator reads."""
        names = " + ".join(type(each).__name__ for each in self.select.estimators)
        learned = [f"a projection of rank {self.query.projection}"] if self.query.projection else []
        learned += ["the importance of each"] if self.query.importance else []
        shown = {"estimators": f"{names} at temperature {self.select.temperature:g}"}
        shown |= {"query vectors": f"learned: {' and '.join(learned)}"} if learned else {}
        share = f"{self.read_gold_share:g} of those that took no gold document read one in the place of the last"
        return shown | ({"questions read": f"what they took; {share}"} if self.read_gold_share else {})

    def without_effect(self) -> list[str]:
        """Settings of parts that are not there, or that have no use for them."""
        found = []
        if self.mix is None and self.num_candidates != default_of(JointRAGModule, "num_candidates"):
            found.append("model.init_args.num_candidates: model.init_args.candidates is not given")
        if self.query == QueryConfig() and self.query_lr_scale != default_of(JointRAGModule, "query_lr_scale"):
            found.append("model.init_args.query_lr_scale: model.init_args.query adds nothing")
        if self.read_gold is not None and not self.reads_answers:
            found.append("model.init_args.read_gold: no answer is read from what is taken")
        if self.select.standardised and self.select.needs_gold:
            found.append("model.init_args.standardise: no estimator of model.init_args.estimators uses such scores")
        return found

    def take_data(self, data: Any, *, speaks: bool) -> None:
        """Open the store, and look through the questions: a mistake in the last one is found before the first step."""
        if self.store_path and self._store is None:
            self._store = LatentStore.open(self.store_path, setting="model.init_args.store")
            self._ahead = self._drafts(self._store, self.mix) if self.mix else StoredPassages(self._store)
        if not isinstance(data, ExamplesDataModule):
            return  # a DataModule of the user's own
        if not isinstance(data, QADataModule):
            raise ClaraError("data.class_path must be clara_lightning.QADataModule for JointRAGModule")
        questions = [*data.train_rows, *data.val_rows]
        if isinstance(self._ahead, CandidateDrafts):
            check_mix(questions, self._ahead)
        else:
            check_given(questions, self._ahead, top_k=self.top_k)
        data.prepare = self._ahead
        self._look_for_gold(data, speaks=speaks)

    def _drafts(self, store: LatentStore, mix: CandidateMix) -> CandidateDrafts:
        by_words = mix.bm25 or self.hybrid_weight
        lexical = LexicalIndex.open(store, setting="model.init_args.store") if by_words else None
        return CandidateDrafts(store, mix, num_candidates=self.num_candidates, lexical=lexical, seed=self.run_seed)

    def _look_for_gold(self, data: QADataModule, *, speaks: bool) -> None:
        """Leave out what contrastive training cannot learn from, and say what is measured in part alone."""
        searched, num_rows = self.mix is not None, len(data.train_rows)
        with_gold = [row for row in data.train_rows if has_gold(row, searched=searched)]
        if self.is_contrastive and num_rows:
            if not with_gold:
                raise ClaraError(
                    "model.init_args.estimators: gold documents alone teach, but no training question has one"
                )
            data.train_rows = with_gold
        without = num_rows - len(with_gold)
        unknown = sum(not has_gold(row, searched=searched) for row in data.val_rows)
        if self.select.learns_from_gold and without and speaks:
            others = "teach the generator alone" if self.select.needs_gold else "teach by the other estimators alone"
            outcome = "are left out" if self.is_contrastive else others
            log.warning("%d of %d training questions name no gold document and %s", without, num_rows, outcome)
        if unknown and speaks:
            text = "%d of %d validation questions name no gold document: val/ce_retrieved and answers alone count them"
            log.info(text, unknown, len(data.val_rows))

    def configure_model(self) -> None:
        """Build the backbone, and compare the store with the compressor."""
        if hasattr(self, "backbone"):
            return
        if isinstance(self.trainer.strategy, ShardedStrategy) and self.trained_beside():
            raise ClaraError("model.init_args.learn_temperature must be false where trainer.strategy is sharded")
        super().configure_model()
        store = self._store
        if store is not None:
            store.require(
                fingerprint=fingerprint(self.backbone),
                memory_tokens=self.memory_config.tokens,
                setting="model.init_args.store",
            )
        if isinstance(self._ahead, CandidateDrafts):
            index = open_index(self._ahead.store, score=self.score) if self._ahead.mix.search else None
            self._source = MixedCandidates(self._ahead, index, by_words=self.hybrid_weight > 0)
        else:
            self._source = GivenCandidates(self.backbone, self._ahead)

    def trained_beside(self) -> list[nn.Parameter]:
        """The temperature, where it is learned."""
        return list(self.select.parameters())

    def lr_groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """As every stage; what ``query`` adds, where it does, is a third group."""
        adapters, (scale, heads) = super().lr_groups()
        head = self.backbone.head(QUERY_REASONER)
        if not isinstance(head, QueryHead) or not head.learned:
            return [adapters, (scale, heads)]
        learned = [parameter for name, parameter in head.named_parameters() if name in head.learned]
        others = [each for each in heads if not any(each is own for own in learned)]
        return [adapters, (scale, others), (self.query_lr_scale, learned)]

    def own_state(self) -> list[str]:
        """As every stage, with a learned temperature."""
        return [*super().own_state(), *(f"select.{name}" for name in self.select.state_dict())]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As every stage, and note whether the generator learns."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[GENERATOR_KEY] = self.train_generator

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As every stage, and refuse a checkpoint that trained other adapters."""
        super().on_load_checkpoint(checkpoint)
        check_generator(checkpoint, self.train_generator)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """As every stage, and set the temperature of the step, and how often gold documents join."""
        super().on_train_batch_start(batch, batch_idx)
        self._progress = min(1.0, self.global_step / max(1, self.trainer.estimated_stepping_batches - 1))
        self.select.reach(self._progress)

    def training_step(self, batch: list[Question], batch_idx: int) -> Tensor:
        """Loss of one batch."""
        found = self._search(batch)
        terms = self._losses(batch, found)
        parts = self.step_means.add([losses_B.sum() for losses_B in terms], batch, batch_idx)
        if (step := self.step_means.whole(batch_idx)) is not None:
            for name, value in zip(("loss", "estimator_loss"), step, strict=False):
                self.log(f"train/{name}", value, batch_size=len(batch), prog_bar=name == "loss")
        self.scored = Scored(found.scores_BN.detach(), found.candidates.mask_BN, found.candidates.gold_BN)
        if self.is_logged:
            self.log("train/temperature", self.select.temperature, batch_size=len(batch))
        for name, value in (collapse_statistics(found.taken_BK) if self.is_logged else {}).items():
            self.log(f"train/{name}", value, batch_size=len(batch))
        return torch.stack(parts).sum()

    def requests(self, examples: Sequence[Question]) -> list[Prompt]:
        """The questions, from the memory of what is taken for each of them."""
        return [answering_request(row, template=self.prompt, documents=self.top_k) for row in examples]

    def targets(self, examples: Sequence[Question]) -> tuple[int, ...]:
        """Answer tokens, where answers are read from what was taken; questions, where estimators have a loss."""
        tokens = [self.backbone.prompts.count_answer_tokens(self.requests(examples))] if self.reads_answers else []
        return (*tokens, len(examples)) if self.select.has_losses else tuple(tokens)

    def on_validation_epoch_start(self) -> None:
        """Begin a validation."""
        self._measures_all = self.train_generator or measures_everything(self.trainer)
        self.searches.reset()
        self.losses.reset()
        self.answers.start(self.trainer)

    def validation_step(self, batch: list[Question], batch_idx: int) -> None:
        """Where the gold documents stand; how likely the answers are from what was taken, and under each condition."""
        real = batch.real if isinstance(batch, Batch) else len(batch)
        found = self._search(batch)
        gold = self.source.gold(batch, found.candidates)
        searches = self.searches
        searches.add(found, real=real)
        if self.is_contrastive:
            searches.contrast.update(self._contrast(found, gold)[: sum(bool(own.keys) for own in gold[:real])])
        prompts, memory_BKLD = self.requests(batch), found.memory_BKLD()
        loss = self.backbone.answer_loss(prompts, memory_BKLD)
        self.losses.update("retrieved", loss.sum_B[:real], loss.tokens_B[:real])
        asked, names = self._asked(batch, found, gold), CONDITIONS if self._measures_all else ("none",)
        costs = measure_conditions(self.backbone, asked, self.losses, real=real, conditions=names)
        searches.success.update((loss.mean_B < costs["none"])[:real].float())
        self.answers.add(self.backbone, prompts, memory_BKLD, [row.answers for row in batch], real=real)

    def on_validation_epoch_end(self) -> None:
        """Log the figures; ``val/loss`` is the mean of what training minimises."""
        unmeasured = () if self._measures_all else UNTRAINED
        losses = {name: value for name, value in self.losses.compute().items() if name not in unmeasured}
        searches = self.searches
        loss = searches.contrast.compute() if self.is_contrastive else losses["ce_retrieved"]
        self.log("val/loss", loss, prog_bar=True)
        if "information_retained" in losses:
            self.log("val/information_retained", losses.pop("information_retained"), prog_bar=True)
        self.log_dict({f"val/{name}": value for name, value in searches.ranking.compute().items()}, prog_bar=True)
        figures: dict[str, Any] = {**losses, **searches.figures(), **self.answers.figures()}
        self.log_dict({f"val/{name}": value for name, value in figures.items()})

    test_step = validation_step
    on_test_epoch_start = on_validation_epoch_start
    on_test_epoch_end = on_validation_epoch_end

    @property
    def source(self) -> CandidateSource:
        """Where candidates and gold documents come from; there once the model is built."""
        assert self._source is not None
        return self._source

    def _search(self, batch: list[Question]) -> Found:
        """Query, candidates, selection."""
        query = self.backbone.read([question.question for question in batch], adapter=QUERY_REASONER)
        gold_share = self.mix.gold_at(self._progress) if self.mix and self.training else 0.0
        candidates = self.source(batch, query, gold_share=gold_share)
        scores_BN = score(self.score, query.memory_NLD, candidates.memory_BNLD, query.weights_NL)
        mask_BN = None if candidates.is_full else candidates.mask_BN
        if candidates.lexical_BN is not None:
            scores_BN = fused(scores_BN, candidates.lexical_BN, mask_BN, weight=self.hybrid_weight)
        teacher = BatchTeacher(
            self.backbone,
            self.source,
            name=self.score,
            template=self.prompt,
            questions=batch,
            query=query,
            candidates=candidates,
            in_step=isinstance(self.trainer.strategy, ShardedStrategy),
        )
        return Found(self.score, query, candidates, scores_BN, self.select(scores_BN, mask_BN, teacher))

    def _losses(self, batch: list[Question], found: Found) -> list[Tensor]:
        """Negative log-likelihood of each answer from what was taken ``(B,)``; beside it the estimators' losses."""
        selected = found.selected
        own = [] if selected.loss_B is None else [selected.loss_B]
        if self.is_contrastive:
            self._require_gold(batch, found)
        if not self.reads_answers:
            return own
        requests = self.requests(batch)
        loss = self.backbone.answer_loss(requests, found.memory_BKLD(self._gold_to_read(batch, found)))
        if self.select.weighs_success:
            with torch.no_grad(), self.backbone.evaluating():
                without = self.backbone.answer_loss([replace(prompt, background=()) for prompt in requests])
            selected.weigh(loss.mean_B, without.mean_B)
        return [loss.sum_B, *own]

    def _gold_to_read(self, batch: list[Question], found: Found) -> list[GoldDocuments]:
        """Gold documents of the questions that read one where they took none; of the others none."""
        if not self.read_gold_share:
            return []
        place = f"{self.run_seed}-{self.trainer.current_epoch}"
        return [
            own if random.Random(f"{place}-{question.id}").random() < self.read_gold_share else own.none()
            for question, own in zip(batch, self.source.gold(batch, found.candidates), strict=True)
        ]

    def _require_gold(self, batch: list[Question], found: Found) -> None:
        """Of a DataModule of the user's own: questions of others were looked through at the start."""
        for question, num_gold in zip(batch, found.candidates.num_gold_B.tolist(), strict=True):
            if not num_gold:
                raise ClaraError(f"question {question.id!r}: no gold document, and nothing else teaches")

    def _contrast(self, found: Found, gold: Sequence[GoldDocuments]) -> Tensor:
        """Contrastive loss of each question that has gold documents, against its own candidates."""
        temperature = self.select.tau
        _, losses = contrastive_losses(
            found.query, found.candidates, gold, name=self.score, temperature=temperature, in_batch=False
        )
        return losses

    def _asked(self, batch: list[Question], found: Found, gold: Sequence[GoldDocuments]) -> list[Asked]:
        """Each question with its gold documents, and with candidates in their place."""
        others = other_candidates(found.candidates, gold)
        return [
            Asked(prompt, self.source.gold_texts(question), own.memory_NLD, other)
            for prompt, question, own, other in zip(self.requests(batch), batch, gold, others, strict=True)
        ]


def check_generator(checkpoint: Mapping[str, Any], wanted: bool) -> None:
    """Refuse to resume a training from one that trained other adapters.

    Raises:
        ClaraError: whether the checkpoint's generator was trained is not as ``wanted``.
    """
    found = checkpoint.get(GENERATOR_KEY, wanted)
    if found != wanted:
        raise ClaraError(
            f"--ckpt_path: the checkpoint is of model.init_args.train_generator {str(found).lower()}, here it is "
            f"{str(wanted).lower()}; to start from its adapters set model.init_args.init_from"
        )
