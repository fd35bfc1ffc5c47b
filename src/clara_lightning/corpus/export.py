"""A store's documents as a file that other programs read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.records import Document
from clara_lightning.data.writers import replacing, writable, write_jsonl
from clara_lightning.errors import ClaraError

ROWS_AT_ONCE = 1024


def export(store: str | Path, out: str | Path) -> int:
    """Write the documents of a store.

    Args:
        store: the store folder.
        out: ``.jsonl`` for the documents as other verbs read them, ``.parquet`` for the same columns and ``memory``:
            the document's memory, flattened (memory tokens one behind the other), as a list of float32 of fixed length.

    Returns:
        How many documents.

    Raises:
        ClaraError: the name is another, or a file cannot be read or written.
    """
    opened, target = LatentStore.open(store), Path(out)
    if target.suffix == ".jsonl":
        return write_jsonl(target, _documents(opened))
    if target.suffix != ".parquet":
        raise ClaraError(f"{target}: expected a name that ends in .jsonl or .parquet")
    with replacing(target) as file, writable(target):
        length, dim = opened.memory_shape
        memory = pa.list_(pa.float32(), length * dim)
        schema = pa.schema([*((name, pa.string()) for name in ("id", "title", "text")), ("memory", memory)])
        with pq.ParquetWriter(file, schema) as writer:
            for rows in _ranges(len(opened)):
                documents = opened.documents(rows)
                flat = opened.memory(rows).to(torch.float32).flatten()
                columns = {name: [getattr(one, name) for one in documents] for name in ("id", "title", "text")}
                arrays = pa.FixedSizeListArray.from_arrays(pa.array(flat.numpy()), length * dim)
                writer.write_table(pa.table({**columns, "memory": arrays}, schema=schema))
    return len(opened)


def _documents(store: LatentStore) -> Iterator[Document]:
    for rows in _ranges(len(store)):
        yield from store.documents(rows)


def _ranges(count: int) -> Iterator[range]:
    return (range(start, min(start + ROWS_AT_ONCE, count)) for start in range(0, count, ROWS_AT_ONCE))
