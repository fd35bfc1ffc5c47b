"""Documents cut into chunks of so many tokens, each of which the compressor reads whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from clara_lightning.data.cuts import Cuts, TooShortError, block_of
from clara_lightning.data.records import Document
from clara_lightning.data.spans import Block
from clara_lightning.data.token_ends import Tokenized, TokenRuler
from clara_lightning.errors import ClaraError

_BLOCK_CHARACTERS = 1 << 16  # of a long text, tokenized at once
_GROUP_CHARACTERS = 1 << 20  # of short documents, tokenized at once
_GROUP_DOCUMENTS = 256


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
            spans = list(self._cuts(text, title, limit, block))
        except TooShortError as error:
            raise ClaraError(
                f"data.init_args.chunk_tokens: {limit} are too few for some characters of document {document.id!r}"
            ) from error
        if not spans or (spans == [(0, len(text))] and title == document.title):
            return [document]  # nothing but white space, or so many characters that it was not tried whether it fits
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
        if not title or (len(title) < self.block_characters and self.ruler.count([f"{title}\n"])[0] <= limit):
            return title
        start, end = next(iter(self._cuts(title, "", limit - 1, None)), (0, 0))  # a line break follows it
        return title[start:end]

    def _known_block(self, document: Document, measured: Tokenized | None) -> Block | None:
        """The whole text, where it was tokenized already."""
        if measured is None:
            return None
        skipped = len(measured.text) - len(document.text)
        ends = self.ruler.ends(measured) - skipped
        return block_of(document.text, ends[ends > 0], end=len(document.text.rstrip()))

    def _cuts(self, text: str, title: str, limit: int, block: Block | None) -> Cuts:
        return Cuts(
            text,
            self.ruler,
            title=title,
            limit=limit,
            overlap=self.chunking.overlap,
            block=block,
            block_characters=self.block_characters,
        )
