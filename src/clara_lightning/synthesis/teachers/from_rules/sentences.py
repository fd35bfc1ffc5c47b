"""Sentences of a text in any script, by punctuation and lines alone."""

from __future__ import annotations

import re

_END = re.compile(
    r"[.!?…](?=[\"'”\u2019»)\]]{0,3}(?:\s|\[|\Z))"
    r"|(?<=[a-z]{3})\.(?=[A-Z][a-z])"
    r"|[。\uff01\uff1f｡।॥؟\u06d4።]|\n"
)
_CLOSERS = "\"'”\u2019»)]」』\uff09】"
# After these a sentence goes on, whatever follows.
_TITLES = frozenset("dr mr mrs ms prof st mt gen col capt lt sgt rev hon sen rep gov pres vs".split())
# After these it goes on only with a number.
_NUMBERED = frozenset("no nos vol vols pp fig figs".split())
# After these it ends only where the next word is one that sentences begin with.
_ABBREVIATIONS = _TITLES | frozenset(
    """jr sr etc cf ca approx op ed eds inc ltd co corp bros dept univ ave est jan feb mar apr jun jul aug sep sept
    oct nov dec mio mrd al ft lb oz mi bzw usw nr д \u0433 \u0433\u0433 т стр""".split()
)
_OPENERS = frozenset(
    """The It He She They In This These That There His Her Its Their A An At On As For But And However After Before
    While When Since During Although We You I If By From Some Many Most All One Two Other Another Der Die Das Er Sie
    Es Il La Le El Les Los Las""".split()
)
_DOTTED = re.compile(r"(?:\w\.){1,6}\w{1,3}")
"""What stands before the last point of "U.S.", "e.g." or "Ph.D."."""
_WRAPPED = 60
"""A line of this many characters that ends without punctuation goes on in the next one."""


def split_sentences(text: str) -> list[str]:
    """The sentences of ``text``, in order, white space folded.

    A sentence ends at its punctuation or at the end of a line, but not at an abbreviation, an initial or a decimal
    point, nor where a long line merely wraps.

    >>> split_sentences("Dr. Li of the U.S. Army weighs 70.5 kg. She runs!")
    ['Dr. Li of the U.S. Army weighs 70.5 kg.', 'She runs!']
    """
    text = "\n".join(text.splitlines())
    found: list[str] = []
    start = 0
    for match in _END.finditer(text):
        if match.start() < start or not _ends(text, start, match.start()):
            continue
        end = match.end()
        while end < len(text) and text[end] in _CLOSERS:
            end += 1
        found.append(text[start:end])
        start = end
    found.append(text[start:])
    folded = (" ".join(piece.split()) for piece in found)
    return [sentence for sentence in folded if sentence]


def _ends(text: str, start: int, position: int) -> bool:
    mark = text[position]
    if mark == "\n":
        return _line_ends(text, start, position)
    if mark not in ".!?…":
        return True
    following = text[position + 1 : position + 40].lstrip(_CLOSERS).split(None, 1)
    if not following:
        return True
    word = following[0].strip("\"'“\u2018(«[")
    if word[:1].islower():
        return False
    return mark != "." or _point_ends(text, start, position, word)


def _point_ends(text: str, start: int, position: int, following: str) -> bool:
    before = text[max(start, position - 20) : position].split()
    last = before[-1].lstrip("\"'“\u2018([«") if before else ""
    if last.isdigit() and len(before) == 1 and position - start < 6:
        return False  # "1. The first item"
    if last.lower() in _TITLES or (last.lower() in _NUMBERED and following[:1].isdigit()):
        return False
    if (len(last) == 1 and last.isalpha()) or _DOTTED.fullmatch(last) or last.lower() in _ABBREVIATIONS:
        return following in _OPENERS
    return True


def _line_ends(text: str, start: int, position: int) -> bool:
    line = text[max(start, text.rfind("\n", 0, position) + 1) : position].rstrip()
    following = text[position + 1 : position + 2]
    if not line or following in ("", "\n") or not (following.isalnum() or following in "\"'(“"):
        return True
    if following.islower() or line[-1] == ",":
        return False
    return len(line) < _WRAPPED
