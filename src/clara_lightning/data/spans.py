"""Where a text may be cut, and into which spans: at the end of a sentence, else of a word, as long as tokens allow."""

# ruff: noqa: RUF001 (the marks of several scripts look alike)

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from clara_lightning.data.token_ends import Places

# Chinese and Japanese are written without spaces: each of their characters, with its marks, counts as a word.
_HAN = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_OPENING, _CLOSING = "「『（【〔〈《", "、。，．！？：；」』）】〕〉》"
_WORD = re.compile(rf"[{_OPENING}]*[{_HAN}][{_CLOSING}]*|[^\s{_HAN}]+")
# A mark and what closes behind it; the same of scripts without spaces; what stands before an empty line.
_SENTENCE_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]]*+(?=\s)|[。！？]++[」』）]*+|\S(?=[^\S\n]*+\n[^\S\n]*+\n)")
_SPACES = re.compile(r"\s*+")


class Span(NamedTuple):
    """A part of a text, and where the next one starts: at its end, or earlier where parts overlap."""

    start: int
    end: int
    next: int


class Block:
    """A stretch of a text with the places of its tokens, from which spans are cut.

    Args:
        text: the stretch; it begins with no white space where a span is to.
        ends: where each of its tokens ends, never falling.
        is_last: whether the text ends with it. The others end anywhere: what would reach their end is left to the next.
    """

    def __init__(self, text: str, ends: Places, *, is_last: bool) -> None:
        self.text = text
        self._ends = ends
        self._is_last = is_last
        words = list(_WORD.finditer(text))
        self._word_starts = _places(word.start() for word in words)
        self._word_ends = _places(word.end() for word in words)
        self._sentence_ends = _places(end.end() for end in _SENTENCE_END.finditer(text))

    def spans(self, start: int, *, floor: int, tokens: int, first_tokens: int, overlap: int) -> Iterator[Span]:
        """Spans from ``start`` on, up to the end of the text or to where the next block has to go on.

        Args:
            start: where the first begins.
            floor: what stands before it is in an earlier span already; at least ``start``.
            tokens: of a span at most, by the places of the tokens.
            first_tokens: the same for the first.
            overlap: tokens that a span has in common with the one before it, at most.
        """
        limit = first_tokens
        while floor < len(self.text):
            if self._before(start) + limit >= len(self._ends):
                if self._is_last:
                    yield Span(start, len(self.text), len(self.text))
                return
            end = self._end(start, floor, limit)
            if end <= floor:  # behind what would be repeated nothing new fits, so nothing is repeated
                start = floor
                continue
            span = Span(start, end, self._next(start, end, overlap))
            yield span
            start, floor, limit = span.next, after_spaces(self.text, end), tokens

    def _before(self, place: int) -> int:
        """How many tokens end there or earlier."""
        return int(np.searchsorted(self._ends, place, side="right"))

    def _end(self, start: int, floor: int, tokens: int) -> int:
        """The best end of a span of so many tokens, of which there are more; ``floor`` or less if none is behind it."""
        first = self._before(start)
        behind = int(self._ends[first + tokens])  # here ends the first token that is one too many
        half = int(self._ends[first + max(0, tokens // 2 - 1)])
        sentence = _last_below(self._sentence_ends, behind)
        if sentence > floor and sentence >= half:
            return sentence
        word = _last_below(self._word_ends, behind)
        if word > floor or start < floor:
            return word
        return max(_last_below(self._ends, behind), start + 1)  # inside a word that is too long

    def _next(self, start: int, end: int, overlap: int) -> int:
        """Where to begin so that at most ``overlap`` tokens before ``end`` are repeated."""
        new = after_spaces(self.text, end)
        first = self._before(end) - overlap
        if not overlap or end == len(self.text):
            return new
        earliest = max(int(self._ends[first - 1]) if first > 0 else 0, start + 1)
        place = int(np.searchsorted(self._word_starts, earliest))
        if place < len(self._word_starts) and self._word_starts[place] < end:
            return int(self._word_starts[place])
        is_whole = end in (_last_below(self._word_ends, end + 1), _last_below(self._sentence_ends, end + 1))
        return new if is_whole else earliest


def after_spaces(text: str, place: int) -> int:
    """The first place from ``place`` on that holds no white space; the text's end if there is none."""
    found = _SPACES.match(text, place)
    return found.end() if found else place


def _places(numbers: Iterable[int]) -> Places:
    return np.fromiter(numbers, dtype=np.int64)


def _last_below(places: Places, limit: int) -> int:
    """The greatest of rising places that is below ``limit``; 0 where there is none."""
    found = int(np.searchsorted(places, limit, side="left"))
    return int(places[found - 1]) if found else 0
