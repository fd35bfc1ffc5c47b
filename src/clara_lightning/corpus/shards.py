"""One shard on disk: memory in safetensors, text in Parquet.

Shapes: N rows of the shard, L memory tokens, D hidden size.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from clara_lightning.corpus.manifest import Shard
from clara_lightning.data.records import Document

SCHEMA = pa.schema([("id", pa.string()), ("title", pa.string()), ("text", pa.string()), ("metadata", pa.string())])


def shard_name(number: int) -> str:
    """File name, without suffix, of the shard with this number; names sort in document order."""
    return f"{number:08d}"


def write_shard(
    folder: Path, name: str, documents: Sequence[Document], memory_NLD: Tensor, *, documents_cut: int
) -> None:
    """Write one shard; each file appears whole or not at all, the text last.

    Args:
        folder: the store's ``shards`` folder.
        name: see :func:`shard_name`.
        documents: N documents.
        memory_NLD: their memory, in the dtype to store.
        documents_cut: how many of them were longer than the compressor's limit.
    """
    memory_path, text_path = folder / f"{name}.safetensors", folder / f"{name}.parquet"
    working = folder / f".{name}.safetensors.tmp"
    save_file({"memory": memory_NLD.contiguous()}, str(working), metadata={"documents_cut": str(documents_cut)})
    _sync_and_rename(working, memory_path)
    columns = {
        "id": [document.id for document in documents],
        "title": [document.title for document in documents],
        "text": [document.text for document in documents],
        "metadata": [json.dumps(dict(document.metadata), ensure_ascii=False) for document in documents],
    }
    working = folder / f".{name}.parquet.tmp"
    pq.write_table(pa.table(columns, schema=SCHEMA), working, row_group_size=1024)
    _sync_and_rename(working, text_path)


def _sync_and_rename(working: Path, target: Path) -> None:
    working.chmod(0o644)
    with working.open("rb") as file:
        os.fsync(file.fileno())
    working.replace(target)


class ShardReader:
    """Rows of one shard; the memory file is mapped, and only the rows asked for are read."""

    def __init__(self, folder: Path, shard: Shard) -> None:
        self.shard = shard
        self._text_path = folder / f"{shard.name}.parquet"
        with safe_open(str(folder / f"{shard.name}.safetensors"), framework="pt") as file:
            self._memory_NLD: Tensor = file.get_tensor("memory")  # the mapped file itself, not a copy of it

    def memory(self, rows: Sequence[int]) -> Tensor:
        """Memory of some rows ``(n, L, D)``."""
        return self._memory_NLD.index_select(0, torch.tensor(rows))

    def block(self, start: int, stop: int) -> Tensor:
        """Memory of a range of rows ``(stop - start, L, D)``."""
        return self._memory_NLD[start:stop]

    def ids(self) -> list[str]:
        """The documents' ids."""
        column = pq.read_table(self._text_path, columns=["id"], memory_map=True).column("id")
        return [str(name) for name in column.to_pylist()]

    def documents(self, rows: Sequence[int]) -> list[Document]:
        """Some rows' text, read from the row groups that hold them."""
        file = pq.ParquetFile(self._text_path, memory_map=True)
        size = file.metadata.row_group(0).num_rows
        groups = sorted({row // size for row in rows})
        table = file.read_row_groups(groups)
        place = {group: index * size for index, group in enumerate(groups)}
        found = table.take([place[row // size] + row % size for row in rows]).to_pylist()
        return [Document(row["id"], row["text"], row["title"], json.loads(row["metadata"])) for row in found]
