"""Memory in RAM is the store's, within its bound."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from clara_lightning.corpus.hot import HotMemory
from clara_lightning.corpus.store import LatentStore
from clara_lightning.errors import ClaraError

ROW_BYTES = 2 * 8 * 2


@pytest.fixture
def store(make_store: Any) -> LatentStore:
    """Eleven documents, 32 bytes of memory each."""
    return make_store(torch.randn(11, 2, 8, generator=torch.Generator().manual_seed(0)))  # type: ignore[no-any-return]


@pytest.fixture
def reads(store: LatentStore, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Rows of each read of the store."""
    seen: list[list[int]] = []
    original = store.memory
    monkeypatch.setattr(store, "memory", lambda rows: (seen.append(list(rows)), original(rows))[1])
    return seen


def test_it_gives_what_the_store_gives(store: LatentStore) -> None:
    hot = HotMemory(store, max_bytes=4 * ROW_BYTES)
    for rows in ([3, 1, 3], [1, 9, 10, 0, 2, 5], [], [3]):
        assert torch.equal(hot.memory(rows), store.memory(rows))


def test_a_row_is_read_once_while_it_is_kept(store: LatentStore, reads: list[list[int]]) -> None:
    hot = HotMemory(store, max_bytes=100 * ROW_BYTES)
    hot.memory([3, 1, 3])
    hot.memory([1, 2])
    assert reads == [[3, 1], [2]]
    assert (hot.hits, hot.misses) == (1, 3)


def test_what_was_asked_for_last_is_kept_within_the_bound(store: LatentStore, reads: list[list[int]]) -> None:
    hot = HotMemory(store, max_bytes=3 * ROW_BYTES)
    hot.memory([0, 1, 2])
    hot.memory([0])
    hot.memory([3])  # 1 goes: 0 was asked for after it
    assert hot.kept_bytes == 3 * ROW_BYTES
    hot.memory([0, 2, 3])
    hot.memory([1])
    assert reads == [[0, 1, 2], [3], [1]]


def test_without_room_nothing_is_kept(store: LatentStore, reads: list[list[int]]) -> None:
    hot = HotMemory(store, max_bytes=0)
    hot.memory([1])
    hot.memory([1])
    assert reads == [[1], [1]] and hot.kept_bytes == 0


def test_threads_may_share_it(store: LatentStore) -> None:
    hot = HotMemory(store, max_bytes=5 * ROW_BYTES)
    draw = torch.Generator().manual_seed(1)
    asked = [torch.randint(0, 11, (4,), generator=draw).tolist() for _ in range(200)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(hot.memory, asked))
    assert all(torch.equal(memory, store.memory(rows)) for memory, rows in zip(found, asked, strict=True))
    assert hot.kept_bytes <= 5 * ROW_BYTES


def test_a_negative_bound_is_refused(store: LatentStore) -> None:
    with pytest.raises(ClaraError, match="hot_bytes must be >= 0, got -1"):
        HotMemory(store, max_bytes=-1)
