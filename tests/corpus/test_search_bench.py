"""A measuring says what a search finds, and sets it up for the recall that is wished."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from clara_lightning.corpus.index import ScanIndex
from clara_lightning.corpus.index_builder import IndexOptions
from clara_lightning.corpus.index_entry import SearchSettings
from clara_lightning.corpus.maintenance import index, search_by
from clara_lightning.corpus.search import open_index
from clara_lightning.corpus.search_bench import Queries, bench
from clara_lightning.corpus.store import LatentStore
from clara_lightning.corpus.store_folder import StoreFolder
from clara_lightning.errors import ClaraError


def memory_of(count: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    centres = torch.randn(40, 3, 24, generator=torch.Generator().manual_seed(99))
    noise = 0.7 * torch.randn(count, 3, 24, generator=draw)
    return (centres[torch.randint(40, (count,), generator=draw)] + noise).bfloat16().float()


@pytest.fixture
def store(make_store: Any) -> StoreFolder:
    """Eight hundred documents with product-quantised keys, coarse enough that few candidates miss some."""
    made = make_store(memory_of(800), rows_per_shard=100)
    made.close()
    index(made.path, IndexOptions(score="flat", kind="ivf-pq", key_dim=8))
    return StoreFolder.open(made.path)


def questions(count: int = 60) -> Queries:
    return Queries.of_questions(memory_of(count, seed=5), torch.ones(count, 3))


def recall_of(store: StoreFolder, queries: Queries, top_k: int) -> float:
    """By searching, and by comparing with a scan."""
    opened = LatentStore.open(store.path)
    found = open_index(opened, score="flat").search(queries.query_BLD, queries.weights_BL, top_k=top_k)
    exact = ScanIndex(opened, score="flat").search(queries.query_BLD, queries.weights_BL, top_k=top_k)
    pairs = zip(found.rows_BK.tolist(), exact.rows_BK.tolist(), strict=True)
    return float(np.mean([len(set(ours) & set(wanted)) / top_k for ours, wanted in pairs]))


@pytest.mark.parametrize("wished", [0.6, 0.98])
def test_the_search_that_it_sets_up_has_the_recall_that_it_says(store: StoreFolder, wished: float) -> None:
    found = bench(store, questions(), wished=wished)
    store.close()
    search_by(store.path, store.manifest.index, found.settings)

    assert found.is_reached
    assert found.settings.queries == 20 and found.settings.wished == wished
    assert recall_of(store, questions()[2::3], 5) == pytest.approx(found.settings.recall, abs=1e-4)
    assert recall_of(store, questions()[::3], 5) >= wished
    assert recall_of(store, questions()[1::3], 5) >= wished


def test_settings_of_another_index_are_refused(store: StoreFolder) -> None:
    entry = store.manifest.index
    store.close()
    index(store.path, IndexOptions(score="flat", kind="flat"))
    with pytest.raises(ClaraError, match="was built anew meanwhile: measure again"):
        search_by(store.path, entry, SearchSettings(1, 10))


def test_a_lower_wish_fetches_no_more(store: StoreFolder) -> None:
    low, high = bench(store, questions(), wished=0.5), bench(store, questions(), wished=0.98)
    pairs = list(zip(low.points, high.points, strict=True))
    assert pairs and all(one.settings.fetch <= other.settings.fetch for one, other in pairs)


def test_a_recall_that_nothing_reaches_is_said(make_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clara_lightning.corpus.search_bench.MOST_FETCHED", 8)
    made = make_store(memory_of(800), rows_per_shard=100)
    made.close()
    index(made.path, IndexOptions(score="flat", kind="flat", key_dim=1))
    found = bench(StoreFolder.open(made.path), questions(), wished=1.0)
    assert not found.is_reached
    assert found.settings.fetch == 8 and found.settings.recall is not None and found.settings.recall < 1


def test_a_document_that_asks_does_not_find_itself(store: StoreFolder) -> None:
    queries = Queries.of_store(store, 20)
    assert torch.equal(queries.query_BLD, store.memory(queries.own_B).float())
    found = bench(store, queries, wished=0.9)
    assert found.settings.recall is not None and found.settings.recall > 0.8


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"wished": 0.0}, "--recall must be above 0 and at most 1, got 0.0"),
        ({"top_k": 800}, "--top-k must be between 1 and 799"),
        ({"queries": questions(2)}, "--queries must be at least 3"),
    ],
)
def test_numbers_out_of_bounds_are_refused(store: StoreFolder, options: Any, mistake: str) -> None:
    with pytest.raises(ClaraError, match=mistake):
        bench(store, options.pop("queries", questions()), **options)


def test_more_results_fetch_more() -> None:
    settings = SearchSettings(4, 30, top_k=5)
    assert [settings.fetch_for(top_k) for top_k in (1, 5, 6, 50)] == [30, 30, 36, 300]
