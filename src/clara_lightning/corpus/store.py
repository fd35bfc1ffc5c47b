"""The store: every document's memory and text, read by row, from one folder or from several as if they were one.

Shapes: N documents of the store, n rows asked for, L memory tokens, D hidden size.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clara_lightning.corpus.address import is_address
from clara_lightning.corpus.manifest import Manifest
from clara_lightning.corpus.mirror import open_part
from clara_lightning.corpus.store_folder import StoreFolder
from clara_lightning.data.records import Document, document_of
from clara_lightning.data.rows import readable
from clara_lightning.errors import ClaraError

Paths = str | Path | Sequence[str | Path]
"""A store's folder or address, a text file that names one on each line, or several of these."""


class LatentStore:
    """A finished store, opened for reading.

    Opening reads manifests alone; shards are mapped into memory when their rows are first asked for.

    Args:
        parts: its folders; the rows of a later one stand behind those of the earlier ones.

    Raises:
        ClaraError: two folders were not made alike.
    """

    def __init__(self, *parts: StoreFolder) -> None:
        self.parts = parts
        self._starts = [0, *accumulate(map(len, parts))]
        for source, count in Counter(part.source for part in parts).items():
            if count > 1:
                raise ClaraError(f"--store: {source} is named {count} times")
        for part in parts[1:]:
            if difference := parts[0].manifest.identity.difference(part.manifest.identity):
                raise ClaraError(f"--store: {parts[0].source} and {part.source} do not go together: {difference}")

    @classmethod
    def open(cls, paths: Paths, *, setting: str = "--store") -> LatentStore:
        """Open a store.

        Args:
            paths: its folder or address (``s3://bucket/store``), a text file with one on each line (folders relative to
                the file), or several of these.
            setting: what the user named it by, for messages.

        Raises:
            ClaraError: no finished store is there, a shard's file is missing, or folders do not go together.
        """
        return cls(*(open_part(path, setting=setting) for path in _folders(paths)))

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process goes where the store is: what was read or mapped of it stays here."""
        return LatentStore, self.parts

    def __len__(self) -> int:
        return self._starts[-1]

    @property
    def path(self) -> Path:
        """Its folder; of several the first."""
        return self.parts[0].path

    @property
    def source(self) -> str:
        """What the user calls it: its folder or address; of several the first."""
        return self.parts[0].source

    @property
    def manifest(self) -> Manifest:
        """The manifest of this folder."""
        return self.parts[0].manifest

    @property
    def memory_shape(self) -> tuple[int, int]:
        """``(L, D)``."""
        return self.parts[0].memory_shape

    def require(self, *, fingerprint: str, memory_tokens: int, setting: str = "--store") -> None:
        """Refuse a store that another compressor made.

        Raises:
            ClaraError: with both fingerprints, or both sizes.
        """
        for part in self.parts:
            part.require(fingerprint=fingerprint, memory_tokens=memory_tokens, setting=setting)

    def memory(self, rows: Sequence[int]) -> Tensor:
        """Memory of documents ``(n, L, D)``; only these rows are read, of each shard together."""
        if len(self.parts) == 1:
            return self.parts[0].memory(rows)
        if not rows:
            return torch.empty(0, *self.memory_shape)
        by_part = self._by_part(rows)
        memory_NLD = torch.cat([self.parts[part].memory(own) for part, (_, own) in by_part.items()])
        places_N = torch.tensor([place for places, _ in by_part.values() for place in places])
        return memory_NLD.index_select(0, places_N.argsort())

    def documents(self, rows: Sequence[int]) -> list[Document]:
        """The documents themselves, in the order of ``rows``."""
        found: dict[int, Document] = {}
        for part, (places, own) in self._by_part(rows).items():
            found.update(zip(places, self.parts[part].documents(own), strict=True))
        return [found[place] for place in range(len(rows))]

    def blocks(self, size: int = 8192) -> Iterator[tuple[int, Tensor]]:
        """All memory in order, as ``(first row, block (n, L, D))`` with at most ``size`` rows each."""
        for start, part in zip(self._starts, self.parts, strict=False):
            for first, block_NLD in part.blocks(size):
                yield start + first, block_NLD

    @cached_property
    def ids(self) -> list[str]:
        """Every document's id, by row."""
        return [name for part in self.parts for name in part.ids]

    @cached_property
    def _row_of(self) -> dict[str, int]:
        rows = {name: row for row, name in enumerate(self.ids)}
        if len(rows) < len(self):
            name = next(name for name, count in Counter(self.ids).items() if count > 1)
            places = " and ".join(part.source for part in self.parts if name in part.ids)
            raise ClaraError(f"--store: the id {name!r} is in {places}")
        return rows

    def rows_of(self, ids: Sequence[str], *, source: str = "gold_ids") -> list[int]:
        """Rows of documents by id.

        Raises:
            ClaraError: an id is not in the store (``source`` says where it came from), or in two of its folders.
        """
        try:
            return [self._row_of[name] for name in ids]
        except KeyError as error:
            folders = " and ".join(part.source for part in self.parts)
            raise ClaraError(f"{source}: document {error.args[0]!r} is not in the store {folders}") from error

    def rows_of_each(self, ids: Sequence[str], *, source: str = "gold_ids") -> list[tuple[int, ...]]:
        """Rows of each document by id: one, or where the document was cut those of its chunks, by row.

        An id that a document or chunk of the store has is that one's alone.

        Raises:
            ClaraError: as :meth:`rows_of`.
        """
        return [
            self._chunks_of[name]
            if name not in self._row_of and name in self._chunks_of
            else tuple(self.rows_of([name], source=source))
            for name in ids
        ]

    @cached_property
    def _chunks_of(self) -> dict[str, tuple[int, ...]]:
        """Rows by the id of a document that was cut, of the folders that say that documents were."""
        found: dict[str, list[int]] = {}
        for start, part in zip(self._starts, self.parts, strict=False):
            names = part.ids if part.manifest.identity.chunk_tokens else []
            for row, name in enumerate(names, start):
                if (document := document_of(name)) != name:
                    found.setdefault(document, []).append(row)
        return {document: tuple(rows) for document, rows in found.items()}

    def close(self) -> None:
        """Let go of the files; others may then remove them."""
        for part in self.parts:
            part.close()

    def _by_part(self, rows: Sequence[int]) -> dict[int, tuple[list[int], list[int]]]:
        """For each folder that holds some of ``rows``: their places in ``rows``, and their numbers in the folder."""
        found: dict[int, tuple[list[int], list[int]]] = {}
        for place, row in enumerate(rows):
            if not 0 <= row < len(self):
                raise IndexError(f"row {row} of a store with {len(self)} documents")
            part = bisect_right(self._starts, row) - 1
            places, own = found.setdefault(part, ([], []))
            places.append(place)
            own.append(row - self._starts[part])
        return found


def _folders(paths: Paths) -> list[str | Path]:
    """The folders that are meant.

    Raises:
        ClaraError: none is, or the file that names them cannot be read.
    """
    if not isinstance(paths, str | Path):
        return [folder for path in paths for folder in _folders(path)]
    if is_address(paths):
        return [paths]
    path = Path(paths)
    if not path.is_file():
        return [path]
    with readable(str(path), UnicodeDecodeError):
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    named = [line for line in lines if line and not line.startswith("#")]
    folders: list[str | Path] = [line if is_address(line) else path.parent / line for line in named]
    if not folders:
        raise ClaraError(f"{path}: names no store folder")
    return folders
