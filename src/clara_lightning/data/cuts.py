"""Where to cut a text of any length, so that no part has too many tokens as the compressor reads it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from clara_lightning.data.records import titled
from clara_lightning.data.spans import Block, Span, after_spaces
from clara_lightning.data.token_ends import Places, TokenRuler

_AHEAD = 64  # parts that are measured at once, fewer where some turn out too long


class Cuts:
    """Start and end of the parts of a text, in order; to be gone through once.

    Parts are planned by the places of the tokens in the text, and then measured as they are read. Tokens depend on
    what stands before them, so a part can have more than was planned; then it is planned anew with fewer. A text is
    tokenized block by block, so that what is held does not grow with it.

    Args:
        text: the text.
        ruler: counts tokens.
        title: stands in front of every part when it is read.
        limit: tokens of a part, with title and special tokens, at most.
        overlap: tokens that a part repeats of the one before, at most.
        block: the whole text, where it was tokenized already.
        block_characters: characters of a block.
    """

    def __init__(
        self,
        text: str,
        ruler: TokenRuler,
        *,
        title: str,
        limit: int,
        overlap: int,
        block: Block | None,
        block_characters: int,
    ) -> None:
        self._text, self._ruler, self._title = text, ruler, title
        self._limit, self._overlap = limit, overlap
        self._tokens = limit - (ruler.count([f"{title}\n"])[0] if title else ruler.num_special)
        self._next_tokens, self._ahead = self._tokens, _AHEAD
        self._end = len(text.rstrip())
        self._start = self._floor = after_spaces(text, 0)  # what stands before the floor is in a part
        self._block, self._base = block, 0
        self._block_characters = self._size = block_characters

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The parts.

        Raises:
            TooShortError: a part cannot hold a single character.
        """
        while self._floor < self._end:
            block, planned = self._plan()
            counts = self._ruler.count([titled(self._title, block.text[span.start : span.end]) for span in planned])
            fitting = next((number for number, count in enumerate(counts) if count > self._limit), len(counts))
            yield from ((self._base + span.start, self._base + span.end) for span in planned[:fitting])
            self._go_on(planned[:fitting], excess=counts[fitting] - self._limit if fitting < len(counts) else 0)

    def _plan(self) -> tuple[Block, list[Span]]:
        """Some parts from the start on, and the block that they are of."""
        if self._next_tokens < 1:
            raise TooShortError
        while True:
            block = self._block = self._block or self._read_block()
            spans = block.spans(
                self._start - self._base,
                floor=self._floor - self._base,
                tokens=self._tokens,
                first_tokens=self._next_tokens,
                overlap=self._overlap,
            )
            if planned := list(islice(spans, self._ahead)):
                return block, planned
            self._size = 2 * self._size if self._start == self._base else self._block_characters
            self._block = None

    def _read_block(self) -> Block:
        self._base = self._start
        (measured,) = self._ruler.measure([self._text[self._start : min(self._end, self._start + self._size)]])
        return block_of(measured.text, self._ruler.ends(measured), end=self._end - self._start)

    def _go_on(self, taken: list[Span], *, excess: int) -> None:
        """Stand behind the parts that were taken; ``excess``: tokens that the next one had too many."""
        if taken:
            self._start = after_spaces(self._text, self._base + taken[-1].next)
            self._floor = after_spaces(self._text, self._base + taken[-1].end)
            self._next_tokens = self._tokens
        if excess:
            self._next_tokens = max(self._next_tokens - excess, self._next_tokens // 2)
        self._ahead = max(1, len(taken)) if excess else min(2 * self._ahead, _AHEAD)


class TooShortError(Exception):
    """A part cannot hold a single character and what stands around it."""


def block_of(text: str, ends: Places, *, end: int) -> Block:
    """A block of a text.

    Args:
        text: the block, or the text from its start on.
        ends: where its tokens end.
        end: where the text ends but for white space, which may be behind the block or within it.
    """
    length = min(len(text), end)
    ends = np.minimum(ends[: int(np.searchsorted(ends, length)) + 1], length)
    return Block(text[:length], ends, is_last=length == end)
