"""Noun phrases at the beginning of a text: where they end, without a parser."""

from __future__ import annotations

import re

from clara_lightning.synthesis.teachers.from_rules.clauses import BOUNDARY
from clara_lightning.synthesis.teachers.from_rules.marks import STOP
from clara_lightning.synthesis.teachers.from_rules.verbs import PAST
from clara_lightning.synthesis.teachers.from_rules.words import (
    AUXILIARIES,
    DETERMINERS,
    FUNCTION_WORDS,
    POSSESSIVES,
    PREPOSITIONS,
)

NO_OBJECT = (FUNCTION_WORDS - DETERMINERS) | POSSESSIVES | {"this", "that", "these", "those"}
"""Words that no noun phrase worth asking for begins with."""
_ENDS = re.compile(
    BOUNDARY.pattern
    + r"| \w+ed(?: and \w+ed)? (?:by|in|on|at|for|as|to|from|with|around|near)\b"
    + r"| (?:that|written|known|held|born|built|made|set|located|based|starring|featuring|consisting|including|formed"
    + r"|used|in|from|at|on|for|with|by|as|near|between)\b",
    re.IGNORECASE,
)
_SELECTING = re.compile(r"\b(?:first|last|only|most|least|same|next|second|third|\w{2,}est|\w{3,}th)\b")
_NO_NOUNS = AUXILIARIES | PREPOSITIONS | PAST.keys() | {"that", "which", "who"}
_NO_END = FUNCTION_WORDS | PAST.keys() | {"best", "well"}
_DIGIT = re.compile(r"\d")
_LONGEST_OBJECT = 7


def phrase(rest: str, longest: int) -> str:
    """``rest`` up to the end of its clause where that is near, else up to a preposition or a participle.

    Args:
        rest: what begins with the phrase.
        longest: how many words it may have.

    Returns:
        Nothing where it is longer, or would lose what makes it true ("the first" of what?).
    """
    match = STOP.search(rest, 2)
    whole = (rest[: match.start()] if match else rest).strip()
    if " and " in whole and len(whole.split()) < longest and _NO_NOUNS.isdisjoint(whole.split()[1:]):
        return whole
    match = BOUNDARY.search(whole, 2)
    whole = whole[: match.start()] if match else whole
    selecting = _SELECTING.search(whole) is not None
    if len(whole.split()) <= (longest if selecting else longest // 2):
        return whole
    return "" if selecting or whole.startswith("one of ") else _shortened(whole, longest)


def _shortened(whole: str, longest: int) -> str:
    match = _ENDS.search(whole, 2)
    words = (whole[: match.start()] if match else whole).split()
    while words and (words[-1] in _NO_END or (words[-1].endswith("ed") and len(words) > 2)):
        words.pop()
    return " ".join(words) if len(words) <= longest else ""


def thing(rest: str) -> str:
    """The noun phrase that ``rest`` begins with, if it tells enough to be an answer."""
    text = phrase(rest, _LONGEST_OBJECT)
    words = text.split()
    if len(words) < 3 and rest[len(text) : len(text) + 1] == " ":
        return ""  # "an effect", and on what is left out
    if len(words) == 2 and words[0] in DETERMINERS and rest.startswith(",", len(text)):
        return ""  # "a new, much larger group"
    if not words or words[0].lower() in NO_OBJECT or words[0].endswith(("ly", "ing")):
        return ""
    if words[-1].lower() in FUNCTION_WORDS or words[-1].endswith("ly") or _DIGIT.search(text) or len(text) < 4:
        return ""
    return text if len(words) > 1 or len(text) > 5 else ""
