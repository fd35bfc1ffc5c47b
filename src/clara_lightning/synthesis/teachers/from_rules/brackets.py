"""A sentence without what stands in brackets, and the way back to it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from clara_lightning.synthesis.teachers.from_rules.spans import Span

_BRACKETS = re.compile(r" ?\([^()]{0,200}\)")
_NOTES = re.compile(r"\[[^\[\]]{1,24}\]")


@dataclass(frozen=True)
class Plain:
    """A sentence without brackets.

    Attributes:
        text: what is left.
        removed: start and end of what was taken out, in the whole sentence.
    """

    text: str
    removed: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, sentence: str) -> Plain:
        """The sentence without its round brackets."""
        if "(" not in sentence:
            return cls(sentence)
        return cls(_BRACKETS.sub("", sentence), tuple(match.span() for match in _BRACKETS.finditer(sentence)))

    def inward(self, span: Span) -> Span | None:
        """``span`` of the whole sentence in :attr:`text`; ``None`` where it stands in brackets or over them."""
        shift = 0
        for start, end in self.removed:
            if span.start >= end:
                shift += end - start
            elif span.end > start:
                return None
        return (
            Span(span.start - shift, span.end - shift, span.text, span.kind, span.sort, span.members) if shift else span
        )

    def outward(self, span: Span) -> Span:
        """``span`` of :attr:`text` in the whole sentence."""
        start, end = span.start, span.end
        for removed_start, removed_end in self.removed:
            if start >= removed_start:
                start += removed_end - removed_start
            if end > removed_start:
                end += removed_end - removed_start
        if (start, end) == (span.start, span.end):
            return span
        return Span(start, end, span.text, span.kind, span.sort, span.members)


def without_notes(sentence: str) -> str:
    """``sentence`` without notes in square brackets, such as "[12]"."""
    return _NOTES.sub("", sentence).strip() if "[" in sentence else sentence
