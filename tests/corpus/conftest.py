"""A small store, and addresses that need no network: of this process's memory, and of its disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch

from clara_lightning.corpus.store import LatentStore


@pytest.fixture
def memory_NLD() -> torch.Tensor:
    """Memory of eleven documents."""
    return torch.randn(11, 2, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def made(make_store: Any, memory_NLD: torch.Tensor) -> LatentStore:
    """Eleven documents in shards of four."""
    return make_store(memory_NLD)  # type: ignore[no-any-return]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder; attempts follow each other without a pause."""
    monkeypatch.setenv("CLARA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("clara_lightning.corpus.address.PAUSES", (0.0, 0.0, 0.0))
    return tmp_path / "cache"


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path, cache: Path) -> Iterator[str]:
    """An address at which nothing is yet."""
    if request.param == "file":
        yield f"file://{tmp_path}/there/store"
        return
    system = fsspec.filesystem("memory")
    yield "memory://bucket/store"
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def at(url: str, name: str) -> tuple[Any, str]:
    """The file system of an address, and a file's path in it."""
    system, root = fsspec.core.url_to_fs(url)
    return system, f"{root}/{name}"


@pytest.fixture(scope="session")
def bytes_at() -> Callable[[str], dict[str, str]]:
    """sha256 of every file at an address, by path."""

    def read(url: str) -> dict[str, str]:
        system, root = fsspec.core.url_to_fs(url)
        found = {path: system.cat_file(path) for path in system.find(root)}
        return {path[len(root) + 1 :]: hashlib.sha256(content).hexdigest() for path, content in found.items()}

    return read


@pytest.fixture(scope="session")
def change_at() -> Callable[..., None]:
    """``change_at(url, name, content)``: write a file there, or remove it (``None``)."""

    def change(url: str, name: str, content: bytes | None) -> None:
        system, path = at(url, name)
        if content is None:
            system.rm_file(path)
        else:
            system.makedirs(path.rpartition("/")[0], exist_ok=True)
            system.pipe_file(path, content)

    return change


@pytest.fixture
def put_store(change_at: Any) -> Callable[[Path, str], None]:
    """Copy a folder to an address."""

    def put(folder: Path, url: str) -> None:
        for file in folder.rglob("*"):
            if file.is_file():
                change_at(url, str(file.relative_to(folder)), file.read_bytes())

    return put
