"""Documents in the order of their shards, for encoding."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, IterableDataset

from clara_lightning.data.readers import read_documents
from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError


class CorpusBatch(NamedTuple):
    """Documents of one shard.

    Attributes:
        shard: number of the shard.
        shard_rows: documents in it.
        places: where in the shard each document stands.
        documents: the documents.
    """

    shard: int
    shard_rows: int
    places: list[int]
    documents: list[Document]


class CorpusSummary(NamedTuple):
    """What one pass over the documents found: their number and a sha256 over ids, titles, texts and metadata."""

    documents: int
    sha256: str


class CorpusDataModule(LightningDataModule):
    """Streams a corpus shard by shard; memory use does not grow with the corpus.

    A shard is a fixed range of documents, whatever the number of devices, so that one process and many write the same
    store. Within a shard documents of similar length share a batch.

    Args:
        documents: file of documents (JSONL, Parquet, or a datasets folder).
        batch_size: documents per step.
        rows_per_shard: documents per shard; what a kill can cost.
        skip_bad_rows: so many rows may be unreadable; they are counted and reported.
    """

    def __init__(
        self, documents: str | None = None, *, batch_size: int = 16, rows_per_shard: int = 1024, skip_bad_rows: int = 0
    ) -> None:
        super().__init__()
        for name, value in (("batch_size", batch_size), ("rows_per_shard", rows_per_shard)):
            if value < 1:
                raise ClaraError(f"data.init_args.{name} must be >= 1, got {value}")
        self.path = documents
        self.batch_size = batch_size
        self.rows_per_shard = rows_per_shard
        self.skip_bad_rows = skip_bad_rows
        self.summary = CorpusSummary(0, "")
        self.finished_shards: frozenset[int] = frozenset()
        self.allow_zero_length_dataloader_with_multiple_devices = True  # there may be fewer shards than processes

    def setup(self, stage: str) -> None:
        """Read every document once: a mistake in the last line is found before the first is encoded."""
        if self.path is None:
            raise ClaraError("data.init_args.documents is required for clara predict: a file of documents")
        digest, count = hashlib.sha256(), 0
        for document in self._read():
            row = [document.id, document.title, document.text, dict(document.metadata)]
            digest.update(json.dumps(row, ensure_ascii=False, sort_keys=True).encode())
            count += 1
        if count == 0:
            raise ClaraError(f"{self.path}: holds no documents")
        self.summary = CorpusSummary(count, digest.hexdigest())

    @property
    def num_shards(self) -> int:
        """Shards of the corpus."""
        return -(-self.summary.documents // self.rows_per_shard)

    def predict_dataloader(self) -> DataLoader[CorpusBatch]:
        """Batches of the shards that this process has to encode."""
        trainer = self.trainer
        rank, world_size = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        missing = [n for n in range(self.num_shards) if n not in self.finished_shards]
        return DataLoader(_ShardBatches(self, frozenset(missing[rank::world_size])), batch_size=None)

    def batches(self, shards: frozenset[int]) -> Iterator[CorpusBatch]:
        """All batches of some shards, in order."""
        stream = self._read()
        for number in range(self.num_shards):
            documents = list(islice(stream, self.rows_per_shard))
            if number not in shards:
                continue
            by_length = sorted(range(len(documents)), key=lambda place: len(documents[place].content))
            for start in range(0, len(by_length), self.batch_size):
                places = by_length[start : start + self.batch_size]
                yield CorpusBatch(number, len(documents), places, [documents[place] for place in places])

    def num_batches(self, shards: frozenset[int]) -> int:
        """How many batches :meth:`batches` yields."""
        last = self.num_shards - 1
        sizes = [
            self.summary.documents - last * self.rows_per_shard if number == last else self.rows_per_shard
            for number in shards
        ]
        return sum(-(-size // self.batch_size) for size in sizes)

    def _read(self) -> Iterator[Document]:
        assert self.path is not None
        return read_documents(self.path, skip_bad_rows=self.skip_bad_rows)


class _ShardBatches(IterableDataset[CorpusBatch]):
    def __init__(self, corpus: CorpusDataModule, shards: frozenset[int]) -> None:
        self.corpus = corpus
        self.shards = shards

    def __len__(self) -> int:
        return self.corpus.num_batches(self.shards)

    def __iter__(self) -> Iterator[CorpusBatch]:
        return self.corpus.batches(self.shards)
