"""The store: every document's memory and text, read by row.

Shapes: N documents of the store, n rows asked for, L memory tokens, D hidden size.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clara_lightning.corpus.manifest import Manifest, file_sha256
from clara_lightning.corpus.shards import ShardReader
from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError


class LatentStore:
    """A finished store folder, opened for reading.

    Opening reads the manifest alone; shards are mapped into memory when their rows are first asked for.

    Args:
        path: the store folder.
        manifest: its manifest.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._starts = [0, *accumulate(shard.rows for shard in manifest.shards)]
        self._readers: dict[int, ShardReader] = {}

    @classmethod
    def open(cls, path: str | Path, *, setting: str = "--store") -> LatentStore:
        """Open a store.

        Raises:
            ClaraError: no finished store is there, or a shard's file is missing.
        """
        folder = Path(path)
        manifest = Manifest.read(folder, setting=setting)
        for shard in manifest.shards:
            for suffix in ("safetensors", "parquet"):
                if not (folder / "shards" / f"{shard.name}.{suffix}").is_file():
                    raise ClaraError(f"{setting}: {folder}/shards/{shard.name}.{suffix} is missing")
        return cls(folder, manifest)

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process goes where the store is: what was read or mapped of it stays here."""
        return LatentStore, (self.path, self.manifest)

    def __len__(self) -> int:
        return self._starts[-1]

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
                f"{setting}: {self.path} holds {identity.memory_tokens} memory tokens a document, "
                f"the adapters make {memory_tokens}"
            )
        if identity.compressor != fingerprint:
            raise ClaraError(
                f"{setting}: {self.path} was made by compressor {identity.compressor[:16]}, "
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

    def blocks(self, size: int = 8192) -> Iterator[tuple[int, Tensor]]:
        """All memory in order, as ``(first row, block (n, L, D))`` with at most ``size`` rows each."""
        for number, shard in enumerate(self.manifest.shards):
            for start in range(0, shard.rows, size):
                yield self._starts[number] + start, self._reader(number).block(start, min(start + size, shard.rows))

    @cached_property
    def ids(self) -> list[str]:
        """Every document's id, by row."""
        return [name for number in range(len(self.manifest.shards)) for name in self._reader(number).ids()]

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
            raise ClaraError(f"{source}: document {error.args[0]!r} is not in the store {self.path}") from error

    def verify(self) -> None:
        """Compare every shard with its checksum.

        Raises:
            ClaraError: naming the first file that differs.
        """
        for shard in self.manifest.shards:
            for suffix, wanted in (("safetensors", shard.memory_sha256), ("parquet", shard.text_sha256)):
                path = self.path / "shards" / f"{shard.name}.{suffix}"
                if file_sha256(path) != wanted:
                    raise ClaraError(f"{path}: its checksum is not the one in the manifest: the file was changed")

    def _by_shard(self, rows: Sequence[int]) -> dict[int, tuple[list[int], list[int]]]:
        """For each shard that holds some of ``rows``: their places in ``rows``, and their numbers in the shard."""
        found: dict[int, tuple[list[int], list[int]]] = {}
        for place, row in enumerate(rows):
            if not 0 <= row < len(self):
                raise IndexError(f"row {row} of a store with {len(self)} documents")
            shard = bisect_right(self._starts, row) - 1
            places, own = found.setdefault(shard, ([], []))
            places.append(place)
            own.append(row - self._starts[shard])
        return found

    def _reader(self, number: int) -> ShardReader:
        if number not in self._readers:
            self._readers[number] = ShardReader(self.path / "shards", self.manifest.shards[number])
        return self._readers[number]
