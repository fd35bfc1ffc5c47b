"""Files at an address: what fails for a moment, what fails for good, and what cannot be reached at all."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from clara_lightning.corpus.address import Address, is_address
from clara_lightning.errors import ClaraError


@pytest.fixture
def address(url: str) -> Address:
    return Address.of(url, setting="--store")


def failing(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException, *, times: int) -> list[str]:
    """Let the first calls of a method of both file systems fail; the paths that it was called with are collected."""
    called: list[str] = []
    for system in (LocalFileSystem, MemoryFileSystem):
        original = getattr(system, name)

        def method(self: Any, *args: Any, original: Any = original, **options: Any) -> Any:
            called.append(args[0])
            if len(called) <= times:
                raise error
            return original(self, *args, **options)

        monkeypatch.setattr(system, name, method)
    return called


@pytest.mark.parametrize("path", ["runs/store", "/runs/store", Path("s3://b/s"), "C:\\store", "a: //b", None])
def test_a_path_is_no_address(path: Any) -> None:
    assert not is_address(path)


def test_what_was_brought_there_is_read_listed_and_counted(address: Address, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    for name in ("shards/x.bin", "y.bin"):
        address.upload(tmp_path / "a", name)

    assert address.read("shards/x.bin") == b"12345" and address.read("z") is None
    assert address.names() == {"shards", "y.bin"} and address.names("shards") == {"x.bin"}
    assert address.names("elsewhere") == frozenset()
    assert address.num_bytes() == 10
    address.remove(["y.bin", "z"])
    assert address.names() == {"shards"}


def test_a_disk_shows_a_file_under_its_name_when_it_is_whole(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    seen: list[list[str]] = []
    move = LocalFileSystem.mv
    monkeypatch.setattr(
        LocalFileSystem,
        "mv",
        lambda self, *paths: (seen.append([path.name for path in there.iterdir()]), move(self, *paths)),
    )
    (tmp_path / "a").write_bytes(b"1")

    Address.of(f"file://{there}", setting="--store").upload(tmp_path / "a", "x")

    assert seen == [[".x.tmp"]] and [path.name for path in there.iterdir()] == ["x"]


def test_what_fails_for_a_moment_is_tried_again(
    address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").write_bytes(b"1")
    called = failing(monkeypatch, "put_file", ConnectionResetError("reset by peer"), times=2)

    with caplog.at_level(logging.WARNING):
        address.upload(tmp_path / "a", "x")

    assert len(called) == 3 and address.read("x") == b"1"
    assert f"{address.url}/x: not written: reset by peer; again in 0 seconds" in caplog.text


def test_what_goes_on_failing_is_one_line_that_says_how_to_go_on(
    address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"1")
    called = failing(monkeypatch, "put_file", TimeoutError("no answer\nin 5 s"), times=99)

    with pytest.raises(ClaraError) as caught:
        address.upload(tmp_path / "a", "x")

    assert len(called) == 4
    assert str(caught.value) == (
        f"--store: {address.url}/x: cannot be written: no answer in 5 s; what is finished is kept: "
        "run the same command again to go on"
    )


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(28, "No space left on device")])
def test_what_cannot_get_better_is_not_tried_again(
    error: OSError, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = failing(monkeypatch, "cat_file", error, times=99)

    with pytest.raises(ClaraError, match=f"cannot be read: {error.strerror}$"):
        address.read("x")
    assert len(called) == 1


def test_an_error_of_a_clients_own_kind_is_one_line_too(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("botocore.exceptions")
    module.BotoCoreError = type("BotoCoreError", (Exception,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "botocore.exceptions", module)
    error = type("NoCredentialsError", (module.BotoCoreError,), {})("Unable to locate credentials")  # type: ignore
    called = failing(monkeypatch, "cat_file", error, times=99)

    with pytest.raises(ClaraError, match="cannot be read: Unable to locate credentials"):
        address.read("x")
    assert len(called) == 1


def test_a_bug_is_not_taken_for_a_mistake(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "cat_file", TypeError("a bug"), times=99)

    with pytest.raises(TypeError, match="a bug"):
        address.read("x")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nothing://b/s", "--store: nothing://b/s: nothing:// is no protocol that fsspec knows"),
        ("s3://b/s", "--store: s3://b/s: s3:// needs a package that is not installed: pip install s3fs"),
        ("gs://b/s", "--store: gs://b/s: gs:// needs a package that is not installed: pip install gcsfs"),
        ("memory://", "--store: memory:// names no folder"),
    ],
)
def test_an_address_that_cannot_be_reached_is_refused(url: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("s3fs", "gcsfs"):  # also where they are installed
        monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ClaraError) as caught:
        Address.of(url, setting="--store")

    assert str(caught.value) == message
