"""A world made by hand, in which every figure is known by counting: a wrong result is caught here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clara_lightning.backbone.folder import AdapterFolder
from clara_lightning.corpus.index import ScanIndex
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.records import Question
from clara_lightning.evaluation.conditions import Given, give, possible_conditions
from clara_lightning.evaluation.corpus import Asked
from clara_lightning.evaluation.costs import Meter
from clara_lightning.evaluation.processes import Processes
from clara_lightning.evaluation.ranking import Rankings, rank_all
from clara_lightning.evaluation.results import Prediction, RankedQuestion, Results
from clara_lightning.evaluation.retrievers import LatentRetriever
from clara_lightning.evaluation.settings import EvaluationSettings
from clara_lightning.evaluation.setup import Inputs, Prepared
from clara_lightning.evaluation.summary import Records, summarize
from clara_lightning.evaluation.work import Journal, Work

TOP_K = 2
# Cosines of a query with the documents d0 to d4 fall from the first to the last of this order.
ORDERS = {"q0": (0, 1, 2, 3, 4), "q1": (0, 2, 1, 3, 4), "q2": (0, 3, 4, 1, 2), "q3": (0, 1, 4, 2, 3)}
GOLD = {"q0": (0,), "q1": (1,), "q2": (3, 1), "q3": (2,)}
CANDIDATES = {"q0": (0, 4), "q1": (1, 3, 4), "q2": (1, 3), "q3": (2, 3, 4)}
# What was answered from what was retrieved, and the negative log-likelihood and the tokens of the right answer.
ANSWERS = {"q0": ("yes", 1.0, 1), "q1": ("no", 4.0, 2), "q2": ("yes it is", 3.0, 2), "q3": ("", 4.0, 3)}
NLL = {"none": 4.0, "another": 5.0, "gold_memory": 2.0, "gold_text": 1.0}  # of every question, over 2 tokens


def queries() -> dict[str, list[float]]:
    """Query vectors whose cosines with the unit vectors of the documents are in the wanted order."""
    found = {}
    for name, order in ORDERS.items():
        values = [0.0] * 5
        for place, number in enumerate(order):
            values[number] = 5.0 - place
        found[name] = values
    return found


@pytest.fixture
def store(make_store: Callable[..., LatentStore]) -> LatentStore:
    return make_store(torch.eye(5).unsqueeze(1))  # document n is the n-th unit vector


@pytest.fixture
def asked() -> list[Asked]:
    return [Asked(Question(name, name, ("yes",)), GOLD[name], CANDIDATES[name]) for name in ORDERS]


@pytest.fixture
def retriever(store: LatentStore) -> LatentRetriever:
    def read(texts: Sequence[str], *, adapter: str) -> Any:
        vectors = torch.tensor([queries()[text] for text in texts]).unsqueeze(1)
        return SimpleNamespace(memory_NLD=vectors, weights_NL=torch.ones(len(texts), 1))

    backbone: Any = SimpleNamespace(read=read, device=torch.device("cpu"))
    return LatentRetriever(backbone, store, ScanIndex(store, score="flat"), reasoner="r", score="flat", label="CLaRa")


@pytest.fixture
def rankings(retriever: LatentRetriever, asked: list[Asked], tmp_path: Path) -> Rankings:
    work = Work(Journal(tmp_path / "report", {}, Processes()), Processes())
    meter = Meter(torch.device("cpu"))
    return rank_all({"clara": retriever}, asked, whole_corpus=True, work=work, meter=meter, batch_size=3)


def prediction(one: Asked, condition: str, given: Given, text: str, nll: float, tokens: int) -> Prediction:
    scores = given.scores or (None,) * len(given.rows)
    return Prediction(
        id=one.question.id,
        condition=condition,
        question=one.question.question,
        answers=one.question.answers,
        prediction=text,
        documents=tuple((f"d{row}", score) for row, score in zip(given.rows, scores, strict=True)),
        gold=tuple(f"d{row}" for row in one.gold),
        em=float(text == "yes"),
        f1=0.5 if text == "yes it is" else float(text == "yes"),
        cover_em=float("yes" in text),
        words=len(text.split()),
        nll=nll,
        answer_tokens=tokens,
        input_positions=10,
        background_positions=len(given.rows),
        document_tokens=8 * len(given.rows),
    )


@pytest.fixture
def summary(
    store: LatentStore,
    asked: list[Asked],
    retriever: LatentRetriever,
    rankings: Rankings,
    joint: Path,
    tiny_backbone: Any,
) -> tuple[Results, list[RankedQuestion]]:
    possible = possible_conditions({"clara": "CLaRa"}, whole_corpus=True)
    conditions = {name: possible[name] for name in (*NLL, "retrieved_memory")}
    given = {
        name: give(info, asked, lent=[(4,)] * 4, normal=rankings.normal, oracle=rankings.candidates, top_k=TOP_K)
        for name, info in conditions.items()
    }
    predictions = {
        name: [prediction(one, name, each, "yes", NLL[name], 2) for one, each in zip(asked, given[name], strict=True)]
        for name in NLL
    }
    predictions["retrieved_memory"] = [
        prediction(one, "retrieved_memory", each, *ANSWERS[one.question.id])
        for one, each in zip(asked, given["retrieved_memory"], strict=True)
    ]
    questions = [one.question for one in asked]
    inputs = Inputs(AdapterFolder.open(joint), {}, store, questions, questions, [])
    prepared = Prepared(tiny_backbone(), store, asked, {"clara": retriever}, [])
    settings = EvaluationSettings(adapters="a", data="d", out="o", store="s")
    records = Records(conditions, predictions, rankings, [])
    return summarize(settings, inputs, prepared, records, top_k=TOP_K)


def test_the_whole_corpus_is_ranked_in_the_order_that_was_made(rankings: Rankings) -> None:
    assert [ranking.rows for ranking in rankings.corpus["clara"]] == list(ORDERS.values())


def test_candidates_are_ranked_in_the_same_order(rankings: Rankings) -> None:
    wanted = [tuple(row for row in ORDERS[name] if row in CANDIDATES[name]) for name in ORDERS]

    assert [ranking.rows for ranking in rankings.candidates["clara"]] == wanted


def test_retrieval_over_the_corpus(summary: tuple[Results, list[RankedQuestion]]) -> None:
    figures = {name: figure.value for name, figure in summary[0].retrieval["corpus"]["clara"].items()}

    # Gold ranks: q0 1; q1 3; q2 2 and 4; q3 4.
    assert figures["recall@1"] == pytest.approx(1 / 4)
    assert figures["recall@2"] == pytest.approx((1 + 0 + 1 / 2 + 0) / 4)
    assert figures["recall@5"] == 1.0
    assert figures["precision@2"] == pytest.approx((1 / 2 + 0 + 1 / 2 + 0) / 4)
    assert figures["precision@5"] == pytest.approx((1 + 1 + 2 + 1) / 20)
    assert figures["mrr"] == pytest.approx((1 + 1 / 3 + 1 / 2 + 1 / 4) / 4)
    assert figures["map"] == pytest.approx((1 + 1 / 3 + (1 / 2 + 2 / 4) / 2 + 1 / 4) / 4)
    ideal = 1 + 1 / math.log2(3)
    ndcg = [1.0, 1 / math.log2(4), (1 / math.log2(3) + 1 / math.log2(5)) / ideal, 1 / math.log2(5)]
    assert figures["ndcg@5"] == pytest.approx(sum(ndcg) / 4)


def test_retrieval_over_candidates(summary: tuple[Results, list[RankedQuestion]]) -> None:
    figures = {name: figure.value for name, figure in summary[0].retrieval["candidates"]["clara"].items()}

    # q0: d0, d4; q1: d1, d3, d4; q2: d3, d1; q3: d4, d2, d3.
    assert figures["recall@1"] == pytest.approx((1 + 1 + 1 / 2 + 0) / 4)
    assert figures["recall@2"] == 1.0
    assert figures["mrr"] == pytest.approx((1 + 1 + 1 + 1 / 2) / 4)


def test_collapse_is_seen_in_what_the_best_two_are(summary: tuple[Results, list[RankedQuestion]]) -> None:
    figures = {name: figure.value for name, figure in summary[0].retrieval["corpus"]["clara"].items()}

    # Taken: d0 d1, d0 d2, d0 d3, d0 d1: 4 different ones of 8, one of them by every question.
    assert figures["distinct_share"] == pytest.approx(4 / 8)
    assert figures["top_share"] == 1.0
    entropy = -sum(share * math.log(share) for share in (4 / 8, 2 / 8, 1 / 8, 1 / 8))
    assert figures["selection_entropy"] == pytest.approx((entropy - math.log(2)) / math.log(4))
    assert 0.0 < figures["score_entropy"] < 1.0


def test_the_recall_curve_is_recall_at_every_depth(summary: tuple[Results, list[RankedQuestion]]) -> None:
    curve = summary[0].recall_curves["corpus"]["clara"]

    assert curve == pytest.approx([1 / 4, 1.5 / 4, 2.5 / 4, 1.0, 1.0])


def test_answers_from_what_was_retrieved(summary: tuple[Results, list[RankedQuestion]]) -> None:
    figures = {name: figure.value for name, figure in summary[0].answers["retrieved_memory"].items()}

    assert figures["em"] == pytest.approx(1 / 4)
    assert figures["f1"] == pytest.approx(1.5 / 4)
    assert figures["cover_em"] == pytest.approx(2 / 4)
    assert figures["words"] == pytest.approx((1 + 1 + 3 + 0) / 4)
    assert figures["cross_entropy"] == pytest.approx((1 + 4 + 3 + 4) / (1 + 2 + 2 + 3))  # over tokens, not questions
    assert figures["information_retained"] == pytest.approx((2.0 - 12 / 8) / (2.0 - 0.5))
    assert figures["compression_rate"] == 8.0


def test_information_retained_is_0_without_memory_and_1_with_the_text(
    summary: tuple[Results, list[RankedQuestion]],
) -> None:
    retained = {name: figures["information_retained"].value for name, figures in summary[0].answers.items()}

    assert retained["none"] == 0.0
    assert retained["gold_text"] == 1.0
    assert retained["gold_memory"] == pytest.approx((2.0 - 1.0) / (2.0 - 0.5))
    assert retained["another"] == pytest.approx((2.0 - 2.5) / (2.0 - 0.5))


def test_where_answers_were_lost(summary: tuple[Results, list[RankedQuestion]]) -> None:
    # The best two hold all gold documents of q0 alone; q0 and q2 were answered.
    assert summary[0].losses == {
        "retrieved_memory": pytest.approx(
            {"retrieved_answered": 0.25, "retrieved_wrong": 0.0, "missed_answered": 0.25, "missed_wrong": 0.5}
        )
    }


def test_every_interval_holds_its_figure(summary: tuple[Results, list[RankedQuestion]]) -> None:
    results = summary[0]
    tables = [*results.answers.values(), *results.retrieval["corpus"].values()]
    for figures in tables:
        for figure in figures.values():
            assert math.isnan(figure.low) or figure.low - 1e-9 <= figure.value <= figure.high + 1e-9


def test_results_survive_json(summary: tuple[Results, list[RankedQuestion]]) -> None:
    plain = summary[0].to_json()

    assert Results.from_json(plain).to_json() == plain


def test_rankings_name_documents_scores_and_gold_ranks(summary: tuple[Results, list[RankedQuestion]]) -> None:
    (line,) = [row for row in summary[1] if row.id == "q2" and row.scale == "corpus"]

    assert [name for name, _ in line.documents] == ["d0", "d3", "d4", "d1", "d2"]
    assert (line.gold, line.gold_ranks, line.ranked) == (("d3", "d1"), (2, 4), 5)
