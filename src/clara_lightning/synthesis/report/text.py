"""Texts: counted in words, compared, cut, and shown without what could steer a page or a terminal."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 300
OPENING = 30  # characters: some languages write a whole question without a space
WORD = re.compile("[\\w'\u2019-]+")
# Words that say little about a question without the next one: "how many", "in which".
_LEAD = frozenset("how in on at by for from to of with under during after before about".split())
# Control characters but tab and line break, marks of direction, invisible signs, halves of surrogate pairs.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)


def shown(text: str) -> str:
    r"""The text with every character that acts, or hides, as its code.

    Example:
        >>> shown("red\x1b[31m \u202ederaw")
        'red[U+001B][31m [U+202E]deraw'
    """
    return _HIDDEN.sub(lambda match: f"[U+{ord(match[0]):04X}]", text.replace("\r\n", "\n"))


def shortened(text: str, *, longest: int = LONGEST) -> str:
    """The text on one line, cut to so many characters.

    Example:
        >>> shortened("two\\nlines are too long", longest=12)
        'two lines...'
    """
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 3].rstrip() + "..."


def num_words(text: str) -> int:
    """How many words there are between spaces."""
    return len(text.split())


def normalised(text: str) -> str:
    """What two texts share that differ in case, spaces and punctuation alone.

    Example:
        >>> normalised("Where  is “Kenya”?") == normalised("where is Kenya")
        True
    """
    return " ".join(WORD.findall(unicodedata.normalize("NFKC", text).casefold())) or text.strip()


def opening(question: str) -> str:
    """The first word of a question, or the first two where one alone says little.

    Example:
        >>> opening("How many people live in Kenya?"), opening("Where is Kenya?")
        ('how many', 'where')
    """
    words = WORD.findall(question.casefold())
    first = words[:2] if words and words[0] in _LEAD else words[:1]
    return " ".join(first)[:OPENING]


def percent(value: float | None) -> str:
    """A share for people: 0 and 100 are said only where they are exact.

    Example:
        >>> percent(0.5), percent(0.999), percent(0.001), percent(None)
        ('50 %', '>99 %', '<1 %', '-')
    """
    if value is None:
        return "-"
    rounded = round(100 * value)
    if rounded == 0 and value > 0:
        return "<1 %"
    if rounded == 100 and value < 1:
        return ">99 %"
    return f"{rounded} %"


def number(value: float | None, *, digits: int = 1) -> str:
    """A number for people; whole ones without a point.

    Example:
        >>> number(1234567), number(7.84), number(None)
        ('1,234,567', '7.8', '-')
    """
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def counted(count: int, noun: str) -> str:
    """So many of a thing.

    Example:
        >>> counted(1, "document"), counted(2000, "document")
        ('1 document', '2,000 documents')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
