"""Documents in the order of their shards, for encoding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, IterableDataset
from transformers import PreTrainedTokenizerBase

from clara_lightning.data.chunks import Chunking
from clara_lightning.data.corpus_reader import CorpusReader, CorpusSummary
from clara_lightning.data.records import Document
from clara_lightning.data.token_ends import TokenRuler
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


class CorpusDataModule(LightningDataModule):
    """Streams a corpus shard by shard; memory use does not grow with the corpus, but for ten bytes a document.

    A shard is a fixed range of documents, whatever the number of devices, so that one process and many write the same
    store. Within a shard documents of similar length share a batch: as many characters, or after :meth:`sort_by_tokens`
    as many tokens.

    Args:
        documents: the corpus: a file of rows (JSONL, Parquet, a datasets folder) or a text, plain or compressed, a
            folder with such files, or a pattern that names them (``wiki/*.parquet``).
        batch_size: documents per step.
        rows_per_shard: documents per shard; what a kill can cost.
        skip_bad_rows: so many rows may be unreadable; they are counted and reported.
        chunk_tokens: longer documents are cut into chunks of at most so many tokens, which are documents of their own;
            at most ``document_tokens`` of the model. Without it a document's tail is not read.
        chunk_overlap: tokens at the end of a chunk that the next one repeats; less than half of a chunk.
    """

    def __init__(
        self,
        documents: str | None = None,
        *,
        batch_size: int = 16,
        rows_per_shard: int = 1024,
        skip_bad_rows: int = 0,
        chunk_tokens: int | None = None,
        chunk_overlap: int = 0,
    ) -> None:
        super().__init__()
        for name, value in (("batch_size", batch_size), ("rows_per_shard", rows_per_shard)):
            if value < 1:
                raise ClaraError(f"data.init_args.{name} must be >= 1, got {value}")
        if chunk_tokens is None and chunk_overlap:
            raise ClaraError(f"data.init_args.chunk_overlap is {chunk_overlap}, but chunk_tokens is not set")
        self.path = documents
        self.batch_size = batch_size
        self.rows_per_shard = rows_per_shard
        self.skip_bad_rows = skip_bad_rows
        self.chunking = None if chunk_tokens is None else Chunking(chunk_tokens, chunk_overlap)
        self.summary = CorpusSummary(0, "")
        self.finished_shards: frozenset[int] = frozenset()
        self.allow_zero_length_dataloader_with_multiple_devices = True  # there may be fewer shards than processes
        self._reader: CorpusReader | None = None
        self._ruler: TokenRuler | None = None

    def setup(self, stage: str) -> None:
        """Read every document once: a mistake in the last line is found before the first is encoded.

        Where they are to be cut, this waits for :meth:`take_tokenizer`.
        """
        if self.path is None:
            raise ClaraError("data.init_args.documents is required for clara predict: files of documents")
        if self.chunking is None:
            self._look_through()

    def take_tokenizer(self, tokenizer: PreTrainedTokenizerBase, *, document_tokens: int) -> None:
        """Cut documents by the tokenizer of the backbone that will read them, and read every document once.

        Args:
            tokenizer: of the backbone.
            document_tokens: a document is read up to there.

        Raises:
            ClaraError: chunks are longer than that, or what :meth:`setup` raises.
        """
        if self.chunking is None:
            return
        if self.chunking.tokens > document_tokens:
            raise ClaraError(
                f"data.init_args.chunk_tokens must be <= the model's document_tokens ({document_tokens}), "
                f"got {self.chunking.tokens}"
            )
        self._look_through(tokenizer)

    def sort_by_tokens(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Let documents of as many tokens share a batch, for a backbone that fills the shorter ones up.

        This costs one more tokenization, and by characters a sixth to a quarter of what such a backbone runs over is
        padding.
        """
        self._ruler = TokenRuler(tokenizer)

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
        assert self._reader is not None
        for number, documents in self._reader.shards(sorted(shards)):
            contents = [document.content for document in documents]
            lengths = self._ruler.count(contents) if self._ruler else [len(content) for content in contents]
            by_length = sorted(range(len(documents)), key=lengths.__getitem__)
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

    def _look_through(self, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
        assert self.path is not None
        self._reader = CorpusReader(
            self.path,
            rows_per_shard=self.rows_per_shard,
            skip_bad_rows=self.skip_bad_rows,
            chunking=self.chunking,
            tokenizer=tokenizer,
        )
        self.summary = self._reader.look_through()


class _ShardBatches(IterableDataset[CorpusBatch]):
    def __init__(self, corpus: CorpusDataModule, shards: frozenset[int]) -> None:
        self.corpus = corpus
        self.shards = shards

    def __len__(self) -> int:
        return self.corpus.num_batches(self.shards)

    def __iter__(self) -> Iterator[CorpusBatch]:
        return self.corpus.batches(self.shards)
