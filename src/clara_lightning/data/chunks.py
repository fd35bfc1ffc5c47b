"""Documents cut into chunks of so many tokens, each of which the compressor reads whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from transformers import PreTrainedTokenizerBase

from clara_lightning.data.records import Document, titled
from clara_lightning.data.spans import Block, after_spaces
from clara_lightning.data.token_ends import Places, Tokenized, TokenRuler
from clara_lightning.errors import ClaraError

_BLOCK_CHARACTERS = 1 << 16  # of a long text, tokenized at once
_GROUP_CHARACTERS = 1 << 20  # of short documents, tokenized at once
_GROUP_DOCUMENTS = 256
_PLANNED = 64  # chunks that are measured at once


@dataclass(frozen=True)
class Chunking:
    """How long documents are cut.

    Attributes:
        tokens: of a chunk at most, its title and the tokenizer's special tokens included.
        overlap: tokens at a chunk's end that the next one repeats, at most.
    """

    tokens: int
    overlap: int = 0

    def __post_init__(self) -> None:
        if self.tokens < 16:
            raise ClaraError(f"data.init_args.chunk_tokens must be >= 16, got {self.tokens}")
        if not 0 <= self.overlap < self.tokens / 2:
            raise ClaraError(
                f"data.init_args.chunk_overlap must be in [0, chunk_tokens / 2), got {self.overlap} "
                f"with chunk_tokens {self.tokens}"
            )


def chunk(document: Document, tokenizer: PreTrainedTokenizerBase, chunking: Chunking) -> list[Document]:
    """Cut a document that is longer than a chunk; one that is not stays as it is.

    Chunks have the document's title, and the ids ``ID#1``, ``ID#2``, ... Each ends with a sentence where one ends in
    its second half, else with a word, and inside a word only where the word alone is too long. Nothing but white space
    between chunks is lost. To the metadata come ``document``, the id, ``chunk``, its number, and ``chunks``, how many
    there are; they take the place of what has these names. A title that would take more than half of a chunk is cut.

    Args:
        document: the document.
        tokenizer: of the backbone that will read it.
        chunking: how long chunks are. None has more tokens as the compressor reads it.

    Raises:
        ClaraError: chunks are too short for a single character.
    """
    ((_, chunks),) = chunk_all([document], tokenizer, chunking)
    return chunks


def chunk_all(
    documents: Iterable[Document], tokenizer: PreTrainedTokenizerBase, chunking: Chunking
) -> Iterator[tuple[Document, list[Document]]]:
    """Each document, in order, with what :func:`chunk` makes of it; many are tokenized at once.

    Some documents are read ahead, one million characters at most.
    """
    cutter = _Cutter(TokenRuler(tokenizer), chunking)
    for group in _groups(documents):
        yield from zip(group, cutter.cut(group), strict=True)


def _groups(documents: Iterable[Document]) -> Iterator[list[Document]]:
    group: list[Document] = []
    size = 0
    for document in documents:
        length = len(document.title) + len(document.text)
        if group and (size + length > _GROUP_CHARACTERS or len(group) == _GROUP_DOCUMENTS):
            yield group
            group, size = [], 0
        group.append(document)
        size += length
    if group:
        yield group


class _Cutter:
    def __init__(self, ruler: TokenRuler, chunking: Chunking) -> None:
        self.ruler = ruler
        self.chunking = chunking
        self.block_characters = max(_BLOCK_CHARACTERS, 16 * chunking.tokens)

    def cut(self, documents: list[Document]) -> Iterator[list[Document]]:
        short = [document.content for document in documents if self._is_short(document)]
        measured = iter(self.ruler.measure(short))
        for document in documents:
            found = next(measured) if self._is_short(document) else None
            if found is not None and found.count <= self.chunking.tokens:
                yield [document]
            else:
                yield self._chunks(document, found)

    def _is_short(self, document: Document) -> bool:
        return len(document.title) + len(document.text) < self.block_characters

    def _chunks(self, document: Document, measured: Tokenized | None) -> list[Document]:
        text, limit = document.text, self.chunking.tokens
        try:
            title = self._short_title(document.title)
            block = self._known_block(document, measured) if title == document.title else None
            spans = list(self._spans(text, title=title, limit=limit, block=block))
        except _TooShortError as error:
            raise ClaraError(
                f"data.init_args.chunk_tokens: {limit} are too few for some characters of document {document.id!r}"
            ) from error
        if spans == [(0, len(text))] and title == document.title:
            return [document]  # of so many characters that it was not tried whether it fits
        return [
            Document(
                f"{document.id}#{number}",
                text[start:end],
                title,
                {**document.metadata, "document": document.id, "chunk": number, "chunks": len(spans)},
            )
            for number, (start, end) in enumerate(spans, start=1)
        ]

    def _short_title(self, title: str) -> str:
        limit = self.chunking.tokens // 2
        if not title or (len(title) < self.block_characters and self._frame(title) <= limit):
            return title
        start, end = next(self._spans(title, title="", limit=limit - 1))  # a line break follows it
        return title[start:end]

    def _frame(self, title: str) -> int:
        """Tokens of a chunk that are not its text's."""
        return self.ruler.count([f"{title}\n"])[0] if title else self.ruler.num_special

    def _known_block(self, document: Document, measured: Tokenized | None) -> Block | None:
        """The whole text, where it was tokenized already."""
        if measured is None:
            return None
        skipped = len(measured.text) - len(document.text)
        ends = self.ruler.ends(measured) - skipped
        return _block(document.text, ends[ends > 0], end=len(document.text.rstrip()))

    def _spans(self, text: str, *, title: str, limit: int, block: Block | None = None) -> Iterator[tuple[int, int]]:
        """Start and end of chunks: planned by the places of tokens in the text, and then measured as they are read.

        A chunk can have more tokens than its text has in the whole, where other words stand before it: one that is too
        long is planned anew.
        """
        end, tokens, overlap = len(text.rstrip()), limit - self._frame(title), self.chunking.overlap
        base, start, size, first = 0, after_spaces(text, 0), self.block_characters, tokens
        floor = start  # what stands before it is in a chunk
        while floor < end:
            if first < 1:
                raise _TooShortError
            if block is None:
                base, block = start, self._block(text, start, min(end, start + size), end=end)
            places = block.spans(start - base, floor=floor - base, tokens=tokens, first_tokens=first, overlap=overlap)
            planned = list(islice(places, _PLANNED))
            if not planned:
                size = size * 2 if start == base else self.block_characters
                block = None
                continue
            counts = self.ruler.count([titled(title, block.text[span.start : span.end]) for span in planned])
            fitting = next((n for n, count in enumerate(counts) if count > limit), len(counts))
            yield from ((base + span.start, base + span.end) for span in planned[:fitting])
            if fitting:
                last = planned[fitting - 1]
                start, floor = (after_spaces(text, base + place) for place in (last.next, last.end))
                first = tokens
            if fitting < len(planned):
                first = max(first - (counts[fitting] - limit), first // 2)

    def _block(self, text: str, start: int, stop: int, *, end: int) -> Block:
        (measured,) = self.ruler.measure([text[start:stop]])
        return _block(measured.text, self.ruler.ends(measured), end=end - start)


def _block(text: str, ends: Places, *, end: int) -> Block:
    """A block; ``end`` is where the text ends but for white space, which may be behind the block or within it."""
    length = min(len(text), end)
    ends = np.minimum(ends[: int(np.searchsorted(ends, length)) + 1], length)
    return Block(text[:length], ends, is_last=length == end)


class _TooShortError(Exception):
    """Chunks are too short for a character and what stands around it."""
