"""A store grows, shrinks and is compacted; whoever reads it sees the old state or the new one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from clara_lightning.corpus.lock import nobody_reads, writing
from clara_lightning.corpus.maintenance import adopt, compact, delete, require_new
from clara_lightning.corpus.manifest import Manifest
from clara_lightning.corpus.search import open_index
from clara_lightning.corpus.store import LatentStore
from clara_lightning.corpus.verification import faults
from clara_lightning.errors import ClaraError


def memory_of(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 2, 8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def made(make_store: Any) -> LatentStore:
    """Eleven documents in shards of four."""
    return make_store(memory_of(11))  # type: ignore[no-any-return]


@pytest.fixture
def other(make_store: Any) -> LatentStore:
    """Five more, d100 to d104."""
    return make_store(memory_of(5, seed=1), name="other", first=100)  # type: ignore[no-any-return]


def state(path: Path) -> dict[str, list[float]]:
    """Memory by id, and the text with it."""
    store = LatentStore.open(path)
    rows = range(len(store))
    found = store.documents(rows)
    assert [document.id for document in found] == store.ids
    return {one.id + one.text: memory.flatten().tolist() for one, memory in zip(found, store.memory(rows), strict=True)}


def test_a_deleted_document_is_gone_and_the_others_are_what_they_were(made: LatentStore) -> None:
    before = state(made.path)
    assert delete(made.path, ["d3", "d9", "d3"]) == 9
    after = state(made.path)
    assert after == {key: value for key, value in before.items() if not key.startswith(("d3T", "d9T"))}
    store = LatentStore.open(made.path)
    assert torch.equal(torch.cat([block for _, block in store.blocks(size=3)]), store.memory(range(9)))
    assert store.rows_of(["d10"]) == [8]


def test_blocks_name_the_rows_that_they_begin_with(made: LatentStore) -> None:
    delete(made.path, ["d0", "d1", "d2", "d3", "d5"])
    store = LatentStore.open(made.path)
    for first, block_NLD in store.blocks(size=2):
        assert torch.equal(block_NLD, store.memory(range(first, first + len(block_NLD))))


@pytest.mark.parametrize("score", ["maxsim", "flat"])
def test_a_deleted_document_is_not_found(make_store: Any, score: Any) -> None:
    memory_NLD = memory_of(11)
    store = make_store(memory_NLD)
    delete(store.path, ["d4"])
    store = LatentStore.open(store.path)
    hits = open_index(store, score=score).search(memory_NLD[[4, 7]], torch.ones(2, 2), top_k=10)
    found = [[store.ids[row] for row in rows] for rows in hits.rows_BK.tolist()]
    assert all(len(set(ids)) == 10 and "d4" not in ids for ids in found)
    assert found[1][0] == "d7"


def test_deleting_twice_adds_up(made: LatentStore) -> None:
    delete(made.path, ["d3"])
    delete(made.path, ["d4"])
    assert LatentStore.open(made.path).ids == [f"d{n}" for n in (0, 1, 2, 5, 6, 7, 8, 9, 10)]
    assert Manifest.read(made.path, setting="").generation == 2


@pytest.mark.parametrize(
    ("ids", "mistake"),
    [
        (["d3", "no"], "--id: document 'no' is not in the store"),
        ([f"d{n}" for n in range(11)], "no document would be left"),
    ],
)
def test_a_wrong_deletion_changes_nothing(made: LatentStore, ids: list[str], mistake: str, bytes_of: Any) -> None:
    before = bytes_of(made.path)
    with pytest.raises(ClaraError, match=mistake):
        delete(made.path, ids)
    assert bytes_of(made.path) == before


def test_a_document_that_was_cut_is_deleted_by_its_id_or_chunk_by_chunk(make_store: Any) -> None:
    made = make_store(memory_of(6), ids=["a#1", "a#2", "b", "c#1", "c#2", "d"], chunk_tokens=32)
    assert delete(made.path, ["a", "a#2", "c#1"]) == 3
    assert LatentStore.open(made.path).ids == ["b", "c#2", "d"]


def test_documents_are_appended_behind_those_there(made: LatentStore, other: LatentStore) -> None:
    wanted = {**state(made.path), **state(other.path)}
    assert adopt(made.path, other.path) == 16
    assert state(made.path) == wanted and list(state(made.path)) == list(wanted)
    assert not other.path.exists()
    assert not list(faults(made.path))


def test_ids_that_are_there_are_refused_or_replaced(made: LatentStore, make_store: Any) -> None:
    new = make_store(memory_of(3, seed=5), name="new", first=9)  # d9, d10, d11
    with pytest.raises(ClaraError, match=r"--documents: 'd9' is in .* already: --replace"):
        adopt(made.path, new.path)
    newer = state(new.path)
    assert adopt(made.path, new.path, replace_existing=True) == 12
    found = state(made.path)
    assert {key: found[key] for key in newer} == newer
    assert LatentStore.open(made.path).ids == [f"d{n}" for n in range(12)]


def test_a_store_of_another_compressor_is_not_taken_over(made: LatentStore, make_store: Any) -> None:
    foreign = make_store(memory_of(3), name="foreign", first=50, compressor="cd" * 32)
    with pytest.raises(ClaraError, match=f"compressor is {'ab' * 32} there and {'cd' * 32} here"):
        adopt(made.path, foreign.path)
    assert foreign.path.exists() and len(LatentStore.open(made.path)) == 11


def test_documents_that_were_cut_otherwise_are_not_taken_over_and_unknown_ones_are(make_store: Any) -> None:
    made, other, older = (
        make_store(memory_of(3, seed=first), name=name, first=first, chunk_tokens=tokens)
        for name, first, tokens in (("a", 0, 32), ("b", 10, 64), ("c", 20, None))
    )
    with pytest.raises(ClaraError, match="chunk_tokens is 32 there and 64 here"):
        adopt(made.path, other.path)
    assert adopt(made.path, older.path) == 6


def test_a_document_that_is_replaced_takes_all_its_chunks_with_it(make_store: Any) -> None:
    made = make_store(memory_of(5), ids=["a#1", "a#2", "a#3", "b", "c#1"], chunk_tokens=32)
    shorter = make_store(memory_of(2, seed=5), name="shorter", ids=["c", "a#1"], chunk_tokens=32)
    newer = state(shorter.path)
    with pytest.raises(ClaraError, match=r"--documents: 'a' is in .* already: --replace"):
        adopt(made.path, shorter.path)
    adopt(made.path, shorter.path, replace_existing=True)
    assert LatentStore.open(made.path).ids == ["b", "c", "a#1"]
    found = state(made.path)
    assert {key: found[key] for key in newer} == newer


def test_a_document_of_which_there_are_chunks_is_refused_before_it_is_encoded(make_store: Any, tmp_path: Path) -> None:
    made = make_store(memory_of(2), ids=["a#1", "a#2"], chunk_tokens=32)
    (tmp_path / "d.jsonl").write_text('{"id": "b", "text": "new"}\n{"id": "a", "text": "again"}\n', encoding="utf-8")
    with pytest.raises(ClaraError, match=r"--documents: 'a' is in .* already: --replace"):
        require_new(made.path, str(tmp_path / "d.jsonl"))


@pytest.mark.parametrize("when", ["linked", "written"])
def test_a_kill_while_appending_is_mended_by_the_same_call(
    made: LatentStore, other: LatentStore, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    wanted = {**state(made.path), **state(other.path)}

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    where = "clara_lightning.corpus.maintenance." + {"linked": "Manifest.write", "written": "shutil.rmtree"}[when]
    with monkeypatch.context() as patch:
        patch.setattr(where, killed)
        with pytest.raises(KeyboardInterrupt):
            adopt(made.path, other.path)
    assert len(LatentStore.open(made.path)) == {"linked": 11, "written": 16}[when]
    assert adopt(made.path, other.path) == 16
    assert state(made.path) == wanted and not other.path.exists()


def test_compacting_keeps_every_document_and_gives_the_space_back(made: LatentStore, other: LatentStore) -> None:
    path = made.path
    adopt(path, other.path)
    delete(path, ["d0", "d5", "d102"])
    wanted = state(path)
    made.close()
    compact(path)
    assert state(path) == wanted and list(state(path)) == list(wanted)
    manifest = Manifest.read(path, setting="")
    assert [shard.rows for shard in manifest.shards] == [4, 4, 4, 1] and manifest.deletions is None
    assert {file.stem for file in (path / "shards").iterdir()} == {shard.name for shard in manifest.shards}
    assert not list((path / "deletions").iterdir())
    assert not list(faults(path))


def test_a_reader_sees_the_old_state_until_it_opens_the_store_again(made: LatentStore, other: LatentStore) -> None:
    path = made.path
    reader = LatentStore.open(path)  # reads nothing yet
    adopt(path, other.path)
    delete(path, ["d0"])
    said: list[str] = []
    made.close()
    compact(path, tell=said.append)
    assert "another process reads the store" in said[-1]
    assert reader.ids == [f"d{n}" for n in range(11)]
    assert torch.equal(reader.memory(range(11)), memory_of(11).to(torch.bfloat16))
    reader.close()
    compact(path)
    assert {file.stem for file in (path / "shards").iterdir()} == {
        s.name for s in Manifest.read(path, setting="").shards
    }


def test_two_writers_are_one_too_many_and_a_dead_one_is_none(made: LatentStore) -> None:
    code = (
        "import sys, time; from pathlib import Path; from clara_lightning.corpus.lock import writing\n"
        f"with writing(Path({str(made.path)!r})): print('in', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ)
    assert process.stdout is not None and process.stdout.readline() == "in\n"
    with pytest.raises(ClaraError, match="another process is writing to it"):
        delete(made.path, ["d0"])
    process.kill()
    process.communicate()
    assert delete(made.path, ["d0"]) == 10


def test_a_reader_is_known_while_it_lives(made: LatentStore) -> None:
    assert not nobody_reads(made.path)
    made.close()
    assert nobody_reads(made.path)
    with writing(made.path):
        assert nobody_reads(made.path)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8", "float8"])
def test_a_flipped_byte_is_named_and_never_gives_a_wrong_row(make_store: Any, dtype: str) -> None:
    store = make_store(memory_of(11), dtype=dtype)
    delete(store.path, ["d3"])
    right = state(store.path)
    store.close()
    files = sorted(file for file in store.path.rglob("*") if file.is_file())
    assert len(files) == 8  # three shards of two files, the manifest, the deletions
    for file in files:
        content = file.read_bytes()
        for place in {0, 7, len(content) // 3, len(content) // 2, len(content) - 5, len(content) - 1}:
            file.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
            found = _faults(store.path)
            assert any(file.name in line for line in found), (file, place, found)
            try:
                assert state(store.path) == right
            except ClaraError as error:
                assert file.name in str(error) and "\n" not in str(error)
        file.write_bytes(content)
    assert not _faults(store.path)


def _faults(path: Path) -> list[str]:
    try:
        return list(faults(path))
    except ClaraError as error:
        return [str(error)]


def test_a_truncated_and_a_missing_file_are_named(made: LatentStore) -> None:
    shard = made.path / "shards" / "00000001.safetensors"
    shard.write_bytes(shard.read_bytes()[:-10])
    (made.path / "shards" / "00000002.parquet").unlink()
    found = _faults(made.path)
    assert any("00000001.safetensors" in line for line in found)
    assert f"{made.path}/shards/00000002.parquet: missing" in found


def names_in(path: Path) -> set[str]:
    """Shards that the manifest names."""
    return {shard.name for shard in Manifest.read(path, setting="").shards}
