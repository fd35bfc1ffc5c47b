"""The part of a text that the rules read, and which kind of writing it is in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from clara_lightning.synthesis.teachers.from_rules.marks import UNSPACED
from clara_lightning.synthesis.teachers.from_rules.words import ENGLISH, FOREIGN

Writing = Literal["english", "latin", "spaced", "unspaced"]
"""English; another language in Latin letters; another script with spaces between words; a script without them."""

READ = 14_000
"""How many characters of a text are looked at: about 2,000 English words."""

_LATIN = re.compile("[A-Za-z\u00aa-\u024f\u1e00-\u1eff]")
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[A-Za-z]+")
_ENGLISH_SHARE = 0.12
_FEWEST_WORDS = 20
_MARKUP_SIGN = re.compile(r"[<\[{`|]|://|www\.|~~~")
_MARKUP = re.compile(
    r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]{1,200}`"
    r"|<!--.*?(?:-->|\Z)|</?[a-zA-Z][^<>]{0,300}>"
    r"|\{\{[^{}]{0,1000}\}\}|\[\[[^\[\]]{0,300}\]\]|!?\[[^\[\]\n]{1,100}\]\([^()\s]{1,300}\)"
    r"|^[ \t]{0,20}(?:\{\||\|)[^\n]*$|https?://\S+|www\.\S+",
    re.DOTALL | re.MULTILINE,
)


def readable(text: str) -> str:
    """The first :data:`READ` characters of ``text``, up to the last white space in them where it is longer."""
    if len(text) <= READ:
        return text
    head = text[:READ]
    return head[: 1 + max(head.rfind(" "), head.rfind("\n"))] or head


def writing_of(text: str) -> Writing:
    """Which kind of writing most letters of ``text`` belong to."""
    head = text[:2_000]
    if not head.isascii():
        letters = len(_LETTER.findall(head))
        if 3 * len(UNSPACED.findall(head)) > letters:
            return "unspaced"
        if 2 * len(_LATIN.findall(head)) < letters:
            return "spaced"
    return "english" if _is_english(head) else "latin"


def without_markup(text: str) -> Iterator[str]:
    """The pieces of ``text`` between tags, links, templates, tables, code and addresses.

    A word that touches markup is left out with it, since what it is a part of is not known.
    """
    if not _MARKUP_SIGN.search(text):
        yield text
        return
    start = 0
    for match in _MARKUP.finditer(text):
        if match.end() <= start:
            continue
        end = match.start()
        while end > start and not text[end - 1].isspace():
            end -= 1
        yield text[start:end]
        start = match.end()
        while start < len(text) and not text[start].isspace():
            start += 1
    yield text[start:]


def has_markup(text: str) -> bool:
    """Whether anything in ``text`` looks like markup."""
    return bool(_MARKUP_SIGN.search(text)) and bool(_MARKUP.search(text))


def _is_english(text: str) -> bool:
    words = [word.lower() for word in _WORD.findall(text)]
    english = sum(word in ENGLISH for word in words)
    foreign = sum(word in FOREIGN for word in words)
    if not foreign and len(words) < _FEWEST_WORDS:
        return True  # headings and short lists have no small words at all
    return english >= _ENGLISH_SHARE * len(words) and english > 2 * foreign
