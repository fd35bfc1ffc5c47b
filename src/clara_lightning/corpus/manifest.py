"""The store's manifest: what a store folder holds, written last and by rename."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clara_lightning.errors import ClaraError

VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Shard:
    """Two files: ``shards/NAME.safetensors`` (memory), ``shards/NAME.parquet`` (id, title, text, metadata)."""

    name: str
    rows: int
    memory_sha256: str
    text_sha256: str


@dataclass(frozen=True)
class Identity:
    """What decides every byte of a store, apart from the documents.

    Attributes:
        backbone: name of the pretrained weights.
        compressor: fingerprint of the compressor.
        memory_tokens: l.
        hidden_size: d.
        dtype: of the stored memory.
        compute_dtype: of the backbone that computed it: shards of two precisions would not be comparable.
        rows_per_shard: documents in each shard but the last.
        documents_sha256: of the documents file.
    """

    backbone: str
    compressor: str
    memory_tokens: int
    hidden_size: int
    dtype: str
    compute_dtype: str
    rows_per_shard: int
    documents_sha256: str


@dataclass(frozen=True)
class Manifest:
    """``manifest.json``.

    Attributes:
        identity: what the store was made by and from.
        shards: in the order of the documents.
        documents_cut: documents longer than the limit, whose tail is not in memory.
        index: kind of the index in ``index/`` (``flat`` or ``maxsim``).
        version: of the format.
    """

    identity: Identity
    shards: tuple[Shard, ...]
    documents_cut: int
    index: str
    version: int = VERSION

    @property
    def rows(self) -> int:
        """Number of documents."""
        return sum(shard.rows for shard in self.shards)

    def write(self, folder: Path) -> None:
        """Write ``manifest.json`` whole or not at all."""
        write_json(folder / MANIFEST, asdict(self) | {"rows": self.rows})

    @classmethod
    def read(cls, folder: Path, *, setting: str) -> Manifest:
        """Read and check ``manifest.json``.

        Raises:
            ClaraError: there is none, or it is not of this version.
        """
        path = folder / MANIFEST
        if not path.is_file():
            unfinished = (
                "its encoding is not finished: run clara predict again" if folder.is_dir() else "no such folder"
            )
            raise ClaraError(f"{setting}: {folder} is no store ({unfinished})")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["version"] != VERSION:
                raise ClaraError(f"{path}: version: {values['version']} is not supported, this version reads {VERSION}")
            shards = tuple(Shard(**shard) for shard in values["shards"])
            _check_names(path, shards)
            return cls(Identity(**values["identity"]), shards, values["documents_cut"], values["index"])
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ClaraError(f"{path}: not a valid manifest: {error}") from error


def _check_names(path: Path, shards: tuple[Shard, ...]) -> None:
    """No shard name leads out of the folder."""
    for shard in shards:
        if Path(shard.name).name != shard.name or shard.name in ("", ".", ".."):
            raise ClaraError(f"{path}: shards: {shard.name!r} is not a plain file name")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write JSON by rename, so that a reader sees the old or the new file."""
    working = path.with_name(f".{path.name}.tmp")
    with working.open("w", encoding="utf-8") as file:
        json.dump(values, file, indent=2, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    working.replace(path)


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
