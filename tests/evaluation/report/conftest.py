"""An evaluation by hand: forty questions, eleven conditions, three retrievers at two scales."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from clara_lightning.evaluation.report import write
from clara_lightning.evaluation.report.canvas import Picture
from clara_lightning.evaluation.report.page import Page, make_page
from clara_lightning.evaluation.report.pictures import pictures
from clara_lightning.evaluation.results import (
    ConditionInfo,
    Costs,
    Figure,
    Figures,
    Paraphrased,
    Prediction,
    RankedQuestion,
    Results,
    StepCost,
)

CONDITIONS = {
    "none": ConditionInfo("no memory", "generator", "none", "none"),
    "another": ConditionInfo("another document's memory", "generator", "another", "memory"),
    "gold_memory": ConditionInfo("gold memory", "generator", "gold", "memory"),
    "gold_text": ConditionInfo("gold text", "generator", "gold", "text"),
    "retrieved_memory": ConditionInfo("retrieved memory (Normal)", "generator", "retrieved", "memory", "clara"),
    "oracle_memory": ConditionInfo(
        "retrieved memory, gold injected (Oracle)", "generator", "oracle", "memory", "clara"
    ),
    "bm25_memory": ConditionInfo("memory of what BM25 finds", "generator", "retrieved", "memory", "bm25"),
    "backbone_none": ConditionInfo("backbone alone, closed book", "backbone", "none", "none"),
    "backbone_gold_text": ConditionInfo("backbone alone, gold text", "backbone", "gold", "text"),
    "backbone_gold_tokens": ConditionInfo("backbone alone, chosen gold tokens", "backbone", "gold", "tokens"),
    "backbone_bm25_text": ConditionInfo(
        "backbone alone, text of what BM25 finds", "backbone", "retrieved", "text", "bm25"
    ),
}
# F1, cross-entropy, information retained, input and background positions, compression rate
FIGURES = {
    "none": (0.06, 3.1, 0.0, 31, 0, math.nan),
    "another": (0.05, 3.2, -0.08, 41, 10, 16),
    "gold_memory": (0.41, 1.9, 0.92, 41, 10, 16),
    "gold_text": (0.45, 1.8, 1.0, 191, 160, 1),
    "retrieved_memory": (0.33, 2.2, 0.69, 81, 50, 16),
    "oracle_memory": (0.37, 2.05, 0.81, 81, 50, 16),
    "bm25_memory": (0.31, 2.3, 0.62, 81, 50, 16),
    "backbone_none": (0.04, 4.2, -0.85, 31, 0, math.nan),
    "backbone_gold_text": (0.39, 2.6, 0.38, 191, 160, 1),
    "backbone_gold_tokens": (0.21, 3.4, -0.23, 41, 10, 16),
    "backbone_bm25_text": (0.30, 2.9, 0.15, 831, 800, 1),
}
RECALL = {"clara": 0.72, "bm25": 0.64, "dense": 0.7}


def around(value: float, spread: float = 0.06) -> Figure:
    return Figure(value, value - spread, value + spread)


def answers_of(name: str) -> Figures:
    f1, entropy, retained, inputs, background, rate = FIGURES[name]
    return {
        "em": around(0.7 * f1),
        "f1": around(f1),
        "cover_em": around(0.9 * f1),
        "cross_entropy": around(entropy, 0.2),
        "information_retained": around(retained),
        "words": around(3.2, 0.4),
        "input_positions": around(inputs, 4),
        "background_positions": around(background, 3),
        "compression_rate": around(rate, 0),
    }


def ranking_of(name: str) -> Figures:
    recall = RECALL[name]
    names = ("recall@1", "recall@5", "precision@1", "precision@5", "ndcg@5", "mrr", "map")
    figures = {each: around(recall * (0.6 if each.endswith("@1") else 1)) for each in names}
    figures |= {each: around(0.6, 0.05) for each in ("distinct_share", "selection_entropy")}
    figures["top_share"] = around(0.08, 0.04)
    return figures | ({} if name == "bm25" else {"score_entropy": around(0.9, 0.01)})


def with_differences(results: Results) -> Results:
    """The results with differences whose intervals are as wide as those of both figures together."""

    def less(ours: Figures, theirs: Figures) -> Figures:
        return {
            name: Figure(one.value - theirs[name].value, one.low - theirs[name].high, one.high - theirs[name].low)
            for name, one in ours.items()
            if name in theirs
        }

    systems = dict(results.answers)
    for scale, retrievers in results.retrieval.items():
        systems |= {f"{scale}/{name}": figures for name, figures in retrievers.items()}
    return replace(
        results,
        differences={
            ours: {other: less(systems[ours], systems[other]) for other in systems if other != ours}
            for ours in ("gold_memory", "retrieved_memory", "corpus/clara", "candidates/clara")
            if ours in systems
        },
    )


def make_results() -> Results:
    curves = {name: [recall * (1 - 0.6 * 0.7**k) for k in range(100)] for name, recall in RECALL.items()}
    return Results(
        settings={
            "command": "clara evaluate --adapters runs/joint/adapters --data qa.jsonl --store store --out report",
            "top_k": 5,
            "seed": 0,
            "limit": None,
            "resamples": {"number": 2000, "level": 0.95},
        },
        adapters={"stage": "joint", "fingerprint": "sha256:" + "3f9a" * 16, "backbone": "SmolLM2-135M-Instruct"},
        questions=40,
        documents=256,
        corpus="store",
        conditions=CONDITIONS,
        answers={name: answers_of(name) for name in CONDITIONS},
        retrieval={scale: {name: ranking_of(name) for name in RECALL} for scale in ("corpus", "candidates")},
        recall_curves={"corpus": curves, "candidates": {name: curve[:10] for name, curve in curves.items()}},
        losses={
            name: dict(zip(PARTS, shares, strict=True))
            for name, shares in {
                "retrieved_memory": (0.3, 0.4, 0.03, 0.27),
                "oracle_memory": (0.36, 0.45, 0.02, 0.17),
                "bm25_memory": (0.25, 0.38, 0.05, 0.32),
                "backbone_bm25_text": (0.24, 0.39, 0.0, 0.37),
            }.items()
        },
        paraphrases={"gold_memory": {"rouge_l": around(0.41), "words": around(60, 8)}},
        retrievers={"clara": "CLaRa", "bm25": "BM25", "dense": "dense (all-MiniLM-L6-v2)"},
        notes=["3 gold documents are longer than the compressor's limit: neither memory nor text holds their tail."],
    )


PARTS = ("retrieved_answered", "retrieved_wrong", "missed_answered", "missed_wrong")


def make_costs() -> Costs:
    steps = {"compress": StepCost(256, 41.3, 912 * 2**20), "search:clara": StepCost(40, 12.0, None)}
    steps |= {f"answer:{name}": StepCost(40, 90.0 + figures[3], 900 * 2**20) for name, figures in FIGURES.items()}
    return Costs("cpu", 1, 312.4, steps, {"memory": 5760.0, "text": 812.0})


def make_prediction(number: int, condition: str, *, prediction: str, f1: float) -> Prediction:
    info = CONDITIONS[condition]
    documents = {
        "none": (),
        "another": (("d99", None),),
        "gold": ((f"d{number}", None),),
    }.get(info.documents, ((f"d{number}", 0.83), ("d7", 0.5)))
    return Prediction(
        id=f"q{number}",
        condition=condition,
        question=f"Which goods does the port number {number} of Alba ship to the islands in the north?",
        answers=(f"copper {number}", "copper"),
        prediction=prediction,
        documents=documents,
        gold=(f"d{number}",),
        em=f1,
        f1=f1,
        cover_em=f1,
        words=len(prediction.split()),
        nll=4.2,
        answer_tokens=3,
        input_positions=41,
        background_positions=10,
        document_tokens=160,
    )


def make_predictions() -> list[Prediction]:
    made = []
    for number in range(40):
        for place, condition in enumerate(CONDITIONS):
            right = FIGURES[condition][0] > (number * 7 % 40) / 60
            answer = (
                f"copper {number}" if right else ["", "honey and flax from the hills", "gold"][(number + place) % 3]
            )
            made.append(make_prediction(number, condition, prediction=answer, f1=float(right)))
    return made


_DRAWN: dict[str, dict[str, Picture]] = {}


def drawn_once(results: Results) -> dict[str, Picture]:
    """The pictures of these results, which take a second to draw."""
    key = json.dumps(results.to_json())
    if key not in _DRAWN:
        _DRAWN[key] = pictures(results)
    return _DRAWN[key]


@dataclass(frozen=True)
class Evaluated:
    """Everything that a report is made of."""

    results: Results
    costs: Costs
    predictions: list[Prediction]
    rankings: list[RankedQuestion]
    paraphrases: list[Paraphrased]

    def write(self, folder: Path) -> Path:
        write.write_report(folder, self.results, self.costs, self.predictions, self.rankings, self.paraphrases)
        return folder

    def with_results(self, **changes: object) -> Evaluated:
        """The same evaluation with other results."""
        return replace(self, results=with_differences(replace(self.results, **changes)))  # type: ignore[arg-type]

    def drawn(self) -> dict[str, Picture]:
        return drawn_once(self.results)

    def page(self) -> Page:
        return make_page(self.results, self.costs, self.predictions, pictures={})

    def answering(self, condition: str, **figures: tuple[float, float, float]) -> Evaluated:
        """The same evaluation with other figures (value, low, high) of one condition."""
        changed = self.results.answers[condition] | {name: Figure(*each) for name, each in figures.items()}
        return self.with_results(answers=self.results.answers | {condition: changed})

    def ranking(self, retriever: str, **figures: tuple[float, float, float]) -> Evaluated:
        """The same evaluation with other figures of one retriever, at both scales; ``at`` stands for ``@``."""
        named = {name.replace("_at_", "@"): Figure(*each) for name, each in figures.items()}
        retrieval = {
            scale: systems | {retriever: systems[retriever] | named}
            for scale, systems in self.results.retrieval.items()
        }
        return self.with_results(retrieval=retrieval)

    def without(self, *conditions: str) -> Evaluated:
        """The same evaluation without some conditions."""
        kept = {name: info for name, info in self.results.conditions.items() if name not in conditions}
        answers = {name: self.results.answers[name] for name in kept}
        losses = {name: shares for name, shares in self.results.losses.items() if name in kept}
        return self.with_results(conditions=kept, answers=answers, losses=losses)

    def without_search(self) -> Evaluated:
        """The same evaluation where there was nothing to search in."""
        bare = self.without("retrieved_memory", "oracle_memory", "bm25_memory", "backbone_bm25_text")
        bare = bare.with_results(retrieval={}, recall_curves={}, retrievers={}, paraphrases={})
        return replace(bare, rankings=[], paraphrases=[])

    def with_text(self, text: str) -> Evaluated:
        """The same evaluation with this text in every field that comes from outside."""
        results = replace(
            self.results,
            settings={text: text, "command": text, "nested": {text: [text]}},
            adapters={"backbone": text, "stage": text, "fingerprint": text},
            conditions={name: replace(info, label=text) for name, info in self.results.conditions.items()},
            retrievers=dict.fromkeys(self.results.retrievers, text),
            notes=[text, text],
        )
        costs = replace(
            self.costs,
            device=text,
            steps=self.costs.steps | {text: StepCost(1, 1.0, 1)},
            bytes_per_document={text: 1.0},
        )
        predictions = [
            replace(each, id=f"{text}{each.id}", question=text, answers=(text, text), prediction=text)
            for each in self.predictions
        ]
        return replace(self, results=results, costs=costs, predictions=predictions)


@pytest.fixture(autouse=True)
def _draw_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "pictures", drawn_once)


@pytest.fixture
def evaluated() -> Evaluated:
    return Evaluated(
        with_differences(make_results()),
        make_costs(),
        make_predictions(),
        [RankedQuestion("q0", "corpus", "clara", (("d0", 0.83), ("d7", 0.5)), ("d0", "d3"), (1, None), 100)],
        [Paraphrased("d0", "gold_memory", "Alba ships copper.", "Copper is shipped.", 0.5, 3)],
    )
