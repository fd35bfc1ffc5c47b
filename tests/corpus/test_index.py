"""Search is exact: it agrees with brute force in NumPy, and equal scores go by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from clara_lightning.corpus.index import ScanIndex
from clara_lightning.corpus.store import LatentStore
from clara_lightning.errors import ClaraError


@pytest.fixture
def memory_NLD() -> torch.Tensor:
    """Thirty documents as bfloat16 keeps them; documents 3 and 17 are equal."""
    memory = torch.randn(30, 4, 8, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16).float()
    memory[17] = memory[3]
    return memory


@pytest.fixture
def query() -> tuple[torch.Tensor, torch.Tensor]:
    """Five queries and their weights."""
    draw = torch.Generator().manual_seed(1)
    return torch.randn(5, 4, 8, generator=draw), torch.rand(5, 4, generator=draw)


@pytest.fixture
def made(make_store: Any, memory_NLD: torch.Tensor) -> LatentStore:
    return make_store(memory_NLD, rows_per_shard=7)  # type: ignore[no-any-return]


def flat_scores(query: np.ndarray, memory: np.ndarray) -> np.ndarray:
    q, m = query.reshape(len(query), -1), memory.reshape(len(memory), -1)
    return (q / np.linalg.norm(q, axis=1, keepdims=True)) @ (m / np.linalg.norm(m, axis=1, keepdims=True)).T


def maxsim_scores(query: np.ndarray, memory: np.ndarray, weights: np.ndarray) -> np.ndarray:
    scores = np.zeros((len(query), len(memory)))
    for b, n in np.ndindex(*scores.shape):
        for j, vector in enumerate(query[b]):
            cosines = [vector @ other / np.linalg.norm(vector) / np.linalg.norm(other) for other in memory[n]]
            scores[b, n] += weights[b, j] / weights[b].sum() * max(cosines)
    return scores


def best(scores: np.ndarray, top_k: int) -> np.ndarray:
    """Best first, of equal scores the lower row first."""
    return np.argsort(-np.round(scores, 5), axis=1, kind="stable")[:, :top_k]


def test_the_scan_finds_what_brute_force_finds_by_late_interaction(
    made: LatentStore, memory_NLD: torch.Tensor, query: Any
) -> None:
    expected = maxsim_scores(query[0].numpy(), memory_NLD.numpy(), query[1].numpy())

    hits = ScanIndex(made, score="maxsim").search(*query, top_k=6)

    assert hits.rows_BK.tolist() == best(expected, 6).tolist()
    assert hits.scores_BK.numpy() == pytest.approx(np.take_along_axis(expected, best(expected, 6), axis=1), abs=1e-5)


def test_the_scan_finds_what_brute_force_finds_by_flattened_cosine(
    made: LatentStore, memory_NLD: torch.Tensor, query: Any
) -> None:
    expected = flat_scores(query[0].numpy(), memory_NLD.numpy())

    hits = ScanIndex(made, score="flat").search(*query, top_k=6)

    assert hits.rows_BK.tolist() == best(expected, 6).tolist()
    assert hits.scores_BK.numpy() == pytest.approx(np.take_along_axis(expected, best(expected, 6), axis=1), abs=1e-5)


@pytest.mark.parametrize("score", ["flat", "maxsim"])
def test_a_scan_over_many_blocks_is_a_scan_over_one(
    score: Any, made: LatentStore, query: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ScanIndex(made, score=score).search(*query, top_k=30)
    blocks = made.blocks
    monkeypatch.setattr(made, "blocks", lambda: blocks(2))

    parts = ScanIndex(made, score=score).search(*query, top_k=30)

    assert torch.equal(whole.rows_BK, parts.rows_BK)
    assert torch.allclose(whole.scores_BK, parts.scores_BK, atol=1e-6)


@pytest.mark.parametrize("name", ["maxsim", "flat", "mean"])
def test_of_equal_documents_the_earlier_comes_first(name: Any, made: LatentStore, memory_NLD: torch.Tensor) -> None:
    index = ScanIndex(made, score=name)

    for top_k, rows in ((2, [3, 17]), (1, [3])):
        assert index.search(memory_NLD[[3]], torch.ones(1, 4), top_k=top_k).rows_BK.tolist() == [rows]


@pytest.mark.parametrize("top_k", [0, 31, -1])
def test_more_documents_than_there_are_or_none_are_refused(top_k: int, made: LatentStore, query: Any) -> None:
    with pytest.raises(ClaraError, match=rf"top_k must be between 1 and .* \(30\), got {top_k}"):
        ScanIndex(made, score="maxsim").search(*query, top_k=top_k)


def test_all_documents_may_be_asked_for(made: LatentStore, query: Any) -> None:
    for score in ("flat", "maxsim"):
        assert sorted(ScanIndex(made, score=score).search(*query, top_k=30).rows_BK[0].tolist()) == list(range(30))
