"""From the records of an evaluation to its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from clara_lightning.backbone.folder import weights_sha256
from clara_lightning.evaluation.conditions import CLARA
from clara_lightning.evaluation.figures import (
    Samples,
    answer_samples,
    collapse_figures,
    differences_to,
    figures_of,
    loss_shares,
    paraphrase_samples,
    ranking_samples,
    recall_curve,
)
from clara_lightning.evaluation.ranking import DEPTH, Rankings, describe
from clara_lightning.evaluation.results import ConditionInfo, Figures, Paraphrased, Prediction, RankedQuestion, Results
from clara_lightning.evaluation.retrievers import Ranking
from clara_lightning.evaluation.settings import EvaluationSettings
from clara_lightning.evaluation.setup import Inputs, Prepared
from clara_lightning.objectives.bootstrap import LEVEL, RESAMPLES, Bootstrap

CUTOFFS = (1, 5, 10, 20)
COMPARED = ("gold_memory", "retrieved_memory")  # with every other condition


@dataclass(frozen=True)
class Records:
    """What was measured.

    Attributes:
        conditions: of the answers' table.
        predictions: by condition.
        rankings: of all questions.
        paraphrases: of documents; may be empty.
    """

    conditions: Mapping[str, ConditionInfo]
    predictions: Mapping[str, list[Prediction]]
    rankings: Rankings
    paraphrases: Sequence[Paraphrased]


def summarize(
    settings: EvaluationSettings, inputs: Inputs, prepared: Prepared, records: Records, *, top_k: int
) -> tuple[Results, list[RankedQuestion]]:
    """The results, and the rankings as they are written down."""
    searched = _Searched()
    bootstrap = Bootstrap(len(prepared.asked), seed=settings.seed)
    for scale, systems in records.rankings.scales().items():
        searched.add(scale, systems, prepared, bootstrap, top_k=top_k)
    samples = _answer_samples(records, seed=settings.seed)
    results = Results(
        settings=_settings(settings, top_k=top_k),
        adapters=_adapters(inputs, prepared),
        questions=len(prepared.asked),
        documents=len(prepared.corpus),
        corpus="store" if inputs.store is not None else "passages",
        conditions=dict(records.conditions),
        answers={name: figures_of(each) for name, each in samples.items()},
        retrieval=searched.figures,
        recall_curves=searched.curves,
        losses={
            name: loss_shares(records.predictions[name])
            for name, info in records.conditions.items()
            if info.retriever is not None
        },
        differences=searched.differences | _answer_differences(samples),
        paraphrases=_paraphrases(records, seed=settings.seed),
        retrievers={name: retriever.label for name, retriever in prepared.retrievers.items()},
        notes=_notes(prepared, records),
    )
    return results, searched.lines


@dataclass
class _Searched:
    """What is said about retrieval, scale by scale."""

    figures: dict[str, dict[str, Figures]] = field(default_factory=dict)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    differences: dict[str, dict[str, Figures]] = field(default_factory=dict)
    lines: list[RankedQuestion] = field(default_factory=list)

    def add(
        self,
        scale: str,
        systems: Mapping[str, Sequence[Ranking]],
        prepared: Prepared,
        bootstrap: Bootstrap,
        *,
        top_k: int,
    ) -> None:
        """Take in the rankings of all retrievers at one scale."""
        longest = max(len(ranking.rows) for found in systems.values() for ranking in found)
        cutoffs = sorted({k for k in (*CUTOFFS, top_k) if k <= longest})
        self.figures[scale], self.curves[scale] = {}, {}
        samples: dict[str, Samples] = {}
        for name, found in systems.items():
            ranked = describe(scale, name, found, prepared.asked, prepared.corpus)
            cosines = [ranking.scores for ranking in found] if prepared.retrievers[name].cosines else None
            taken_BK = [ranking.top(top_k).rows for ranking in found]
            samples[f"{scale}/{name}"] = ranking_samples(ranked, bootstrap, cutoffs=cutoffs)
            self.figures[scale][name] = figures_of(samples[f"{scale}/{name}"]) | collapse_figures(
                taken_BK, cosines, bootstrap
            )
            self.curves[scale][name] = recall_curve(ranked, depth=min(longest, DEPTH))
            self.lines += ranked
        ours = samples.pop(f"{scale}/{CLARA}")
        names = [*(f"recall@{k}" for k in cutoffs), "mrr"]
        self.differences[f"{scale}/{CLARA}"] = differences_to(ours, samples, names=names)


def _answer_samples(records: Records, *, seed: int) -> dict[str, Samples]:
    if not records.conditions:
        return {}
    bootstrap = Bootstrap(len(next(iter(records.predictions.values()))), seed=seed)
    readers = {name: info.reader for name, info in records.conditions.items()}
    return answer_samples(records.predictions, bootstrap, readers=readers)


def _answer_differences(samples: Mapping[str, Samples]) -> dict[str, dict[str, Figures]]:
    """Gold and retrieved memory beside every other condition."""
    return {
        name: differences_to(
            samples[name],
            {other: each for other, each in samples.items() if other != name},
            names=("f1", "cover_em", "cross_entropy"),
        )
        for name in COMPARED
        if name in samples
    }


def _settings(settings: EvaluationSettings, *, top_k: int) -> dict[str, Any]:
    return {
        "data": settings.data,
        "store": settings.store,
        "top_k": top_k,
        "candidates": settings.num_candidates or None,
        "conditions": settings.conditions,
        "dense": settings.dense,
        "limit": settings.limit,
        "batch_size": settings.batch_size,
        "seed": settings.seed,
        "max_new_tokens": settings.max_new_tokens,
        "reasoners": dict(settings.reasoners),
        "paraphrases": settings.paraphrases,
        "interval": LEVEL,
        "resamples": RESAMPLES,
    } | ({} if settings.hybrid is None else {"hybrid": asdict(settings.hybrid)})


def _adapters(inputs: Inputs, prepared: Prepared) -> dict[str, Any]:
    folder = inputs.folder
    return {
        "path": str(folder.path),
        "stage": folder.stage,
        "compressor": folder.fingerprint,
        "weights_sha256": weights_sha256(folder),
        "backbone": folder.backbone["name"],
        "dtype": str(prepared.backbone.causal_lm.dtype).removeprefix("torch."),
        "memory": folder.memory.kind,
        "memory_tokens": folder.memory.tokens,
        "document_tokens": folder.memory.document_tokens,
        "score": folder.retrieval.score,
    }


def _paraphrases(records: Records, *, seed: int) -> dict[str, Figures]:
    by_condition: dict[str, list[Paraphrased]] = {}
    for row in records.paraphrases:
        by_condition.setdefault(row.condition, []).append(row)
    return {
        name: figures_of(paraphrase_samples(rows, Bootstrap(len(rows), seed=seed)))
        for name, rows in by_condition.items()
    }


def _notes(prepared: Prepared, records: Records) -> list[str]:
    """What was cut, left out or not measured, and why."""
    notes = list(prepared.notes)
    gold = [document.content for document in prepared.corpus.documents(prepared.gold_rows)]
    if cut := prepared.backbone.count_cut(gold):
        limit = prepared.backbone.memory_config.document_tokens
        notes.append(f"{cut} of {len(gold)} gold documents are longer than {limit} tokens: memory and text end there")
    without = sum(not one.question.answers for one in prepared.asked)
    if without:
        notes.append(f"{without} of {len(prepared.asked)} questions have no answer and were searched for alone")
    if records.rankings.candidates and not records.rankings.corpus:
        notes.append("candidates hold each question's gold passages: what is retrieved is what the paper calls Oracle")
    return notes
