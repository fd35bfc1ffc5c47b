"""Search by vectors and words together: what is fetched, with which scores, and in which order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from clara_lightning.corpus import hybrid
from clara_lightning.corpus.fusion import FusionMethod
from clara_lightning.corpus.hybrid import HybridIndex, HybridSettings
from clara_lightning.corpus.index import ScanIndex
from clara_lightning.corpus.lexical import LexicalIndex
from clara_lightning.corpus.store import LatentStore
from clara_lightning.errors import ClaraError

draw = torch.Generator().manual_seed(0)
MEMORY_NLD = torch.randn(40, 3, 8, generator=draw).to(torch.bfloat16).float()
WORDS = ["apples", "bronze", "copper", "flax", "gold", "honey", "iron", "jade"]
TEXTS = [f"{WORDS[n % 8]} {WORDS[n * n % 7]} {WORDS[n % 3] if n % 5 == 0 else ''} port" for n in range(40)]
QUESTIONS = ["copper and honey", "jade of the port", "zzz"]
QUERY_BLD, WEIGHTS_BL = torch.randn(3, 3, 8, generator=draw), torch.rand(3, 3, generator=draw)


@pytest.fixture
def made(make_store: Any) -> LatentStore:
    return make_store(MEMORY_NLD, rows_per_shard=7, texts=TEXTS)  # type: ignore[no-any-return]


def index_of(store: LatentStore, method: FusionMethod, weight: float) -> HybridIndex:
    words = LexicalIndex.of_texts(lambda: [TEXTS])
    settings = HybridSettings(method, weight)
    return HybridIndex(ScanIndex(store, score="flat"), words, store, score="flat", settings=settings)


def scores_of(store: LatentStore) -> tuple[np.ndarray, np.ndarray]:
    """Of every question and document, by vectors and by words."""
    q, m = QUERY_BLD.flatten(1).numpy(), MEMORY_NLD.flatten(1).numpy()
    cosines = (q / np.linalg.norm(q, axis=1, keepdims=True)) @ (m / np.linalg.norm(m, axis=1, keepdims=True)).T
    words = LexicalIndex.of_texts(lambda: [TEXTS])
    return cosines, np.stack([words.scores(question) for question in QUESTIONS])


def scaled(values: np.ndarray) -> np.ndarray:
    return (values - values.min()) / (values.max() - values.min()) if np.ptp(values) else np.ones_like(values)


def test_weighted_scores_are_those_of_all_documents_where_all_are_fetched(made: LatentStore) -> None:
    cosines, words = scores_of(made)
    expected = np.stack([0.7 * scaled(c) + 0.3 * scaled(w) for c, w in zip(cosines, words, strict=True)])

    hits = index_of(made, "weighted", 0.3).search(QUESTIONS, QUERY_BLD, WEIGHTS_BL, top_k=40)

    assert hits.rows_BK.shape == (3, 40)
    assert hits.scores_BK.numpy() == pytest.approx(np.take_along_axis(expected, hits.rows_BK.numpy(), 1), abs=1e-5)
    assert (hits.scores_BK.diff() <= 0).all()


def test_a_fetched_document_gets_its_exact_score_by_both(made: LatentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hybrid, "FETCHED", 6)
    cosines, words = scores_of(made)

    hits = index_of(made, "weighted", 0.5).search(QUESTIONS, QUERY_BLD, WEIGHTS_BL, top_k=6)

    for number in range(3):
        by_cosine = np.argsort(-cosines[number], kind="stable")[:6]
        by_words = [row for row in np.argsort(-words[number], kind="stable")[:6] if words[number, row] > 0]
        union = np.unique([*by_cosine, *by_words]).astype(int)
        expected = 0.5 * scaled(cosines[number, union]) + 0.5 * scaled(words[number, union])
        best = np.argsort(-np.round(expected, 5), kind="stable")[:6]
        assert hits.rows_BK[number].tolist() == union[best].tolist()
        assert hits.scores_BK[number].numpy() == pytest.approx(expected[best], abs=1e-5)


def test_ranks_count_only_documents_that_have_a_word_of_the_question(made: LatentStore) -> None:
    cosines, words = scores_of(made)

    hits = index_of(made, "reciprocal_rank", 0.5).search(QUESTIONS, QUERY_BLD, WEIGHTS_BL, top_k=40)

    for number in range(3):
        ranks = {int(row): rank for rank, row in enumerate(np.argsort(-cosines[number], kind="stable"), start=1)}
        order = [int(row) for row in np.argsort(-words[number], kind="stable") if words[number, row] > 0]
        expected = {row: 1 / (60 + rank) for row, rank in ranks.items()}
        for rank, row in enumerate(order, start=1):
            expected[row] += 1 / (60 + rank)
        found = hits.rows_BK[number].tolist()
        assert hits.scores_BK[number].tolist() == pytest.approx([expected[row] for row in found])
        assert found == sorted(expected, key=lambda row: (-np.float32(expected[row]), row))


@pytest.mark.parametrize("method", ["weighted", "reciprocal_rank"])
def test_without_weight_it_is_the_search_by_vectors(method: FusionMethod, made: LatentStore) -> None:
    alone = ScanIndex(made, score="flat").search(QUERY_BLD, WEIGHTS_BL, top_k=5)

    hits = index_of(made, method, 0.0).search(QUESTIONS, QUERY_BLD, WEIGHTS_BL, top_k=5)

    assert hits.rows_BK.tolist() == alone.rows_BK.tolist()


def test_with_all_the_weight_it_is_the_search_by_words(made: LatentStore) -> None:
    (copper, jade, _) = index_of(made, "weighted", 1.0).search(QUESTIONS, QUERY_BLD, WEIGHTS_BL, top_k=5).rows_BK

    words = LexicalIndex.of_texts(lambda: [TEXTS])
    assert [copper.tolist(), jade.tolist()] == [list(words.search(each, top_k=5).rows) for each in QUESTIONS[:2]]


@pytest.mark.parametrize("method", ["weighted", "reciprocal_rank"])
def test_fewer_documents_are_the_first_of_more(method: FusionMethod, made: LatentStore) -> None:
    index = index_of(made, method, 0.4)

    few, many = (index.search(QUESTIONS, QUERY_BLD, WEIGHTS_BL, top_k=k) for k in (3, 30))

    assert few.rows_BK.tolist() == many.rows_BK[:, :3].tolist()


def test_what_a_question_finds_does_not_depend_on_the_others(made: LatentStore) -> None:
    index = index_of(made, "weighted", 0.4)
    together = index.search(QUESTIONS, QUERY_BLD, WEIGHTS_BL, top_k=10)

    for number in range(3):
        own = slice(number, number + 1)
        alone = index.search(QUESTIONS[own], QUERY_BLD[own], WEIGHTS_BL[own], top_k=10)
        assert alone.rows_BK[0].tolist() == together.rows_BK[number].tolist()


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ClaraError, match=r"^--hybrid-weight must be between 0 and 1, got "):
        HybridSettings(weight=weight)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ClaraError, match=r"^--hybrid must be weighted or reciprocal_rank, got 'sum'"):
        HybridSettings("sum")  # type: ignore[arg-type]
