"""One shard on disk: memory in safetensors, text in Parquet.

Shapes: N rows of the shard, L memory tokens, D hidden size.

Each row of memory has a checksum beside it, and each page of text has one inside the Parquet file, so that a file that
was changed never gives a wrong row: a row is compared when it is first read.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from clara_lightning.corpus.checksums import file_sha256
from clara_lightning.corpus.files import Files
from clara_lightning.corpus.manifest import Shard
from clara_lightning.corpus.memory_dtypes import MemoryDtype, dtype_of, pack, unpack
from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError

SCHEMA = pa.schema([("id", pa.string()), ("title", pa.string()), ("text", pa.string()), ("metadata", pa.string())])
MEMORY_SUFFIX, TEXT_SUFFIX = "safetensors", "parquet"
CHECKSUM = "checksum"
_ROW_GROUP = 1024


def shard_name(number: int) -> str:
    """File name, without suffix, of the shard with this number; names sort in document order."""
    return f"{number:08d}"


def write_shard(
    folder: Path,
    name: str,
    documents: Sequence[Document],
    memory_NLD: Tensor,
    *,
    documents_cut: int,
    dtype: MemoryDtype = "bfloat16",
) -> None:
    """Write one shard; each file appears whole or not at all, the text last.

    Args:
        folder: the store's ``shards`` folder.
        name: see :func:`shard_name`.
        documents: N documents.
        memory_NLD: their memory.
        documents_cut: how many of them were longer than the compressor's limit.
        dtype: how memory is kept.

    Raises:
        ClaraError: the disk is full or cannot be written to, or the memory cannot be kept in this dtype.
    """
    stored = pack(memory_NLD.cpu(), dtype)
    columns = {
        "id": [document.id for document in documents],
        "title": [document.title for document in documents],
        "text": [document.text for document in documents],
        "metadata": [json.dumps(dict(document.metadata), ensure_ascii=False) for document in documents],
    }
    write_stored(
        folder,
        name,
        Stored({**stored, CHECKSUM: row_checksums(stored)}, pa.table(columns, schema=SCHEMA)),
        documents_cut=documents_cut,
    )


class Stored(NamedTuple):
    """Rows as they lie in a shard: tensors (codes, scales, checksums) by name, and a table of text."""

    tensors: dict[str, Tensor]
    table: pa.Table


def write_stored(folder: Path, name: str, stored: Stored, *, documents_cut: int) -> None:
    """As :func:`write_shard`, of rows that have the form of a shard already.

    Raises:
        ClaraError: the disk is full or cannot be written to.
    """
    with _written(folder, f"{name}.{MEMORY_SUFFIX}") as working:
        save_file(stored.tensors, str(working), metadata={"documents_cut": str(documents_cut)})
    with _written(folder, f"{name}.{TEXT_SUFFIX}") as working:
        pq.write_table(stored.table, working, row_group_size=_ROW_GROUP, write_page_checksum=True)


def documents_cut_in(folder: Path, name: str) -> int:
    """How many documents of a shard were longer than the compressor's limit when it was encoded."""
    path = folder / f"{name}.{MEMORY_SUFFIX}"
    with _readable(path), safe_open(str(path), framework="pt") as file:
        return int(file.metadata()["documents_cut"])


def describe(folder: Path, name: str) -> Shard:
    """A shard for the manifest: its rows, and the checksums of its files."""
    memory, text = folder / f"{name}.{MEMORY_SUFFIX}", folder / f"{name}.{TEXT_SUFFIX}"
    with _readable(memory), safe_open(str(memory), framework="pt") as file:
        rows = file.get_slice("memory").get_shape()[0]
    return Shard(name, rows, file_sha256(memory), file_sha256(text))


@contextmanager
def _written(folder: Path, name: str) -> Iterator[Path]:
    """A file to write to, which gets its name when it is whole and on the disk."""
    working = folder / f".{name}.tmp"
    try:
        yield working
        working.chmod(0o644)
        with working.open("rb") as file:
            os.fsync(file.fileno())
        working.replace(folder / name)
    except (OSError, SafetensorError) as error:
        working.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ClaraError(
            f"{folder / name}: cannot be written: {reason}; what is whole is kept: run the same command again to go on"
        ) from error


def row_checksums(stored: Mapping[str, Tensor], rows: Tensor | None = None) -> Tensor:
    """CRC-32 of the bytes of each row, ``(N,)`` int64: its codes, then its scales.

    Args:
        stored: the tensors of a shard.
        rows: those that are wanted; all if ``None``.
    """
    parts = [stored[name] for name in ("memory", "scale") if name in stored]
    chosen = [_bytes(part if rows is None else _rows_of(part, rows)) for part in parts]
    sums = [0] * len(chosen[0])
    for part in chosen:
        array = part.numpy()
        sums = [zlib.crc32(array[row], start) for row, start in enumerate(sums)]
    return torch.tensor(sums, dtype=torch.int64)


def _rows_of(part: Tensor, rows: Tensor) -> Tensor:
    return part.view(torch.uint8).index_select(0, rows) if part.element_size() == 1 else part.index_select(0, rows)


def _bytes(part: Tensor) -> Tensor:
    return part.contiguous().flatten(1).view(torch.uint8)


class ShardReader:
    """Rows of one shard; the memory file is mapped, and only the rows asked for are read.

    Args:
        files: of the store.
        shard: the shard.
        memory_shape: ``(L, D)``.
        dtype: how memory is kept.

    Raises:
        ClaraError: the memory file cannot be read, or is not what the manifest says.
    """

    def __init__(self, files: Files, shard: Shard, *, memory_shape: tuple[int, int], dtype: str) -> None:
        self.shard = shard
        self._files = files
        self._memory_path = files(f"shards/{shard.name}.{MEMORY_SUFFIX}", shard.memory_sha256)
        with _readable(self._memory_path), safe_open(str(self._memory_path), framework="pt") as file:
            # The mapped file itself, not a copy of it.
            self._stored: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        # A shard of the first version of the format has no checksums.
        self._checksums: Tensor | None = self._stored.pop(CHECKSUM, None)
        stored = self._stored.get("memory")
        if stored is None or tuple(stored.shape) != (shard.rows, *memory_shape) or not _is_kept_as(dtype, self._stored):
            raise _changed(self._memory_path)
        self._is_checked = torch.full((shard.rows,), self._checksums is None)

    @cached_property
    def _text_path(self) -> Path:
        """Asked for with the first text: a search over all memory needs none."""
        return self._files(f"shards/{self.shard.name}.{TEXT_SUFFIX}", self.shard.text_sha256)

    def memory(self, rows: Sequence[int]) -> Tensor:
        """Memory of some rows ``(n, L, D)``."""
        wanted = torch.tensor(rows)
        self._check(wanted)
        return unpack(self._stored, wanted)

    def block(self, start: int, stop: int) -> Tensor:
        """Memory of a range of rows ``(stop - start, L, D)``."""
        self._check(torch.arange(start, stop))
        return unpack(self._stored, slice(start, stop))

    def stored(self, rows: Sequence[int]) -> Stored:
        """Some rows as they lie here, to be written into another shard."""
        wanted = torch.tensor(rows)
        self._check(wanted)
        tensors = {name: _rows_of(part, wanted).view(part.dtype) for name, part in self._stored.items()}
        tensors[CHECKSUM] = row_checksums(tensors)
        with _readable(self._text_path):
            table = pq.read_table(self._text_path, memory_map=True, page_checksum_verification=True)
        if table.num_rows != self.shard.rows:
            raise _changed(self._text_path)
        return Stored(tensors, table.take(rows))

    def ids(self) -> list[str]:
        """The documents' ids."""
        with _readable(self._text_path):
            table = pq.read_table(self._text_path, columns=["id"], memory_map=True, page_checksum_verification=True)
            found = [str(name) for name in table.column("id").to_pylist()]
        if len(found) != self.shard.rows:
            raise _changed(self._text_path)
        return found

    def documents(self, rows: Sequence[int]) -> list[Document]:
        """Some rows' text, read from the row groups that hold them."""
        with _readable(self._text_path):
            file = pq.ParquetFile(self._text_path, memory_map=True, page_checksum_verification=True)
            if file.metadata.num_rows != self.shard.rows:
                raise _changed(self._text_path)
            size = file.metadata.row_group(0).num_rows
            groups = sorted({row // size for row in rows})
            table = file.read_row_groups(groups, columns=SCHEMA.names)
            place = {group: index * size for index, group in enumerate(groups)}
            found = table.take([place[row // size] + row % size for row in rows]).to_pylist()
            return [Document(row["id"], row["text"], row["title"], json.loads(row["metadata"])) for row in found]

    def _check(self, rows: Tensor) -> None:
        """Compare rows with their checksums, each once."""
        new = rows[~self._is_checked[rows]]
        if len(new) == 0 or self._checksums is None:
            return
        wrong = row_checksums(self._stored, new) != self._checksums[new]
        if bool(wrong.any()):
            row = int(new[wrong][0])
            raise ClaraError(f"{self._memory_path}: row {row} is not what was written: the file was changed")
        self._is_checked[new] = True


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Scope in which a file that cannot be read becomes one line."""
    try:
        yield
    except (OSError, SafetensorError, pa.ArrowException, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ClaraError(f"{path}: cannot be read: {reason}: the file was changed, or is not whole") from error


def _is_kept_as(dtype: str, stored: Mapping[str, Tensor]) -> bool:
    try:
        return dtype_of(stored) == dtype
    except ClaraError:  # tensors of other names
        return False


def _changed(path: Path) -> ClaraError:
    return ClaraError(f"{path}: not the shape that the manifest says: the file was changed")
