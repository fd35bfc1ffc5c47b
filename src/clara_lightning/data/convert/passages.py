"""Text cut into passages: between paragraphs, where that is not enough between sentences, and then between words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
_BOUNDARIES = (PARAGRAPH, re.compile(r"(?<=[.!?])\s+"), re.compile(r"\s+"))


def count_words(text: str) -> float:
    """How many words white space surrounds."""
    return len(text.split())


def cut(
    text: str,
    *,
    max_words: int,
    boundaries: Sequence[re.Pattern[str]] = _BOUNDARIES,
    count: Callable[[str], float] = count_words,
) -> Iterator[str]:
    """Passages of ``text``, as long as they can be.

    Paragraphs are put together while they fit. One that is too long for itself is cut into sentences that are put
    together likewise, and such a sentence into words. A word is what white space surrounds, so text of a script without
    spaces is not cut inside a sentence. Nothing but white space between passages is lost.

    Args:
        text: any text.
        max_words: words of a passage at most, 1 or more.
        boundaries: what separates the parts of a text, from the coarsest to the finest. A part that is too long and has
            none of them is a passage as it is.
        count: the length of a text in words; 0 for white space, and no more for a text than for its parts together.

    Example:
        >>> list(cut("One two. Three four five. Six.\\n\\nSeven.\\n\\nEight.", max_words=3))
        ['One two.', 'Three four five.', 'Six.', 'Seven.\\n\\nEight.']
    """
    return _cut(text, max_words, boundaries, count)


def _cut(
    text: str, max_words: int, boundaries: Sequence[re.Pattern[str]], count: Callable[[str], float]
) -> Iterator[str]:
    if not boundaries:
        yield text.strip()
        return
    start = end = 0  # of the passage that is being put together
    num_words = 0.0
    for part_start, part_end in _parts(text, boundaries[0]):
        num_more = count(text[part_start:part_end])
        if num_words and num_words + num_more > max_words:
            yield text[start:end].strip()
            num_words = 0
        if num_more > max_words:
            yield from _cut(text[part_start:part_end], max_words, boundaries[1:], count)
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
