"""An engine names candidates, the store scores them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clara_lightning.corpus.engines import EngineIndex, LanceEngine, VectorEngine, fill, mean_key
from clara_lightning.corpus.index import ScanIndex
from clara_lightning.corpus.maintenance import delete
from clara_lightning.corpus.store import LatentStore
from clara_lightning.errors import ClaraError

MakeEngine = Callable[[], VectorEngine]


class Remembering:
    """An engine of a dictionary, which notes how many keys each call brought."""

    def __init__(self) -> None:
        self.keys: dict[str, Tensor] = {}
        self.calls: list[int] = []

    def upsert(self, ids: Sequence[str], keys_NK: Tensor) -> None:
        self.keys.update(zip(ids, keys_NK, strict=True))
        self.calls.append(len(ids))

    def delete(self, ids: Sequence[str]) -> None:
        for name in ids:
            self.keys.pop(name, None)

    def search(self, keys_BK: Tensor, *, top_k: int) -> list[list[str]]:
        names = list(self.keys)
        order = (keys_BK @ torch.stack(list(self.keys.values())).T).argsort(dim=1, descending=True)[:, :top_k]
        return [[names[place] for place in row] for row in order.tolist()]


@pytest.fixture(params=["dictionary", "lancedb"])
def make_engine(request: pytest.FixtureRequest, tmp_path: Path) -> MakeEngine:
    """Empty engines, of our own and, where it is installed, of LanceDB."""
    if request.param == "dictionary":
        return Remembering
    pytest.importorskip("lancedb")
    return lambda: LanceEngine(tmp_path / "lance")


@pytest.fixture
def memory_NLD() -> Tensor:
    """Thirty documents as bfloat16 keeps them; documents 3 and 17 are equal."""
    memory = torch.randn(30, 4, 8, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16).float()
    memory[17] = memory[3]
    return memory


@pytest.fixture
def query() -> tuple[Tensor, Tensor]:
    """Five queries and their weights."""
    draw = torch.Generator().manual_seed(1)
    return torch.randn(5, 4, 8, generator=draw), torch.rand(5, 4, generator=draw)


@pytest.fixture
def store(make_store: Any, memory_NLD: Tensor) -> LatentStore:
    return make_store(memory_NLD, rows_per_shard=7)  # type: ignore[no-any-return]


@pytest.mark.parametrize("score", ["flat", "maxsim"])
def test_with_all_candidates_it_is_the_exact_scan(
    make_engine: MakeEngine, store: LatentStore, query: Any, score: Any
) -> None:
    engine = make_engine()
    fill(engine, store)
    found = EngineIndex(store, engine, score=score, over_fetch=6).search(*query, top_k=5)
    expected = ScanIndex(store, score=score).search(*query, top_k=5)
    assert torch.equal(found.rows_BK, expected.rows_BK)
    torch.testing.assert_close(found.scores_BK, expected.scores_BK)


def test_equal_scores_stand_by_row(make_engine: MakeEngine, store: LatentStore, memory_NLD: Tensor) -> None:
    engine = make_engine()
    fill(engine, store)
    found = EngineIndex(store, engine, score="flat").search(memory_NLD[17:18], torch.ones(1, 4), top_k=2)
    assert found.rows_BK.tolist() == [[3, 17]]


def test_with_few_candidates_only_those_are_scored(make_engine: MakeEngine, store: LatentStore, query: Any) -> None:
    engine = make_engine()
    fill(engine, store)
    keys_NK = mean_key(store.memory(range(30)))
    nearest = (mean_key(query[0]) @ keys_NK.T).topk(4, dim=1).indices
    found = EngineIndex(store, engine, score="flat", over_fetch=2).search(*query, top_k=2)
    assert all(set(rows) <= set(near) for rows, near in zip(found.rows_BK.tolist(), nearest.tolist(), strict=True))


def test_filled_twice_nothing_is_there_twice(make_engine: MakeEngine, store: LatentStore) -> None:
    engine = make_engine()
    fill(engine, store)
    fill(engine, store)
    names = engine.search(mean_key(store.memory([0])), top_k=60)[0]
    assert sorted(names) == sorted(store.ids)


def test_a_new_key_takes_the_old_ones_place(make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.upsert(["a", "b"], torch.eye(2))
    engine.upsert(["a"], torch.tensor([[-1.0, 0.0]]))
    assert engine.search(torch.tensor([[1.0, 0.0]]), top_k=2) == [["b", "a"]]


def test_what_is_deleted_is_not_found(make_engine: MakeEngine, store: LatentStore, query: Any) -> None:
    engine = make_engine()
    fill(engine, store)
    engine.delete(["d3", "d29", "never there"])
    delete(store.path, ["d3", "d29"])
    left = LatentStore.open(store.path)
    found = EngineIndex(left, engine, score="maxsim").search(*query, top_k=5)
    assert torch.equal(found.rows_BK, ScanIndex(left, score="maxsim").search(*query, top_k=5).rows_BK)


def test_an_id_with_a_quote_is_deleted_and_no_other(make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.upsert(["it's", "its"], torch.eye(2))
    engine.delete(["it's"])
    assert engine.search(torch.eye(2)[:1], top_k=2) == [["its"]]


def test_no_query_gives_no_hits(make_engine: MakeEngine, store: LatentStore) -> None:
    engine = make_engine()
    fill(engine, store)
    found = EngineIndex(store, engine, score="flat").search(torch.empty(0, 4, 8), torch.empty(0, 4), top_k=3)
    assert found.rows_BK.shape == (0, 3)


def test_the_key_function_may_be_ones_own(make_engine: MakeEngine, store: LatentStore, memory_NLD: Tensor) -> None:
    engine = make_engine()
    first = lambda memory_NLD: memory_NLD[:, 0, :3]  # noqa: E731
    fill(engine, store, key=first)
    index = EngineIndex(store, engine, score="flat", key=first, over_fetch=30)
    assert index.search(memory_NLD[5:6], torch.ones(1, 4), top_k=1).rows_BK.item() == 5


def test_a_document_that_the_store_lost_is_refused(store: LatentStore, query: Any) -> None:
    engine = Remembering()
    fill(engine, store)
    delete(store.path, ["d4"])
    index = EngineIndex(LatentStore.open(store.path), engine, score="flat", over_fetch=29)
    engine.delete(["d0"])  # so that all 29 candidates are asked for, and d4 is one of them
    with pytest.raises(ClaraError, match="not told of a deletion: document 'd4' is not in the store"):
        index.search(*query, top_k=1)


def test_too_few_candidates_are_refused(store: LatentStore, query: Any) -> None:
    engine = Remembering()
    engine.upsert(["d0"], torch.ones(1, 8))
    with pytest.raises(ClaraError, match="top_k is 2, but the engine finds 1 documents"):
        EngineIndex(store, engine, score="flat").search(*query, top_k=2)


@pytest.mark.parametrize("top_k", [0, 31])
def test_top_k_has_to_fit_the_store(store: LatentStore, query: Any, top_k: int) -> None:
    with pytest.raises(ClaraError, match="top_k must be between 1 and"):
        EngineIndex(store, Remembering(), score="flat").search(*query, top_k=top_k)


def test_over_fetch_is_at_least_one(store: LatentStore) -> None:
    with pytest.raises(ClaraError, match="over_fetch must be >= 1, got 0"):
        EngineIndex(store, Remembering(), score="flat", over_fetch=0)


def test_vectors_without_weight_have_no_part_in_a_querys_key(store: LatentStore, memory_NLD: Tensor) -> None:
    asked: list[Tensor] = []

    class Noting(Remembering):
        def search(self, keys_BK: Tensor, *, top_k: int) -> list[list[str]]:
            asked.append(keys_BK)
            return super().search(keys_BK, top_k=top_k)

    engine = Noting()
    fill(engine, store)
    index = EngineIndex(store, engine, score="maxsim")
    index.search(memory_NLD[:1], torch.tensor([[1.0, 1.0, 0.0, 0.0]]), top_k=1)
    index.search(memory_NLD[:1], torch.zeros(1, 4), top_k=1)  # no weights at all: all alike
    torch.testing.assert_close(asked[0], mean_key(memory_NLD[:1, :2]))
    torch.testing.assert_close(asked[1], mean_key(memory_NLD[:1]))


def test_small_shards_are_sent_together_and_counted(store: LatentStore) -> None:
    engine, lines = Remembering(), []
    assert fill(engine, store, at_once=10, tell=lines.append) == 30
    assert engine.calls == [14, 14, 2]
    assert lines == ["30 keys of 8 dimensions sent"]


def test_a_long_filling_says_how_far_it_is(store: LatentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clara_lightning.corpus.engines.SECONDS_BETWEEN_LINES", 0.0)
    lines: list[str] = []
    fill(Remembering(), store, at_once=10, tell=lines.append)
    assert [line.partition(" keys")[0] for line in lines] == ["14 of 30", "28 of 30", "30"]


def test_lancedb_refuses_keys_of_another_size(tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    engine = LanceEngine(tmp_path / "lance")
    with pytest.raises(ClaraError, match="no keys are in it yet"):
        engine.search(torch.eye(2), top_k=1)
    engine.upsert(["a", "b"], torch.eye(2))
    for use in (lambda: engine.upsert(["c"], torch.ones(1, 3)), lambda: engine.search(torch.ones(1, 3), top_k=1)):
        with pytest.raises(ClaraError, match="its keys have 2 dimensions, these have 3"):
            use()


def test_lancedb_is_there_again_when_it_is_opened_again(tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    LanceEngine(tmp_path / "lance").upsert(["a", "b"], torch.eye(2))
    assert LanceEngine(tmp_path / "lance").search(torch.eye(2), top_k=1) == [["a"], ["b"]]


def test_lancedb_with_an_index_finds_old_and_new_keys(tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    keys_NK = torch.nn.functional.normalize(torch.randn(400, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    engine = LanceEngine(tmp_path / "lance", probes=4)
    engine.upsert([f"d{row}" for row in range(399)], keys_NK[:399])
    engine.build_index(partitions=4, sub_vectors=8)
    engine.upsert(["d399"], keys_NK[399:])
    found = engine.search(keys_NK, top_k=20)
    assert sum(f"d{row}" in names for row, names in enumerate(found)) == 400


def test_without_lancedb_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clara_lightning.corpus.engines.find_spec", lambda name: None)
    with pytest.raises(ClaraError, match=r"needs the extra lancedb: pip install 'clara-lightning\[lancedb\]'"):
        LanceEngine(tmp_path)
