"""BM25, and the figures of a ranking."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from clara_lightning.evaluation.results import RetrievalFigures
from clara_lightning.evaluation.retrieval import BM25, Ranking, retrieval_figures

TEXTS = [
    "The river Tiber flows through Rome.",
    "The Alps are mountains.",
    "Copper is mined near the old harbour of Brod.",
    "Rome has hills and a river.",
    "Copper wires.",
]


def test_bm25_ranks_a_document_with_the_very_phrase_first() -> None:
    model = BM25(TEXTS)

    assert [line[0] for line in model.rank(["Where is copper mined near the old harbour?", "the Alps"], depth=3)] == [
        2,
        1,
    ]


def test_bm25_returns_each_document_once_and_no_more_than_there_are() -> None:
    (line,) = BM25(TEXTS).rank(["copper"], depth=50)

    assert sorted(line) == [0, 1, 2, 3, 4]
    assert set(line[:2]) == {2, 4}


def test_bm25_ranks_a_question_without_a_known_word() -> None:
    (line,) = BM25(TEXTS).rank(["zzz"], depth=2)

    assert len(set(line)) == 2


@pytest.mark.parametrize("texts", [["one"], ["the", "of"]], ids=["a single text", "stop words alone"])
def test_bm25_takes_the_smallest_corpora(texts: list[str]) -> None:
    assert sorted(BM25(texts).rank(["one of the"], depth=5)[0]) == list(range(len(texts)))


class Gold:
    def __init__(self, *gold: list[object]) -> None:
        self._gold = gold

    def gold(self, number: int) -> list[object]:
        return self._gold[number]

    def text(self, key: object) -> str:
        raise NotImplementedError

    def memory(self, keys: Any) -> torch.Tensor:
        raise NotImplementedError


def test_recall_and_reciprocal_rank_are_those_of_their_definition() -> None:
    # Question 0: gold at ranks 1 and 3. Question 1: gold at rank 2. Question 2: its gold is not in the ranking.
    ranking = Ranking((("a", "b", "c"), ("x", "y", "z"), ("p", "q", "r")))

    figures = retrieval_figures(ranking, Gold(["a", "c"], ["y"], ["elsewhere"]), cutoffs=(1, 2, 3))

    assert figures == RetrievalFigures(
        recall={1: pytest.approx(0.5 / 3), 2: pytest.approx(1.5 / 3), 3: pytest.approx(2 / 3)},
        mrr=pytest.approx((1 + 1 / 2 + 0) / 3),
    )
