"""One store folder: every document's memory and text, read by row.

Shapes: N documents of the store, n rows asked for, L memory tokens, D hidden size.

Rows are numbers of documents that are there. Where documents were deleted, their rows stay in the shards until a store
is compacted, and ``live_rows`` says which rows of the shards those of the store are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clara_lightning.corpus.checksums import file_sha256
from clara_lightning.corpus.files import Files, FolderFiles
from clara_lightning.corpus.lock import ReadLock
from clara_lightning.corpus.manifest import Manifest
from clara_lightning.corpus.shards import MEMORY_SUFFIX, TEXT_SUFFIX, ShardReader, Stored
from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError


class StoreFolder:
    """A finished store folder, opened for reading.

    Opening reads the manifest alone; shards are mapped into memory when their rows are first asked for.

    Args:
        path: the store folder.
        manifest: its manifest.
        files: where each of its files is; in the folder if ``None``.
        source: what the user calls the store, for messages; the folder if ``None``.

    Attributes:
        live_rows: the row of the shards that each row of the store is, rising; ``None`` where nothing was deleted.
    """

    def __init__(
        self, path: Path, manifest: Manifest, *, files: Files | None = None, source: str | None = None
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.files = files or FolderFiles(path)
        self.source = source or str(path)
        self._starts = [0, *accumulate(shard.rows for shard in manifest.shards)]
        self._readers: dict[int, ShardReader] = {}
        self._lock = ReadLock(path)
        self.live_rows: NDArray[np.int64] | None = _live_rows(self.files, manifest)

    @classmethod
    def open(cls, path: str | Path, *, setting: str = "--store") -> StoreFolder:
        """Open a store.

        Raises:
            ClaraError: no finished store is there, or a shard's file is missing.
        """
        folder = Path(path)
        manifest = Manifest.read(folder, setting=setting)
        for shard in manifest.shards:
            for suffix in (MEMORY_SUFFIX, TEXT_SUFFIX):
                if not (folder / "shards" / f"{shard.name}.{suffix}").is_file():
                    raise ClaraError(f"{setting}: {folder}/shards/{shard.name}.{suffix} is missing")
        return cls(folder, manifest)

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process goes where the store is: what was read or mapped of it stays here."""
        return _opened_again, (self.path, self.manifest, self.files, self.source)

    def __len__(self) -> int:
        return self.manifest.rows

    @cached_property
    def whole(self) -> StoreFolder:
        """The same store with the documents that were deleted: what an index knows."""
        if self.manifest.deletions is None:
            return self
        whole = replace(self.manifest, deletions=None)
        return StoreFolder(self.path, whole, files=self.files, source=self.source)

    @property
    def memory_shape(self) -> tuple[int, int]:
        """``(L, D)``."""
        return self.manifest.identity.memory_tokens, self.manifest.identity.hidden_size

    def require(self, *, fingerprint: str, memory_tokens: int, setting: str = "--store") -> None:
        """Refuse a store that another compressor made.

        Raises:
            ClaraError: with both fingerprints, or both sizes.
        """
        identity = self.manifest.identity
        if identity.memory_tokens != memory_tokens:
            raise ClaraError(
                f"{setting}: {self.source} holds {identity.memory_tokens} memory tokens a document, "
                f"the adapters make {memory_tokens}"
            )
        if identity.compressor != fingerprint:
            raise ClaraError(
                f"{setting}: {self.source} was made by compressor {identity.compressor[:16]}, "
                f"the adapters hold compressor {fingerprint[:16]}: encode the documents again with clara predict"
            )

    def memory(self, rows: Sequence[int]) -> Tensor:
        """Memory of documents ``(n, L, D)`` in the stored dtype; only these rows are read, of each shard together."""
        if not rows:
            return torch.empty(0, *self.memory_shape)
        by_shard = self._by_shard(rows)
        memory_NLD = torch.cat([self._reader(shard).memory(own) for shard, (_, own) in by_shard.items()])
        places_N = torch.tensor([place for places, _ in by_shard.values() for place in places])
        return memory_NLD.index_select(0, places_N.argsort())

    def documents(self, rows: Sequence[int]) -> list[Document]:
        """The documents themselves, in the order of ``rows``; each part of a file that holds some is read once."""
        found: dict[int, Document] = {}
        for shard, (places, own) in self._by_shard(rows).items():
            found.update(zip(places, self._reader(shard).documents(own), strict=True))
        return [found[place] for place in range(len(rows))]

    def stored(self, rows: Sequence[int]) -> list[Stored]:
        """Documents as they lie in their shards, in the shards' order, for a new shard."""
        return [self._reader(shard).stored(own) for shard, (_, own) in self._by_shard(rows).items()]

    def close(self) -> None:
        """Let go of the files; others may then remove them."""
        self._readers.clear()
        self._lock.close()
        if (whole := self.__dict__.get("whole", self)) is not self:
            whole.close()

    def blocks(self, size: int = 8192) -> Iterator[tuple[int, Tensor]]:
        """All memory in order, as ``(first row, block (n, L, D))`` with at most ``size`` rows each."""
        first = 0
        for number, shard in enumerate(self.manifest.shards):
            for start in range(0, shard.rows, size):
                stop = min(start + size, shard.rows)
                block_NLD = self._reader(number).block(start, stop)
                if self.live_rows is not None:
                    block_NLD = block_NLD[self._live_between(self._starts[number] + start, self._starts[number] + stop)]
                if len(block_NLD):
                    yield first, block_NLD
                first += len(block_NLD)

    @cached_property
    def ids(self) -> list[str]:
        """Every document's id, by row."""
        names = [name for number in range(len(self.manifest.shards)) for name in self._reader(number).ids()]
        return names if self.live_rows is None else [names[row] for row in self.live_rows]

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def rows_of(self, ids: Sequence[str], *, source: str = "gold_ids") -> list[int]:
        """Rows of documents by id.

        Raises:
            ClaraError: an id is not in the store; ``source`` says where it came from.
        """
        try:
            return [self._row_of[name] for name in ids]
        except KeyError as error:
            raise ClaraError(f"{source}: document {error.args[0]!r} is not in the store {self.source}") from error

    def _by_shard(self, rows: Sequence[int]) -> dict[int, tuple[list[int], list[int]]]:
        """For each shard that holds some of ``rows``: their places in ``rows``, and their numbers in the shard."""
        found: dict[int, tuple[list[int], list[int]]] = {}
        for place, row in enumerate(rows):
            if not 0 <= row < len(self):
                raise IndexError(f"row {row} of a store with {len(self)} documents")
            row = int(row if self.live_rows is None else self.live_rows[row])
            shard = bisect_right(self._starts, row) - 1
            places, own = found.setdefault(shard, ([], []))
            places.append(place)
            own.append(row - self._starts[shard])
        return found

    def _reader(self, number: int) -> ShardReader:
        if number not in self._readers:
            shard = self.manifest.shards[number]
            self._readers[number] = ShardReader(
                self.files, shard, memory_shape=self.memory_shape, dtype=self.manifest.identity.dtype
            )
        return self._readers[number]

    def _live_between(self, start: int, stop: int) -> Tensor:
        """Which rows of the shards from ``start`` to ``stop`` are there, counted from ``start``."""
        assert self.live_rows is not None
        first, last = np.searchsorted(self.live_rows, (start, stop))
        return torch.from_numpy(self.live_rows[first:last] - start)


def files_of(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Every file that a manifest names: its path within the store, and its checksum."""
    for shard in manifest.shards:
        yield f"shards/{shard.name}.{MEMORY_SUFFIX}", shard.memory_sha256
        yield f"shards/{shard.name}.{TEXT_SUFFIX}", shard.text_sha256
    if manifest.deletions is not None:
        yield f"deletions/{manifest.deletions.name}.npy", manifest.deletions.sha256
    if manifest.index is not None:
        for name, file in manifest.index.places():
            yield name, file.sha256


def _opened_again(path: Path, manifest: Manifest, files: Files, source: str) -> StoreFolder:
    return StoreFolder(path, manifest, files=files, source=source)


def _live_rows(files: Files, manifest: Manifest) -> NDArray[np.int64] | None:
    """Rows of the shards that were not deleted.

    Raises:
        ClaraError: the file of the deletions is missing, or was changed.
    """
    if manifest.deletions is None:
        return None
    file = files(f"deletions/{manifest.deletions.name}.npy", manifest.deletions.sha256)
    if not file.is_file():
        raise ClaraError(f"{file} is missing")
    if file_sha256(file) != manifest.deletions.sha256:
        raise ClaraError(f"{file}: its checksum is not the one in the manifest: the file was changed")
    return np.setdiff1d(np.arange(manifest.stored_rows), np.load(file, allow_pickle=False), assume_unique=True)
