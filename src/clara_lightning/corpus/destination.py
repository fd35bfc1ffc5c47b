"""Where ``clara predict`` puts a store: a folder, or an address.

A shard at an address is three objects: its memory, its text, and then a ledger, ``shards/NAME.json``, with what the
manifest will say of it. Where the ledger is, the shard is finished. Ledgers are removed once the manifest is there, so
that a store at an address has the very files of one in a folder; the plan goes last, so that a kill in between is seen.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from torch import Tensor

from clara_lightning.backbone.loading import cache_folder
from clara_lightning.corpus.address import Address, is_address
from clara_lightning.corpus.lock import writing
from clara_lightning.corpus.manifest import MANIFEST, Identity, Manifest, Shard, write_json
from clara_lightning.corpus.memory_dtypes import MemoryDtype
from clara_lightning.corpus.shards import (
    MEMORY_SUFFIX,
    TEXT_SUFFIX,
    describe,
    documents_cut_in,
    shard_name,
    write_shard,
)
from clara_lightning.data.records import Document
from clara_lightning.data.writers import writable
from clara_lightning.errors import ClaraError

PLAN = "encoding.json"
SETTING = "encoder.store"
LEDGER_SUFFIX = "json"

log = logging.getLogger(__name__)


class Destination(Protocol):
    """A store in the making. All processes read it and write shards; one begins and finishes it."""

    name: str

    def begun(self) -> Identity | None:
        """What is there, finished or not; ``None`` where there is nothing.

        Raises:
            ClaraError: something else is there.
        """
        ...

    def is_complete(self) -> bool:
        """Whether the manifest is there."""
        ...

    def finished(self, num_shards: int) -> list[int]:
        """Numbers of the shards that are whole."""
        ...

    def begin(self, identity: Identity) -> None:
        """Say what will be here, and keep other writers out until :meth:`close`."""
        ...

    def write(
        self, name: str, documents: Sequence[Document], memory_NLD: Tensor, *, documents_cut: int, dtype: MemoryDtype
    ) -> None:
        """Write one shard; see :func:`~clara_lightning.corpus.shards.write_shard`."""
        ...

    def described(self, num_shards: int) -> tuple[tuple[Shard, ...], int]:
        """All shards for the manifest, and how many of their documents were cut."""
        ...

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, and remove what only an unfinished store has."""
        ...

    def tidy(self) -> None:
        """Remove what a kill right after the manifest left."""
        ...

    def close(self) -> None:
        """Let others write, and remove what this process needed for writing."""
        ...


def destination_of(store: str, *, rank: int) -> Destination:
    """The folder or the address of a store.

    Args:
        store: as the user named it.
        rank: of this process.

    Raises:
        ClaraError: an address that nothing installed can speak to.
    """
    return AddressDestination(store, rank=rank) if is_address(store) else FolderDestination(Path(store))


class FolderDestination:
    """See :class:`Destination`: a folder that all processes see."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self._writing = ExitStack()

    def begun(self) -> Identity | None:
        """See :class:`Destination`."""
        if self.is_complete():
            return Manifest.read(self.path, setting=SETTING).identity
        if not (self.path / PLAN).is_file():
            if self.path.exists() and not self.path.is_dir():
                raise ClaraError(f"{SETTING}: {self.path} is a file: choose another folder")
            if self.path.exists() and any(path.name != f".{PLAN}.tmp" for path in self.path.iterdir()):
                raise _not_empty(self.name)
            return None
        return _plan_of((self.path / PLAN).read_bytes(), str(self.path / PLAN))

    def is_complete(self) -> bool:
        """See :class:`Destination`."""
        return (self.path / MANIFEST).is_file()

    def finished(self, num_shards: int) -> list[int]:
        """Numbers of the shards whose two files are there; each file appears whole, the text last."""
        shards = self.path / "shards"
        return [n for n in range(num_shards) if (shards / f"{shard_name(n)}.{TEXT_SUFFIX}").is_file()]

    def begin(self, identity: Identity) -> None:
        """See :class:`Destination`."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / PLAN, asdict(identity))
        (self.path / "shards").mkdir(exist_ok=True)
        self._writing.enter_context(writing(self.path, setting=SETTING))

    def write(
        self, name: str, documents: Sequence[Document], memory_NLD: Tensor, *, documents_cut: int, dtype: MemoryDtype
    ) -> None:
        """See :class:`Destination`."""
        write_shard(self.path / "shards", name, documents, memory_NLD, documents_cut=documents_cut, dtype=dtype)

    def described(self, num_shards: int) -> tuple[tuple[Shard, ...], int]:
        """See :class:`Destination`."""
        names = [shard_name(number) for number in range(num_shards)]
        shards = tuple(describe(self.path / "shards", name) for name in names)
        return shards, sum(documents_cut_in(self.path / "shards", name) for name in names)

    def finish(self, manifest: Manifest) -> None:
        """See :class:`Destination`."""
        manifest.write(self.path)
        self.tidy()

    def tidy(self) -> None:
        """See :class:`Destination`."""
        (self.path / PLAN).unlink(missing_ok=True)

    def close(self) -> None:
        """See :class:`Destination`."""
        self._writing.close()


class AddressDestination:
    """See :class:`Destination`: an address, to which each process brings the shards that it made.

    Args:
        url: the address.
        rank: of this process; it has a folder of its own for the shard in work.
    """

    def __init__(self, url: str, *, rank: int) -> None:
        self.address = Address.of(url, setting=SETTING)
        self.name = self.address.url
        key = hashlib.sha256(self.name.encode()).hexdigest()[:16]
        self._working = cache_folder() / "encoding" / key / f"{rank:05d}"

    def begun(self) -> Identity | None:
        """See :class:`Destination`."""
        if (manifest := self.address.read(MANIFEST)) is not None:
            return Manifest.parse(manifest, path=f"{self.name}/{MANIFEST}").identity
        if (plan := self.address.read(PLAN)) is not None:
            return _plan_of(plan, f"{self.name}/{PLAN}")
        if self.address.names() - {f".{PLAN}.tmp"}:
            raise _not_empty(self.name)
        return None

    def is_complete(self) -> bool:
        """See :class:`Destination`."""
        return self.address.read(MANIFEST) is not None

    def finished(self, num_shards: int) -> list[int]:
        """Numbers of the shards whose ledger is there, and the files that it is of: by one listing."""
        there = self.address.names("shards")
        suffixes = (MEMORY_SUFFIX, TEXT_SUFFIX, LEDGER_SUFFIX)
        return [n for n in range(num_shards) if all(f"{shard_name(n)}.{suffix}" in there for suffix in suffixes)]

    def begin(self, identity: Identity) -> None:
        """See :class:`Destination`."""
        log.warning("%s: an address has no locks: let no other clara predict write to it", self.name)
        write_json(self._work_folder() / PLAN, asdict(identity))
        self._bring(PLAN, PLAN)

    def write(
        self, name: str, documents: Sequence[Document], memory_NLD: Tensor, *, documents_cut: int, dtype: MemoryDtype
    ) -> None:
        """See :class:`Destination`. Of shards in work no more than this one is on the disk."""
        folder = self._work_folder()
        write_shard(folder, name, documents, memory_NLD, documents_cut=documents_cut, dtype=dtype)
        ledger = {"shard": asdict(describe(folder, name)), "documents_cut": documents_cut}
        write_json(folder / f"{name}.{LEDGER_SUFFIX}", ledger)
        for suffix in (MEMORY_SUFFIX, TEXT_SUFFIX, LEDGER_SUFFIX):  # the ledger last
            self._bring(f"{name}.{suffix}", f"shards/{name}.{suffix}")

    def described(self, num_shards: int) -> tuple[tuple[Shard, ...], int]:
        """See :class:`Destination`."""
        names = [_ledger(number) for number in range(num_shards)]
        shards, cut = [], 0
        for name, content in zip(names, self.address.read_all(names), strict=True):
            try:
                ledger = json.loads(content or b"")
                shards.append(Shard(**ledger["shard"]))
                cut += int(ledger["documents_cut"])
            except (KeyError, TypeError, ValueError) as error:
                raise ClaraError(
                    f"{self.name}/{name}: not a valid ledger: {error}: remove it and run clara predict again"
                ) from error
        return tuple(shards), cut

    def finish(self, manifest: Manifest) -> None:
        """See :class:`Destination`."""
        manifest.write(self._work_folder())
        self._bring(MANIFEST, MANIFEST)
        self.tidy()

    def tidy(self) -> None:
        """See :class:`Destination`."""
        if self.address.read(PLAN) is None:
            return
        ledgers = (name for name in self.address.names("shards") if name.endswith(f".{LEDGER_SUFFIX}"))
        self.address.remove(f"shards/{name}" for name in ledgers)
        self.address.remove([PLAN])

    def close(self) -> None:
        """See :class:`Destination`."""
        shutil.rmtree(self._working, ignore_errors=True)

    def _work_folder(self) -> Path:
        with writable(self._working):
            self._working.mkdir(parents=True, exist_ok=True)
        return self._working

    def _bring(self, working: str, name: str) -> None:
        self.address.upload(self._working / working, name)
        (self._working / working).unlink()


def _ledger(number: int) -> str:
    return f"shards/{shard_name(number)}.{LEDGER_SUFFIX}"


def _plan_of(content: bytes, path: str) -> Identity:
    try:
        return Identity(**json.loads(content))
    except (TypeError, ValueError) as error:
        raise ClaraError(f"{path}: not a valid plan: {error}") from error


def _not_empty(store: str) -> ClaraError:
    return ClaraError(f"{SETTING}: {store} is not empty and no store: choose another folder")
