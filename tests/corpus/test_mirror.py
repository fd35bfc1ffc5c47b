"""Reading a store at an address: what is brought here, what is kept, and what is refused."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from clara_lightning.corpus.address import Address
from clara_lightning.corpus.checksums import file_sha256
from clara_lightning.corpus.index_builder import IndexOptions
from clara_lightning.corpus.maintenance import adopt, compact, delete, index
from clara_lightning.corpus.manifest import Manifest
from clara_lightning.corpus.mirror import Mirror, bytes_at, fetch, manifest_at
from clara_lightning.corpus.search import open_index
from clara_lightning.corpus.store import LatentStore
from clara_lightning.corpus.two_stage import TwoStageIndex
from clara_lightning.corpus.verification import faults
from clara_lightning.errors import ClaraError


@pytest.fixture
def local(made: LatentStore) -> LatentStore:
    """A store in a folder of this machine."""
    return made


@pytest.fixture
def there(local: LatentStore, url: str, put_store: Any) -> str:
    """The address at which they lie too."""
    put_store(local.path, url)
    return url


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files that were brought here, in this order."""
    names: list[str] = []
    download = Address.download
    monkeypatch.setattr(Address, "download", lambda self, name, to: (names.append(name), download(self, name, to))[1])
    return names


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ClaraError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_it_reads_what_the_folder_reads(there: str, local: LatentStore, memory_NLD: torch.Tensor) -> None:
    opened = LatentStore.open(there)

    assert len(opened) == 11 and opened.source == there and opened.manifest == local.manifest
    assert torch.equal(opened.memory([10, 0, 4]), local.memory([10, 0, 4]))
    assert opened.documents([9, 1]) == local.documents([9, 1])
    assert opened.ids == local.ids
    assert torch.equal(torch.cat([block for _, block in opened.blocks()]), memory_NLD.to(torch.bfloat16))


def test_a_shard_is_brought_here_when_a_row_of_it_is_read_and_its_text_with_the_first_text(
    there: str, brought: list[str]
) -> None:
    opened = LatentStore.open(there)
    assert brought == []

    opened.memory([5])
    assert brought == ["shards/00000001.safetensors"]
    opened.documents([6])
    assert brought == ["shards/00000001.safetensors", "shards/00000001.parquet"]
    opened.memory([4, 7])
    opened.documents([4])
    assert len(brought) == 2


def test_opening_lists_one_folder_and_asks_for_no_file_by_itself(there: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    names, read = Address.names, Address.read
    monkeypatch.setattr(Address, "names", lambda self, folder="": (listed.append(folder), names(self, folder))[1])
    monkeypatch.setattr(Address, "read", lambda self, name: (listed.append(name), read(self, name))[1])

    LatentStore.open(there)

    assert listed == ["manifest.json", "shards"]


def test_what_was_brought_here_is_not_brought_again(there: str, brought: list[str]) -> None:
    LatentStore.open(there).memory([0, 5])
    again = LatentStore.open(there)
    again.memory([0, 5])
    pickle.loads(pickle.dumps(again)).memory([0, 5])

    assert len(brought) == 2


def test_a_new_generation_is_seen_and_only_what_is_new_of_it_is_brought(
    there: str, local: LatentStore, make_store: Any, put_store: Any, brought: list[str]
) -> None:
    old = LatentStore.open(there)
    assert len(old.ids) == 11
    before = len(brought)
    more = make_store(torch.ones(2, 2, 8), name="more", first=11)
    adopt(local.path, more.path)
    delete(local.path, ["d3"])
    put_store(local.path, there)

    new = LatentStore.open(there)

    assert new.ids == [f"d{n}" for n in range(13) if n != 3]
    assert new.documents([3])[0].id == "d4"
    assert brought[before:] == [
        "deletions/00000002.npy",
        "shards/00000003.safetensors",
        "shards/00000003.parquet",
    ]
    assert old.documents([3])[0].id == "d3"  # who has it open goes on with the old state


def test_another_store_at_the_same_address_is_not_mixed_with_the_one_before(
    there: str, local: LatentStore, make_store: Any, put_store: Any
) -> None:
    old = LatentStore.open(there)
    old.memory([0])
    other = make_store(torch.full((11, 2, 8), 3.0), name="other")
    put_store(other.path, there)

    assert torch.equal(LatentStore.open(there).memory([0]), other.memory([0]))
    assert torch.equal(pickle.loads(pickle.dumps(old)).memory([0]), local.memory([0]))


@pytest.mark.parametrize("suffix", ["safetensors", "parquet"])
def test_a_damaged_file_is_refused_by_name_and_not_kept(
    suffix: str, there: str, local: LatentStore, cache: Path, change_at: Any
) -> None:
    name = f"shards/00000001.{suffix}"
    content = bytearray((local.path / name).read_bytes())
    content[-3] ^= 1
    change_at(there, name, bytes(content))
    opened = LatentStore.open(there)

    message = refusal(lambda: (opened.memory([5]), opened.documents([5])))

    assert message == f"--store: {there}/{name}: its checksum is not the one in the manifest: the file was changed"
    assert torch.equal(opened.memory([0]), local.memory([0]))
    wanted = {file_sha256(local.path / f"shards/0000000{n}.safetensors") for n in (0, 1)}
    assert {file.name for file in cache.glob("stores/*/files/*")} <= wanted
    change_at(there, name, (local.path / name).read_bytes())
    assert opened.documents([5]) == local.documents([5])  # mended there, it is read


def test_a_missing_file_is_refused_at_opening_or_when_it_is_wanted(there: str, change_at: Any) -> None:
    opened = LatentStore.open(there)
    change_at(there, "shards/00000002.safetensors", None)

    assert refusal(lambda: opened.memory([10])) == f"--store: {there}/shards/00000002.safetensors is missing"
    assert refusal(lambda: LatentStore.open(there)) == f"--store: {there}/shards/00000002.safetensors is missing"


def test_what_is_no_store_is_refused(there: str, url: str, change_at: Any, local: LatentStore) -> None:
    change_at(there, "manifest.json", b"{")
    assert f"{there}/manifest.json: not a valid manifest" in refusal(lambda: LatentStore.open(there))
    values = json.loads((local.path / "manifest.json").read_bytes())
    values["rows"] = 12
    change_at(there, "manifest.json", json.dumps(values).encode())
    assert f"{there}/manifest.json: its checksum is not its own" in refusal(lambda: LatentStore.open(there))
    change_at(there, "manifest.json", None)
    assert "its encoding is not finished: run clara predict again" in refusal(lambda: LatentStore.open(there))
    assert "elsewhere is no store (nothing is there)" in refusal(lambda: LatentStore.open(f"{url}/elsewhere"))


def test_messages_name_the_address(there: str) -> None:
    opened = LatentStore.open(there, setting="model.init_args.store")

    assert refusal(lambda: opened.rows_of(["d99"])).endswith(f"is not in the store {there}")
    assert there in refusal(lambda: opened.require(fingerprint="ef" * 32, memory_tokens=2))


def test_a_file_may_name_folders_and_addresses(
    there: str, make_store: Any, tmp_path: Path, memory_NLD: torch.Tensor
) -> None:
    make_store(memory_NLD, name="more", first=11)
    (tmp_path / "all.txt").write_text(f"{there}/\nmore\n", encoding="utf-8")

    assert LatentStore.open(tmp_path / "all.txt").ids == [f"d{n}" for n in range(22)]
    assert len(LatentStore.open([there, str(tmp_path / "more")])) == 22


def test_a_search_finds_what_it_finds_in_the_folder(there: str, local: LatentStore, memory_NLD: torch.Tensor) -> None:
    for score in ("maxsim", "flat"):
        found = [open_index(opened, score=score) for opened in (LatentStore.open(there), local)]  # type: ignore[arg-type]
        ours, theirs = (index.search(memory_NLD[:2], torch.full((2, 2), 0.5), top_k=4) for index in found)
        assert torch.equal(ours.rows_BK, theirs.rows_BK) and torch.equal(ours.scores_BK, theirs.scores_BK)


def test_any_file_is_brought_by_its_path_and_checksum(there: str, local: LatentStore, change_at: Any) -> None:
    content = b"vectors"
    change_at(there, "index/keys/part.bin", content)
    (local.path / "x").write_bytes(content)
    files = LatentStore.open(there).parts[0].files

    path = files("index/keys/part.bin", file_sha256(local.path / "x"))

    assert path.read_bytes() == content and path.name == "part.bin" and path.parent.name == "keys"


def test_an_index_is_brought_too(local: LatentStore, url: str, put_store: Any, change_at: Any) -> None:
    local.close()
    entry = index(local.path, IndexOptions(score="flat", kind="flat"))
    put_store(local.path, url)
    query, weights = local.memory([0, 3]).float(), torch.ones(2, local.memory_shape[0])

    found = open_index(LatentStore.open(url), score="flat")

    assert isinstance(found, TwoStageIndex)
    here = open_index(LatentStore.open(local.path), score="flat").search(query, weights, top_k=3)
    assert torch.equal(found.search(query, weights, top_k=3).rows_BK, here.rows_BK)
    assert not list(faults(url))
    name = f"index/{entry.folder}/keys-00000.faiss"
    change_at(url, name, b"other")
    assert [fault.partition(": its")[0] for fault in faults(url)] == [f"STORE: {url}/{name}"]


def test_a_checksum_that_is_none_leads_nowhere(there: str, cache: Path) -> None:
    files = LatentStore.open(there).parts[0].files
    assert isinstance(files, Mirror)

    assert "is no checksum" in refusal(lambda: files("shards/x", "../../x"))


def test_several_that_want_the_same_file_bring_it_once(
    there: str, local: LatentStore, tmp_path: Path, brought: list[str]
) -> None:
    name = "shards/00000000.safetensors"
    wanted = file_sha256(local.path / name)
    (tmp_path / f".{wanted}.tmp").write_bytes(b"left by a process that was killed")
    address = Address.of(there, setting="--store")
    threads = [threading.Thread(target=fetch, args=(address, name, wanted, tmp_path / wanted)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert brought == [name] and file_sha256(tmp_path / wanted) == wanted
    assert not list(tmp_path.glob(".*.tmp*"))


def test_info_has_the_manifest_and_the_bytes(there: str, local: LatentStore) -> None:
    assert manifest_at(there, setting="STORE") == manifest_at(local.path, setting="STORE") == local.manifest
    assert bytes_at(there, setting="STORE") == bytes_at(local.path, setting="STORE") > 0


@pytest.mark.parametrize("compacted", [False, True])
def test_verify_finds_nothing_wrong_and_keeps_nothing(
    compacted: bool, local: LatentStore, url: str, put_store: Any, cache: Path
) -> None:
    delete(local.path, ["d0", "d10"])
    if compacted:
        local.close()
        compact(local.path)
    put_store(local.path, url)
    told: list[str] = []

    assert list(faults(url, tell=told.append)) == []
    assert told[-1] == "3 of 3 shards compared"
    assert not [file for file in cache.rglob("*") if file.is_file()]


def test_verify_names_every_file_that_is_wrong(there: str, change_at: Any, local: LatentStore) -> None:
    change_at(there, "shards/00000000.parquet", b"PAR1")
    change_at(there, "shards/00000002.safetensors", None)

    assert list(faults(there)) == [
        f"STORE: {there}/shards/00000000.parquet: its checksum is not the one in the manifest: the file was changed",
        f"STORE: {there}/shards/00000002.safetensors is missing",
    ]


def test_verify_finds_ids_that_stand_twice_and_deletions_that_are_wrong(
    local: LatentStore, url: str, make_store: Any, put_store: Any, change_at: Any
) -> None:
    delete(local.path, ["d0"])
    manifest = Manifest.read(local.path, setting="")
    twice = (*manifest.shards, manifest.shards[1])
    Manifest(manifest.identity, twice, 0, None, manifest.deletions).write(local.path)
    put_store(local.path, url)

    assert list(faults(url)) == [f"{url}: the id 'd{n}' stands 2 times" for n in range(4, 8)]
    change_at(url, "deletions/00000001.npy", b"")
    assert [fault.partition(": its")[0] for fault in faults(url)] == [f"STORE: {url}/deletions/00000001.npy"]


def test_search_and_training_take_an_address(
    clara: Any, commands: Any, compressor: Path, joint: Path, store: Path, url: str, put_store: Any, tmp_path: Path
) -> None:
    put_store(store, url)
    found = [
        clara("search", "--store", place, "--adapters", joint, "--dtype", "float32", "--json", "Which port ships gold?")
        for place in (url, store)
    ]

    assert found[0].code == 0, found[0].err
    assert found[0].out == found[1].out
    trained = clara(*commands.fit_joint(tmp_path / "run", compressor, "--model.store", url))
    assert trained.code == 0, trained.err
