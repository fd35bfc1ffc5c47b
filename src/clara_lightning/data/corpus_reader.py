"""A corpus from its files: once to see what it is, and then shard by shard."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from clara_lightning.data.chunks import Chunking, chunk, chunk_all
from clara_lightning.data.readers import read_documents
from clara_lightning.data.records import Document
from clara_lightning.data.seen import SeenIds
from clara_lightning.errors import ClaraError

_ROW = json.JSONEncoder(ensure_ascii=False, sort_keys=True)


class CorpusSummary(NamedTuple):
    """What one pass over the documents found.

    Attributes:
        documents: how many are to be encoded; chunks count as such.
        sha256: over their ids, titles, texts and metadata.
        num_read: documents before they were cut into chunks.
        num_cut: those that were.
        num_titles_cut: those whose title was too long for a chunk.
    """

    documents: int
    sha256: str
    num_read: int = 0
    num_cut: int = 0
    num_titles_cut: int = 0

    def cut_in_words(self, tokens: int) -> str:
        """What was cut into chunks of so many tokens, as one line."""
        titles = f"; titles cut for their length: {self.num_titles_cut}" if self.num_titles_cut else ""
        return f"{self.num_cut} of {self.num_read} documents are longer than {tokens} tokens and read in chunks{titles}"


class _Start(NamedTuple):
    """Where a shard begins: with which document, and with which of its chunks, both from 0."""

    document: int
    chunk: int


class CorpusReader:
    """Reads documents, and cuts them where that is wanted.

    Args:
        path: see :func:`~clara_lightning.data.sources.open_documents`.
        rows_per_shard: documents (or chunks) of every shard but the last.
        skip_bad_rows: so many rows may be unreadable.
        chunking: how long documents are cut, if they are.
        tokenizer: by whose tokens.
    """

    def __init__(
        self,
        path: str,
        *,
        rows_per_shard: int,
        skip_bad_rows: int = 0,
        chunking: Chunking | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> None:
        self.path = path
        self.rows_per_shard = rows_per_shard
        self.skip_bad_rows = skip_bad_rows
        self._cut = None if chunking is None or tokenizer is None else (tokenizer, chunking)
        self._starts: list[_Start] = []

    def look_through(self) -> CorpusSummary:
        """Read everything once, and note where shards begin.

        Raises:
            ClaraError: a row is bad, an id occurs twice, or there is no document.
        """
        digest, seen, starts = hashlib.sha256(), SeenIds(), []
        count = num_read = num_cut = num_titles_cut = 0
        for original, documents in self._in_chunks(self._read(seen)):
            if documents[0] is not original:
                num_cut += 1
                num_titles_cut += documents[0].title != original.title
                self._refuse_taken(documents, seen, original)
            for place, document in enumerate(documents):
                row = [document.id, document.title, document.text, dict(document.metadata)]
                digest.update(_ROW.encode(row).encode())
                if count % self.rows_per_shard == 0:
                    starts.append(_Start(num_read, place))
                count += 1
            num_read += 1
        if count == 0:
            raise ClaraError(f"{self.path}: holds no documents")
        self._starts = starts
        return CorpusSummary(count, digest.hexdigest(), num_read, num_cut, num_titles_cut)

    def shards(self, numbers: Iterable[int]) -> Iterator[tuple[int, list[Document]]]:
        """The documents of some shards, after :meth:`look_through`; only these are cut.

        Args:
            numbers: of the shards, rising.
        """
        documents = self._read(SeenIds())
        taken, chunks = 0, list[Document]()  # documents taken so far, and what the last of them was cut into
        for number in numbers:
            first = self._starts[number]
            if first.document >= taken:
                document = next(islice(documents, first.document - taken, None), None)
                if document is None:
                    raise ClaraError(f"{self.path}: was changed while it was read")
                taken, chunks = first.document + 1, self._chunks(document)
            found = chunks[first.chunk : first.chunk + self.rows_per_shard]
            while len(found) < self.rows_per_shard and (document := next(documents, None)) is not None:
                taken, chunks = taken + 1, self._chunks(document)
                found += chunks[: self.rows_per_shard - len(found)]
            yield number, found

    def _read(self, seen: SeenIds) -> Iterator[Document]:
        return read_documents(self.path, skip_bad_rows=self.skip_bad_rows, seen=seen)

    def _chunks(self, document: Document) -> list[Document]:
        return [document] if self._cut is None else chunk(document, *self._cut)

    def _in_chunks(self, documents: Iterator[Document]) -> Iterator[tuple[Document, list[Document]]]:
        if self._cut is None:
            return ((document, [document]) for document in documents)
        return chunk_all(documents, *self._cut)

    def _refuse_taken(self, chunks: list[Document], seen: SeenIds, original: Document) -> None:
        for document in chunks:
            if not seen.add(document.id):
                raise ClaraError(
                    f"{self.path}: a chunk of document {original.id!r} would have the id of another: {document.id!r}"
                )
