"""``clara predict`` to an address: the same files as in a folder, also after kills, and by several processes."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from clara_lightning.corpus.address import Address
from clara_lightning.corpus.address_destination import AddressDestination
from clara_lightning.corpus.destination import Destination, FolderDestination
from clara_lightning.corpus.encoder import finish_store
from clara_lightning.corpus.manifest import Identity
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError

IDENTITY = Identity("tiny", "ab" * 32, 2, 8, "bfloat16", "float32", rows_per_shard=4, documents_sha256="cd" * 32)
MEMORY_NLD = torch.randn(11, 2, 8, generator=torch.Generator().manual_seed(0))
FINISHED = sorted(["manifest.json", *(f"shards/{n:08d}.{end}" for n in range(3) for end in ("parquet", "safetensors"))])


class Killed(BaseException):
    """What no handler of a mistake catches."""


def encode(store: Destination, shards: range | list[int]) -> None:
    """What the encoder does with a destination, for some of three shards."""
    for number in shards:
        rows = range(4 * number, min(4 * number + 4, 11))
        documents = [Document(f"d{row}", f"Text {row}.") for row in rows]
        store.write(f"{number:08d}", documents, MEMORY_NLD[list(rows)], documents_cut=number, dtype="bfloat16")


def encode_all(store: Destination) -> list[int]:
    """A whole run of one process; the shards that it wrote."""
    found = store.begun()
    assert found in (None, IDENTITY)
    if store.is_complete():
        store.tidy()
        return []
    missing = [number for number in range(3) if number not in store.finished(3)]
    store.begin(IDENTITY)
    encode(store, missing)
    finish_store(store, IDENTITY, num_shards=3)
    store.close()
    return missing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The store in a folder."""
    encode_all(FolderDestination(tmp_path / "folder"))
    return tmp_path / "folder"


def test_the_files_are_those_of_a_folder_and_nothing_stays_here(
    url: str, folder: Path, bytes_of: Any, bytes_at: Any, cache: Path
) -> None:
    assert encode_all(AddressDestination(url, rank=0)) == [0, 1, 2]

    assert bytes_at(url) == bytes_of(folder) and sorted(bytes_at(url)) == FINISHED
    assert not [path for path in cache.rglob("*") if path.is_file()]
    assert LatentStore.open(url).manifest.documents_cut == 3


def test_of_shards_no_more_than_the_one_in_work_is_on_the_disk(
    url: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    upload = Address.upload
    monkeypatch.setattr(
        Address,
        "upload",
        lambda self, source, name: (
            seen.append({path.stem for path in cache.rglob("*") if path.is_file() and path.stem.isdigit()}),
            upload(self, source, name),
        ),
    )

    encode_all(AddressDestination(url, rank=0))

    assert max(map(len, seen)) == 1


@pytest.mark.parametrize("calls", range(1, 12))
def test_killed_before_any_upload_or_after_it_no_more_than_a_shard_is_lost(
    calls: int, url: str, folder: Path, bytes_of: Any, bytes_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven uploads: the plan, three for each shard, and the manifest."""
    upload = Address.upload
    for is_after in (False, True):
        done = 0

        def killed(self: Address, source: Path, name: str, is_after: bool = is_after) -> None:
            nonlocal done
            done += 1
            if done == calls and not is_after:
                raise Killed
            upload(self, source, name)
            if done == calls:
                raise Killed

        monkeypatch.setattr(Address, "upload", killed)
        with pytest.raises(Killed):
            encode_all(AddressDestination(f"{url}/{is_after}", rank=0))
        monkeypatch.setattr(Address, "upload", upload)

        written = encode_all(AddressDestination(f"{url}/{is_after}", rank=0))

        finished = max(calls - 2 + is_after, 0) // 3
        assert written == list(range(finished, 3))
        assert bytes_at(f"{url}/{is_after}") == bytes_of(folder)


def test_killed_while_it_was_tidied_the_next_run_goes_on_with_that(
    url: str, folder: Path, bytes_of: Any, bytes_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = Address.remove
    monkeypatch.setattr(Address, "remove", lambda self, names: (remove(self, list(names)[:1]), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        encode_all(AddressDestination(url, rank=0))
    assert len(bytes_at(url)) == len(FINISHED) + 1 + 2  # the plan, and two ledgers
    assert len(LatentStore.open(url)) == 11
    monkeypatch.setattr(Address, "remove", remove)

    assert encode_all(AddressDestination(url, rank=0)) == []
    assert bytes_at(url) == bytes_of(folder)


def test_a_shard_whose_file_is_gone_is_written_again(
    url: str, folder: Path, bytes_of: Any, bytes_at: Any, change_at: Any
) -> None:
    store = AddressDestination(url, rank=0)
    store.begin(IDENTITY)
    encode(store, range(3))
    change_at(url, "shards/00000001.safetensors", None)

    assert encode_all(AddressDestination(url, rank=0)) == [1]
    assert bytes_at(url) == bytes_of(folder)


def test_ranks_bring_shards_of_their_own(url: str, folder: Path, bytes_of: Any, bytes_at: Any) -> None:
    first, second = AddressDestination(url, rank=0), AddressDestination(url, rank=1)
    first.begin(IDENTITY)
    encode(second, [1])
    encode(first, [0, 2])
    finish_store(first, IDENTITY, num_shards=3)

    assert second.is_complete() and bytes_at(url) == bytes_of(folder)


def test_a_store_that_lacks_a_shard_is_not_finished(url: str) -> None:
    store = AddressDestination(url, rank=0)
    store.begin(IDENTITY)
    encode(store, [0, 2])

    with pytest.raises(ClaraError, match=f"{url}: 1 shards are missing: run clara predict again"):
        finish_store(store, IDENTITY, num_shards=3)
    assert not store.is_complete()


def test_that_there_are_no_locks_is_said(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        AddressDestination(url, rank=0).begin(IDENTITY)

    assert caplog.messages == [f"{url}: an address has no locks: let no other clara predict write to it"]


def test_something_else_at_the_address_is_refused(url: str, change_at: Any) -> None:
    store = AddressDestination(url, rank=0)
    change_at(url, "thesis.tex", b"Once")
    with pytest.raises(ClaraError, match=f"encoder.store: {url} is not empty and no store"):
        store.begun()
    change_at(url, "encoding.json", b"{")
    with pytest.raises(ClaraError, match=f"{url}/encoding.json: not a valid plan"):
        store.begun()
    change_at(url, "encoding.json", json.dumps(asdict(IDENTITY)).encode())
    assert store.begun() == IDENTITY


def test_a_ledger_that_is_none_is_named(url: str, change_at: Any) -> None:
    store = AddressDestination(url, rank=0)
    store.begin(IDENTITY)
    encode(store, range(3))
    change_at(url, "shards/00000001.json", b'{"shard": {}}')

    with pytest.raises(ClaraError, match=r"shards/00000001.json: not a valid ledger: .*: remove it and run"):
        finish_store(store, IDENTITY, num_shards=3)


# --- through the command line ---------------------------------------------------------------------------------------


def test_clara_predict_writes_what_it_writes_into_a_folder_and_a_second_run_finds_it(
    commands: Any, clara: Any, compressor: Path, store: Path, url: str, bytes_of: Any, bytes_at: Any
) -> None:
    outcome = clara(*commands.predict(url, compressor))

    assert outcome.code == 0, outcome.err
    assert bytes_at(url) == bytes_of(store)
    again = clara(*commands.predict(url, compressor))
    assert again.code == 0 and "40 documents in 7 shards, 7 done" in again.err
    other = clara(*commands.predict(url, compressor, "--data.rows_per_shard", 8))
    assert other.mistake.startswith(f"encoder.store: {url} was begun with rows_per_shard 6, this run has 8")


def test_clara_predict_goes_on_where_it_was_killed(
    commands: Any,
    clara: Any,
    compressor: Path,
    store: Path,
    url: str,
    bytes_of: Any,
    bytes_at: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upload, names = Address.upload, []

    def killed(self: Address, source: Path, name: str) -> None:
        names.append(name)
        if name == "shards/00000002.parquet":
            raise Killed
        upload(self, source, name)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Address, "upload", killed)
        clara(*commands.predict(url, compressor))
    assert "shards/00000002.safetensors" in bytes_at(url) and "manifest.json" not in bytes_at(url)

    again = clara(*commands.predict(url, compressor))

    assert again.code == 0 and "40 documents in 7 shards, 2 done" in again.err
    assert bytes_at(url) == bytes_of(store)


def test_two_processes_write_the_same_files_as_one(
    commands: Any,
    start_clara: Any,
    finish: Any,
    compressor: Path,
    store: Path,
    cache: Path,
    tmp_path: Path,
    bytes_of: Any,
) -> None:
    both = ("--trainer.devices", 2, "--trainer.strategy", "ddp")

    outcome = finish(start_clara(*commands.predict(f"file://{tmp_path}/there", compressor, *both)))

    assert outcome.code == 0, outcome.err
    assert bytes_of(tmp_path / "there") == bytes_of(store)


@pytest.mark.slow
def test_killed_for_good_at_any_moment_the_next_run_ends_in_the_same_files(
    commands: Any,
    start_clara: Any,
    finish: Any,
    kill_when: Any,
    compressor: Path,
    store: Path,
    cache: Path,
    tmp_path: Path,
    bytes_of: Any,
) -> None:
    there = tmp_path / "there"
    words = commands.predict(f"file://{there}", compressor)
    for number in (0, 2, 5):
        kill_when(start_clara(*words), (there / f"shards/{number:08d}.safetensors").is_file)
        assert not (there / "manifest.json").exists()

    assert finish(start_clara(*words)).code == 0
    assert bytes_of(there) == bytes_of(store)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "encoder.store: s3://b/s: s3:// needs a package that is not installed: pip install s3fs"),
        (
            ("--encoder.store", "memory://b/s", "--encoder.index", "flat"),
            "encoder.index: memory://b/s is an address, and an index needs a folder: leave it out",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_a_document_is_read(
    options: tuple[str, ...],
    message: str,
    commands: Any,
    clara: Any,
    compressor: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)

    words = commands.predict("s3://b/s", compressor, "--data.documents", "no/such.jsonl", *options)

    assert clara(*words).mistake == message
