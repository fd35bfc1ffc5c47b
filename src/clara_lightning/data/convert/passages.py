"""Text cut into passages: between paragraphs, where that is not enough between sentences, and then between words."""

from __future__ import annotations

import re
from collections.abc import Iterator

# What separates the parts of a text, from the coarsest to the finest.
_BOUNDARIES = (re.compile(r"\n[^\S\n]*\n\s*"), re.compile(r"(?<=[.!?])\s+"), re.compile(r"\s+"))


def cut(text: str, *, max_words: int) -> Iterator[str]:
    """Passages of ``text``, as long as they can be.

    Paragraphs are put together while they fit. One that is too long for itself is cut into sentences that are put
    together likewise, and such a sentence into words. A word is what white space surrounds, so text of a script without
    spaces is not cut inside a sentence. Nothing but white space between passages is lost.

    Args:
        text: any text.
        max_words: words of a passage at most, 1 or more.

    Example:
        >>> list(cut("One two. Three four five. Six.\\n\\nSeven.\\n\\nEight.", max_words=3))
        ['One two.', 'Three four five.', 'Six.', 'Seven.\\n\\nEight.']
    """
    return _cut(text, max_words, level=0)


def _cut(text: str, max_words: int, *, level: int) -> Iterator[str]:
    start = end = num_words = 0  # of the passage that is being put together
    for part_start, part_end in _parts(text, _BOUNDARIES[level]):
        num_more = len(text[part_start:part_end].split())
        if num_words and num_words + num_more > max_words:
            yield text[start:end].strip()
            num_words = 0
        if num_more > max_words:
            yield from _cut(text[part_start:part_end], max_words, level=level + 1)
        elif num_more:
            start = start if num_words else part_start
            end, num_words = part_end, num_words + num_more
    if num_words:
        yield text[start:end].strip()


def _parts(text: str, boundary: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Start and end of the parts between boundaries."""
    start = 0
    for match in boundary.finditer(text):
        yield start, match.start()
        start = match.end()
    yield start, len(text)
