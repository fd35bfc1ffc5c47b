"""A search in two stages finds what the exact scan finds, and keeps up with a store that changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clara_lightning.corpus import index_builder
from clara_lightning.corpus.index import LiveIndex, ScanIndex
from clara_lightning.corpus.index_builder import IndexOptions
from clara_lightning.corpus.key_index import KeyIndexBuilder
from clara_lightning.corpus.maintenance import adopt, compact, delete, index
from clara_lightning.corpus.manifest import Manifest
from clara_lightning.corpus.search import open_index
from clara_lightning.corpus.store import LatentStore
from clara_lightning.corpus.store_folder import StoreFolder
from clara_lightning.corpus.two_stage import TwoStageIndex, merge_keys
from clara_lightning.corpus.verification import faults
from clara_lightning.errors import ClaraError

SCORES = ("flat", "maxsim", "mean")
KINDS = ("flat", "hnsw", "ivf-sq", "ivf-pq")


def memory_of(count: int, seed: int = 0) -> torch.Tensor:
    """Documents around forty centres, as real memory is: most of a vector is common to many."""
    draw = torch.Generator().manual_seed(seed)
    centres = torch.randn(40, 3, 24, generator=torch.Generator().manual_seed(99))
    noise = 0.7 * torch.randn(count, 3, 24, generator=draw)
    return (centres[torch.randint(40, (count,), generator=draw)] + noise).bfloat16().float()


def queries(count: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    return memory_of(count, seed=5), torch.rand(count, 3, generator=torch.Generator().manual_seed(6))


@pytest.fixture
def indexed(make_store: Any) -> Callable[..., LatentStore]:
    """``indexed(score=, kind=)``: a store of 700 documents in shards of 100 with an index."""

    def make(count: int = 700, **options: Any) -> LatentStore:
        store = make_store(memory_of(count), rows_per_shard=100)
        store.close()
        index(store.path, IndexOptions(**options))
        return LatentStore.open(store.path)

    return make


def recall(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), wanted.tolist(), strict=True)]))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_what_the_scan_finds(indexed: Any, score: Any, kind: Any) -> None:
    store = indexed(score=score, kind=kind, key_dim=16)
    found = open_index(store, score=score)
    assert isinstance(found, TwoStageIndex)

    hits = found.search(*queries(), top_k=5)
    exact = ScanIndex(store, score=score).search(*queries(), top_k=5)

    assert recall(hits.rows_BK, exact.rows_BK) >= 0.95
    same = hits.rows_BK == exact.rows_BK
    assert torch.allclose(hits.scores_BK[same], exact.scores_BK[same], atol=1e-6)


@pytest.mark.parametrize("score", SCORES)
def test_all_that_is_fetched_is_all_that_is_found(indexed: Any, score: Any) -> None:
    store = indexed(count=150, score=score, kind="flat")
    hits = open_index(store, score=score).search(*queries(), top_k=150)
    exact = ScanIndex(store, score=score).search(*queries(), top_k=150)
    assert torch.equal(hits.rows_BK.sort(dim=1).values, exact.rows_BK.sort(dim=1).values)
    assert torch.allclose(hits.scores_BK, exact.scores_BK, atol=1e-6)


def test_another_score_is_scanned(indexed: Any) -> None:
    assert isinstance(open_index(indexed(score="flat", kind="flat"), score="maxsim"), ScanIndex)


def test_a_query_that_weighs_nothing_is_searched_as_the_score_does(indexed: Any) -> None:
    store = indexed(score="maxsim", kind="flat")
    query, weights = queries(2)[0], torch.zeros(2, 3)
    hits = open_index(store, score="maxsim").search(query, weights, top_k=3)
    exact = ScanIndex(store, score="maxsim").search(query, weights, top_k=3)
    assert torch.equal(hits.rows_BK, exact.rows_BK)


@pytest.mark.parametrize("top_k", [0, 701])
def test_more_documents_than_there_are_are_refused(indexed: Any, top_k: int) -> None:
    with pytest.raises(ClaraError, match=r"top_k must be between 1 and .*700"):
        open_index(indexed(score="flat", kind="flat"), score="flat").search(*queries(), top_k=top_k)


def test_documents_that_came_later_are_found(indexed: Any, make_store: Any) -> None:
    store = indexed(score="flat", kind="ivf-pq")
    later = make_store(memory_of(30, seed=7), name="later", first=700, rows_per_shard=100)
    store.close()
    later.close()
    adopt(store.path, later.path)
    grown = LatentStore.open(store.path)

    found = open_index(grown, score="flat")
    hits = found.search(memory_of(30, seed=7), torch.ones(30, 3), top_k=1)

    assert isinstance(found, TwoStageIndex) and found.num_behind == 30
    assert [grown.ids[row] for row in hits.rows_BK[:, 0]] == [f"d{700 + n}" for n in range(30)]


def test_deleted_documents_are_not_found(indexed: Any) -> None:
    store = indexed(score="flat", kind="flat")
    gone = [f"d{n}" for n in range(0, 700, 3)]
    delete(store.path, gone)
    less = LatentStore.open(store.path)

    found = open_index(less, score="flat")
    hits = found.search(*queries(), top_k=8)
    exact = ScanIndex(less, score="flat").search(*queries(), top_k=8)

    assert isinstance(found, LiveIndex)
    assert recall(hits.rows_BK, exact.rows_BK) >= 0.98
    assert not {less.ids[row] for line in hits.rows_BK.tolist() for row in line} & set(gone)


def test_compacting_builds_it_anew(indexed: Any) -> None:
    store = indexed(score="flat", kind="ivf-pq", key_dim=16)
    before = store.manifest.index
    store.close()
    delete(store.path, [f"d{n}" for n in range(100)])
    compact(store.path)

    less = LatentStore.open(store.path)
    after = less.manifest.index

    assert before is not None and after is not None
    assert (after.rows, after.kind, after.score, after.key_dim) == (600, "ivf-pq", "flat", 16)
    assert after.search.effort == before.search.effort and after.search.recall is None
    assert [path.name for path in (less.path / "index").iterdir()] == [after.folder]
    exact = ScanIndex(less, score="flat").search(*queries(), top_k=5)
    assert recall(open_index(less, score="flat").search(*queries(), top_k=5).rows_BK, exact.rows_BK) >= 0.95


def test_a_store_that_became_too_small_for_its_kind_compares_all_keys(indexed: Any) -> None:
    store = indexed(score="flat", kind="ivf-pq", key_dim=16)
    store.close()
    delete(store.path, [f"d{n}" for n in range(600)])
    compact(store.path)
    less = LatentStore.open(store.path)
    assert less.manifest.index is not None and less.manifest.index.kind == "flat"
    assert open_index(less, score="flat").search(*queries(), top_k=5).rows_BK.shape == (12, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_building_twice_gives_the_same_bytes(indexed: Any, bytes_of: Any, kind: Any) -> None:
    store = indexed(score="flat", kind=kind)
    store.close()
    before = bytes_of(store.path / "index")
    index(store.path)
    assert bytes_of(store.path / "index") == before


@pytest.mark.parametrize("kind", KINDS)
def test_in_parts_it_is_what_it_is_at_once(indexed: Any, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    store = indexed(score="maxsim", kind=kind, key_dim=16)
    whole = open_index(store, score="maxsim").search(*queries(), top_k=5)
    store.close()
    build = KeyIndexBuilder.__init__
    monkeypatch.setattr(
        KeyIndexBuilder, "__init__", lambda self, *args, **more: build(self, *args, **more | {"part_bytes": 20_000})
    )
    monkeypatch.setattr(index_builder, "_block_rows", lambda *_: 50)

    index(store.path)

    parted = LatentStore.open(store.path)
    assert parted.manifest.index is not None and len(parted.manifest.index.files) > 2
    hits = open_index(parted, score="maxsim").search(*queries(), top_k=5)
    assert recall(hits.rows_BK, whole.rows_BK) > 0.98


@pytest.mark.parametrize("score", SCORES)
def test_each_changed_or_missing_file_is_named(indexed: Any, score: Any) -> None:
    store = indexed(score=score, kind="flat")
    folder = store.path / "index" / store.manifest.index.folder
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == ["keys-00000.faiss", "keys.safetensors"]
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ClaraError, match=f"{path.name}: not what was written.*clara store index .* --rebuild"):
            open_index(LatentStore.open(store.path), score=score)
        assert [line.partition(":")[0] for line in faults(store.path)] == [str(path)]
        path.unlink()
        with pytest.raises(ClaraError, match=f"{path.name} is missing: build it again"):
            open_index(LatentStore.open(store.path), score=score)
        path.write_bytes(content)
    assert not list(faults(store.path))


def test_a_rebuild_mends_it(indexed: Any) -> None:
    store = indexed(score="flat", kind="ivf-pq")
    store.close()
    next((store.path / "index").glob("*/keys-*.faiss")).unlink()
    index(store.path)
    assert len(open_index(LatentStore.open(store.path), score="flat").search(*queries(), top_k=2).rows_BK) == 12


def test_nothing_to_rebuild_is_a_mistake(make_store: Any) -> None:
    with pytest.raises(ClaraError, match="has no search index: --kind builds one"):
        index(make_store(memory_of(4)).path)


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"kind": "ivf-pq"}, "--kind ivf-pq learns its codes from at least 256 keys, got 30: use flat"),
        ({"memory_gb": 0.1}, "--memory-gb must be at least 0.25, got 0.1"),
        ({"key_dim": 0}, "--key-dim must be between 1 and 1024, got 0"),
    ],
)
def test_what_cannot_be_built_is_refused_and_the_store_stays(
    make_store: Any, bytes_of: Any, options: Any, mistake: str
) -> None:
    store = make_store(memory_of(30))
    before = bytes_of(store.path)
    with pytest.raises(ClaraError, match=mistake):
        index(store.path, IndexOptions(score="flat", **options))
    assert bytes_of(store.path) == before


def test_a_manifest_of_a_former_version_has_no_index(make_store: Any) -> None:
    store = make_store(memory_of(4))
    path: Path = store.path / "manifest.json"
    text = path.read_text(encoding="utf-8").replace('"version": 2', '"version": 1')
    path.write_text(text.replace('"index": null', '"index": "maxsim"'), encoding="utf-8")
    assert Manifest.read(store.path, setting="").index is None


def test_a_document_promises_what_its_best_keys_do() -> None:
    """Two keys of a query; a document that one of them did not find gets the least that was found."""
    scores = np.array([[0.9, 0.8, 0.5], [0.7, 0.6, 0.1]], np.float32)
    rows = np.array([[3, 3, 7], [5, 7, -1]])
    weights = np.array([0.25, 0.75])
    # row 3: 0.25 * 0.9 + 0.75 * 0.6; row 5: 0.25 * 0.5 + 0.75 * 0.7; row 7: 0.25 * 0.5 + 0.75 * 0.6
    assert merge_keys(scores, rows, weights, fetch=9).tolist() == [3, 5, 7]
    assert merge_keys(scores, rows, weights, fetch=2).tolist() == [3, 5]


def test_an_unfinished_build_leaves_nothing(make_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(memory_of(300))

    def full(*_: Any) -> None:
        raise RuntimeError("write error: No space left on device")

    monkeypatch.setattr("clara_lightning.corpus.key_index.faiss.write_index", full)
    with pytest.raises(ClaraError, match=r"cannot be written: .*No space left on device; the store is as it was"):
        index(store.path, IndexOptions(score="flat", kind="flat"))
    assert not list((store.path / "index").iterdir())
    assert StoreFolder.open(store.path).manifest.index is None
