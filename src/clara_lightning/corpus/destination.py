"""Where ``clara predict`` puts a store, and the usual place: a folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from torch import Tensor

from clara_lightning.corpus.lock import writing
from clara_lightning.corpus.manifest import MANIFEST, Identity, Manifest, Shard, write_json
from clara_lightning.corpus.memory_dtypes import MemoryDtype
from clara_lightning.corpus.shards import (
    TEXT_SUFFIX,
    describe,
    documents_cut_in,
    shard_name,
    write_shard,
)
from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError

PLAN = "encoding.json"
SETTING = "encoder.store"

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
                raise not_empty(self.name)
            return None
        return plan_of((self.path / PLAN).read_bytes(), str(self.path / PLAN))

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


def plan_of(content: bytes, path: str) -> Identity:
    """What a plan that lies at ``path`` says.

    Raises:
        ClaraError: it is none.
    """
    try:
        return Identity(**json.loads(content))
    except (TypeError, ValueError) as error:
        raise ClaraError(f"{path}: not a valid plan: {error}") from error


def not_empty(store: str) -> ClaraError:
    """The mistake of a place that holds something else."""
    return ClaraError(f"{SETTING}: {store} is not empty and no store: choose another folder")
