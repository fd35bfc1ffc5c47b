"""The store's manifest: what a store folder holds, written last and by rename.

A store changes by a new manifest: documents that are appended are shards that it names besides, deleted ones rows that
it leaves out, and a reader who opened the store before goes on with what the manifest said then.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clara_lightning.corpus.index_entry import IndexEntry
from clara_lightning.errors import ClaraError

VERSION = 2
MANIFEST = "manifest.json"
PULLING = "pulling.json"
"""In a folder that ``clara store pull`` has not finished."""
_READABLE = (1, VERSION)
CUTTING = ("chunk_tokens", "chunk_overlap")
_SAME = ("backbone", "compressor", "memory_tokens", "hidden_size", "dtype", "compute_dtype")


@dataclass(frozen=True)
class Shard:
    """Two files: ``shards/NAME.safetensors`` (memory), ``shards/NAME.parquet`` (id, title, text, metadata)."""

    name: str
    rows: int
    memory_sha256: str
    text_sha256: str


@dataclass(frozen=True)
class Deletions:
    """Rows that are deleted: ``deletions/NAME.npy`` holds their numbers over all shards, rising, as int64."""

    name: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class Identity:
    """What decides every byte of an encoding, apart from the documents.

    Attributes:
        backbone: name of the pretrained weights.
        compressor: fingerprint of the compressor.
        memory_tokens: l.
        hidden_size: d.
        dtype: of the stored memory.
        compute_dtype: of the backbone that computed it: shards of two precisions would not be comparable.
        rows_per_shard: documents in each shard but the last.
        documents_sha256: of the documents, as they were encoded.
        chunk_tokens: longer documents were cut into chunks of so many tokens; 0 where they were not. ``None`` is not
            known: older stores do not say.
        chunk_overlap: tokens that a chunk repeats, likewise.
    """

    backbone: str
    compressor: str
    memory_tokens: int
    hidden_size: int
    dtype: str
    compute_dtype: str
    rows_per_shard: int
    documents_sha256: str
    chunk_tokens: int | None = None
    chunk_overlap: int | None = None

    def difference(self, other: Identity) -> str | None:
        """Why rows of both cannot be compared, as ``NAME is OURS there and THEIRS here``; documents may differ."""
        for name in _SAME:
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                return f"{name} is {ours} there and {theirs} here"
        return None

    def cut_otherwise(self, other: Identity) -> str | None:
        """Likewise, why documents of both are not cut alike, as far as that is known."""
        for name in CUTTING:
            ours, theirs = getattr(self, name), getattr(other, name)
            if None not in (ours, theirs) and ours != theirs:
                return f"{name} is {ours} there and {theirs} here"
        return None


@dataclass(frozen=True)
class Manifest:
    """``manifest.json``.

    Attributes:
        identity: what the store was made by; documents and rows per shard are those of the first encoding.
        shards: in the order of the documents.
        documents_cut: documents longer than the limit, whose tail is not in memory, deleted ones among them.
        index: of a two-stage search, if there is one.
        deletions: rows of the shards that are none of the store's, if there are any.
        generation: how often the store was changed.
        version: of the format.
    """

    identity: Identity
    shards: tuple[Shard, ...]
    documents_cut: int
    index: IndexEntry | None = None
    deletions: Deletions | None = None
    generation: int = 0
    version: int = VERSION

    @property
    def stored_rows(self) -> int:
        """Rows of the shards, deleted ones among them."""
        return sum(shard.rows for shard in self.shards)

    @property
    def rows(self) -> int:
        """Number of documents."""
        return self.stored_rows - (self.deletions.rows if self.deletions else 0)

    def write(self, folder: Path) -> None:
        """Write ``manifest.json`` whole or not at all."""
        values = asdict(self) | {"rows": self.rows}
        write_json(folder / MANIFEST, values | {"sha256": checksum_of(values)})

    @classmethod
    def read(cls, folder: Path, *, setting: str) -> Manifest:
        """Read and check ``manifest.json``.

        Raises:
            ClaraError: there is none, or it is not of this version.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise ClaraError(f"{setting}: {folder} is no store ({_lack(folder)})")
        return cls.parse(path.read_bytes(), path=path)

    @classmethod
    def parse(cls, content: bytes, *, path: str | Path) -> Manifest:
        """Check the content of a ``manifest.json`` that lies at ``path``.

        Raises:
            ClaraError: it is none, or not of this version.
        """
        try:
            values = json.loads(content)
            if values["version"] not in _READABLE:
                raise ClaraError(f"{path}: version: {values['version']} is not supported, this version reads {VERSION}")
            _check_sum(path, values)
            shards = tuple(Shard(**shard) for shard in values["shards"])
            deletions = Deletions(**values["deletions"]) if values.get("deletions") else None
            _check_names(path, [shard.name for shard in shards] + ([deletions.name] if deletions else []))
            return cls(
                Identity(**values["identity"]),
                shards,
                values["documents_cut"],
                IndexEntry.from_json(values["index"]),
                deletions,
                values.get("generation", 0),
            )
        except ClaraError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise ClaraError(f"{path}: not a valid manifest: {error}") from error


def _lack(folder: Path) -> str:
    """Why there is no manifest."""
    if (folder / PULLING).is_file():
        return "it is not all here: run clara store pull again"
    return "its encoding is not finished: run clara predict again" if folder.is_dir() else "no such folder"


def _check_sum(path: str | Path, values: Mapping[str, Any]) -> None:
    """A manifest of which a byte was changed is none, even where it can be read."""
    if values["version"] == 1:  # had no checksum
        return
    if checksum_of({key: value for key, value in values.items() if key != "sha256"}) != values["sha256"]:
        raise ClaraError(f"{path}: its checksum is not its own: the file was changed")


def checksum_of(values: Mapping[str, Any]) -> str:
    """Hex sha256 of a manifest's values, but for the checksum itself."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _check_names(path: str | Path, names: list[str]) -> None:
    """No name leads out of the folder."""
    for name in names:
        if Path(name).name != name or name in ("", ".", ".."):
            raise ClaraError(f"{path}: shards: {name!r} is not a plain file name")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write JSON by rename, so that a reader sees the old or the new file."""
    working = path.with_name(f".{path.name}.tmp")
    with working.open("w", encoding="utf-8") as file:
        json.dump(values, file, indent=2, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    working.replace(path)
