"""A store at an address becomes a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from clara_lightning.corpus.address import Address
from clara_lightning.corpus.index_builder import IndexOptions
from clara_lightning.corpus.maintenance import delete, index
from clara_lightning.corpus.pull import pull
from clara_lightning.corpus.store import LatentStore
from clara_lightning.errors import ClaraError


@pytest.fixture
def local(make_store: Any) -> LatentStore:
    """Eleven documents in shards of four, one of them deleted, with a search index."""
    made = make_store(torch.randn(11, 2, 8, generator=torch.Generator().manual_seed(0)))
    made.close()
    delete(made.path, ["d3"])
    index(made.path, IndexOptions(score="flat", kind="flat"))
    return LatentStore.open(made.path)


@pytest.fixture
def there(local: LatentStore, url: str, put_store: Any) -> str:
    put_store(local.path, url)
    return url


def test_the_folder_has_the_same_files_and_may_be_changed(
    there: str, local: LatentStore, tmp_path: Path, bytes_of: Any
) -> None:
    told: list[str] = []

    pull(there, tmp_path / "new" / "here", tell=told.append)

    assert bytes_of(tmp_path / "new" / "here") == bytes_of(local.path)
    assert told[-1] == "9 of 9 files are here"
    assert delete(tmp_path / "new" / "here", ["d0"]) == 9


def test_after_an_interruption_only_what_is_missing_or_wrong_is_brought(
    there: str, local: LatentStore, tmp_path: Path, bytes_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, brought = tmp_path / "here", []
    download = Address.download

    def interrupted(self: Address, name: str, target: Path) -> str:
        if name == "shards/00000002.parquet":
            raise KeyboardInterrupt
        return download(self, name, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Address, "download", interrupted)
        pull(there, here)
    assert not (here / "manifest.json").exists()
    pulled = {file.name for file in here.glob("shards/0*")}
    (here / "shards" / "00000000.parquet").write_bytes(b"of another generation")
    monkeypatch.setattr(
        Address, "download", lambda self, name, to: (brought.append(Path(name).name), download(self, name, to))[1]
    )

    pull(there, here)

    assert bytes_of(here) == bytes_of(local.path)
    assert not pulled & set(brought) - {"00000000.parquet"} and {"00000000.parquet", "00000002.parquet"} <= set(brought)


def test_a_file_that_was_changed_there_is_refused_and_the_folder_is_no_store(
    there: str, tmp_path: Path, change_at: Any
) -> None:
    change_at(there, "shards/00000001.parquet", b"PAR1")

    with pytest.raises(ClaraError, match=f"{there}/shards/00000001.parquet: its checksum is not the one"):
        pull(there, tmp_path / "here")
    with pytest.raises(ClaraError, match=r"no store \(it is not all here: run clara store pull again"):
        LatentStore.open(tmp_path / "here")


def test_a_folder_that_holds_something_is_refused(there: str, local: LatentStore, tmp_path: Path) -> None:
    for folder in (local.path, tmp_path / "file"):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(ClaraError, match=f"FOLDER: {folder} is there already: choose another folder"):
            pull(there, folder)


def test_verbs_look_at_an_address_and_do_not_change_it(
    clara: Any, there: str, local: LatentStore, tmp_path: Path
) -> None:
    assert '"documents": 10' in clara("store", "info", there, "--json").out
    assert clara("store", "verify", there).out == f"{there}: nothing is wrong\n"
    assert clara("store", "export", there, tmp_path / "out.jsonl").code == 0
    for verb, *options in (["delete", "--id", "d0"], ["compact"], ["index"], ["append", "--documents", "x"]):
        words = (*options, *(("--adapters", "x") if verb == "append" else ()))
        assert clara("store", verb, there, *words).mistake == (
            f"store {verb}: {there} is an address, and only a folder can be changed: clara store pull {there} FOLDER"
        )
    assert "10 documents in 3 shards" in clara("store", "pull", there, tmp_path / "here").out
    assert clara("store", "pull", "a", "b").mistake == "STORE: a is no address, such as s3://bucket/store"
