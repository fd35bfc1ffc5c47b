"""Several store folders are one store."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from clara_lightning.corpus.maintenance import delete
from clara_lightning.corpus.search import open_index
from clara_lightning.corpus.store import LatentStore
from clara_lightning.errors import ClaraError


def memory_of(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 2, 8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def parts(make_store: Any) -> list[Path]:
    """Folders of 7 and 5 documents."""
    first = make_store(memory_of(7, 0), name="a")
    second = make_store(memory_of(5, 1), name="b", first=100)
    return [first.path, second.path]


@pytest.fixture
def alone(make_store: Any) -> LatentStore:
    """The same twelve memories in one folder."""
    return make_store(torch.cat([memory_of(7, 0), memory_of(5, 1)]), name="alone")  # type: ignore[no-any-return]


def test_rows_of_the_second_stand_behind_those_of_the_first(parts: list[Path], alone: LatentStore) -> None:
    joined = LatentStore.open(parts)
    rows = [11, 0, 7, 6, 6]
    assert len(joined) == 12
    assert torch.equal(joined.memory(rows), alone.memory(rows))
    assert [document.id for document in joined.documents(rows)] == [joined.ids[row] for row in rows]
    assert joined.rows_of(["d104", "d0"]) == [11, 0]
    assert torch.equal(torch.cat([block for _, block in joined.blocks(size=3)]), alone.memory(range(12)))


@pytest.mark.parametrize("score", ["flat", "maxsim"])
def test_a_search_finds_what_it_finds_in_one_folder(parts: list[Path], alone: LatentStore, score: Any) -> None:
    query, weights = memory_of(4, 9), torch.ones(4, 2)
    found = open_index(LatentStore.open(parts), score=score).search(query, weights, top_k=9)
    wanted = open_index(alone, score=score).search(query, weights, top_k=9)
    assert torch.equal(found.rows_BK, wanted.rows_BK)
    assert torch.allclose(found.scores_BK, wanted.scores_BK)


def test_deletions_of_a_folder_count(parts: list[Path]) -> None:
    delete(parts[0], ["d2"])
    joined = LatentStore.open(parts)
    assert len(joined) == 11 and joined.rows_of(["d3", "d100"]) == [2, 6]


def test_a_file_names_the_folders(parts: list[Path], tmp_path: Path) -> None:
    (tmp_path / "stores.txt").write_text("# two of them\na\n\nb\n", encoding="utf-8")
    assert LatentStore.open(tmp_path / "stores.txt").ids == LatentStore.open(parts).ids


def test_a_file_that_names_folders_may_stand_among_others(parts: list[Path], tmp_path: Path) -> None:
    (tmp_path / "stores.txt").write_text("b\n", encoding="utf-8")
    assert LatentStore.open([parts[0], tmp_path / "stores.txt"]).ids == LatentStore.open(parts).ids


def test_chunks_are_found_in_the_folders_that_have_some(make_store: Any) -> None:
    whole = make_store(memory_of(2, 0), name="whole", ids=["a", "x#1"])
    cut = make_store(memory_of(3, 1), name="cut", ids=["b#1", "b#2", "c"], chunk_tokens=32)
    joined = LatentStore.open([whole.path, cut.path])
    assert joined.rows_of_each(["b", "a", "c"]) == [(2, 3), (0,), (4,)]
    with pytest.raises(ClaraError, match="document 'x' is not in the store"):
        joined.rows_of_each(["x"])


def test_it_goes_to_another_process(parts: list[Path]) -> None:
    joined = LatentStore.open(parts)
    assert torch.equal(pickle.loads(pickle.dumps(joined)).memory([9, 1]), joined.memory([9, 1]))


def test_folders_of_two_compressors_are_refused(parts: list[Path], make_store: Any) -> None:
    other = make_store(memory_of(2, 0), name="other", first=50, compressor="cd" * 32)
    with pytest.raises(ClaraError, match="do not go together: compressor is abab"):
        LatentStore.open([parts[0], other.path])


def test_an_id_in_two_folders_is_refused_when_it_is_looked_for(parts: list[Path], make_store: Any) -> None:
    again = make_store(memory_of(2, 3), name="again", first=5)
    joined = LatentStore.open([parts[0], again.path])
    with pytest.raises(ClaraError, match=r"the id 'd5' is in .*a and .*again"):
        joined.rows_of(["d0"])


def test_a_folder_that_is_named_twice_is_refused(parts: list[Path]) -> None:
    with pytest.raises(ClaraError, match=r"--store: .*a is named 2 times"):
        LatentStore.open([*parts, parts[0]])


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "stores.txt").write_text("# none\n", encoding="utf-8")
    with pytest.raises(ClaraError, match="names no store folder"):
        LatentStore.open(tmp_path / "stores.txt")
