"""The question words that stand for a span: "which year", "how many airports", "whom"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from clara_lightning.synthesis.teachers.from_rules.gazetteer import role
from clara_lightning.synthesis.teachers.from_rules.marks import OWNERS, OWNERS_OF_MANY
from clara_lightning.synthesis.teachers.from_rules.spans import Span
from clara_lightning.synthesis.teachers.from_rules.verbs import PAST, PRESENT, active_past
from clara_lightning.synthesis.teachers.from_rules.words import (
    APPROXIMATE,
    DETERMINERS,
    FUNCTION_WORDS,
    PREPOSITIONS,
)

_FRONTED = frozenset("in on at during since until by before after for".split())
_NAMING = frozenset("called named titled entitled nicknamed dubbed renamed".split())
_NOUN = re.compile(r" [a-z]")
_UNIT = re.compile(
    r" (km[2²3³]?|m[2²3³]?|kg|mi|ft|mm|cm|mph|ha|(?:sq|square) (?:mi|km|ft|m|miles|kilometers|meters|feet))(?![\w-])"
)
_PLURAL_NOUN = r"(?:people|men|women|children|fish|feet|members|species|[a-z]{3,}(?<![su])s)"
_COUNTED = re.compile(rf" ((?:[a-z]+(?:-[a-z]+)? ){{0,2}}?{_PLURAL_NOUN})(?![\w-])")
_FOLLOWING = re.compile(r" ([a-z]+)")
_UNCOUNTED = frozenset("number no first last top to between and or".split())
_BEFORE = re.compile(r"[\w.'\u2019-]+")


@dataclass(frozen=True)
class Asking:
    """What stands in a question for a part of a sentence.

    Attributes:
        start: where that part begins; it may be wider than the span ("director Ann Lee" for "Ann Lee").
        end: where it ends.
        words: the question words.
        preposition: what stands before them, and is a part of what they replace; empty where there is none.
        fronted: whether a question can begin with preposition and words.
        moves: whether that is so even where something stands between the verb and them.
        date: what stands for "when" inside a sentence.
    """

    start: int
    end: int
    words: str
    preposition: str = ""
    fronted: bool = True
    moves: bool = False
    date: str = ""

    @property
    def phrase(self) -> str:
        """Preposition and words, as they begin a question."""
        return f"{self.preposition} {self.words}".lstrip()

    @property
    def placed(self) -> str:
        """The same inside a sentence."""
        return self.date or self.phrase


def asking_for(sentence: str, span: Span) -> Asking | None:
    """The question words for ``span``, or ``None`` where nothing tells what it is."""
    found = [(m.start(), m.group()) for m in _BEFORE.finditer(sentence, max(0, span.start - 40), span.start)]
    before = [item for item in found if item[0] > 0 or span.start <= 40 or sentence[item[0] - 1] == " "][-4:]
    if before and sentence[before[-1][0] + len(before[-1][1]) : span.start].strip(" \"'“\u2018«") != "":
        before = []  # a comma or a bracket between
    if span.kind in ("date", "year"):
        return _for_time(span, before)
    if span.kind in ("decade", "century"):
        return _for_age(span, before)
    if span.kind in ("number", "percent", "money"):
        return _for_amount(sentence, span, before)
    if span.kind in ("name", "quote") and not sentence.startswith(", ", max(0, span.start - 2)):
        return _for_name(sentence, span, before)
    return None


_Before = list[tuple[int, str]]


def _last(before: _Before, back: int = 1) -> str:
    return before[-back][1].lower() if len(before) >= back else ""


def _for_time(span: Span, before: _Before) -> Asking | None:
    last = _last(before)
    if last not in PREPOSITIONS or last in ("than", "about", "near"):
        return None
    start = before[-1][0]
    if _last(before, 2) in ("early", "late", "between") or last in ("from", "between") or "\u2013" in span.text:
        return None
    if span.kind == "year":
        return _behind(last, start, span.end, "which year")
    if last in ("on", "in"):
        date = "in which month" if last == "in" else "on which date"
        return Asking(start, span.end, "when", moves=True, date=date)
    return _behind(last, start, span.end, "which date")


def _for_age(span: Span, before: _Before) -> Asking | None:
    if _last(before) != "the" or _last(before, 2) not in PREPOSITIONS:
        return None
    words = "which decade" if span.kind == "decade" else "which century"
    return _behind(_last(before, 2), before[-2][0], span.end, words)


def _for_amount(sentence: str, span: Span, before: _Before) -> Asking | None:
    last = _last(before)
    words, end = _amount_words(sentence, span)
    if not words or last in DETERMINERS or last in _UNCOUNTED:
        return None
    if before and before[-1][1][0].isupper() and last not in FUNCTION_WORDS:
        return None  # "Apollo 11", "Chapter 5"
    if last in PREPOSITIONS - APPROXIMATE:
        return Asking(before[-1][0], end, words, last, False)
    if last not in APPROXIMATE:
        return Asking(span.start, end, words, fronted=not sentence.startswith((" later", " earlier", " ago"), end))
    if _last(before, 2) in DETERMINERS:
        return None
    return Asking(before[-1][0], end, f"{last} {words}", fronted=_last(before, 2) not in PREPOSITIONS)


def _amount_words(sentence: str, span: Span) -> tuple[str, int]:
    if span.kind == "percent":
        return "what percentage", span.end
    if span.kind == "money":
        follows = sentence[span.end : span.end + 2]
        return ("how much money", span.end) if not follows.strip().isalpha() or follows[0] != " " else ("", 0)
    if _NOUN.match(sentence, span.end):
        match = _UNIT.match(sentence, span.end) or _COUNTED.match(sentence, span.end)
        if match and FUNCTION_WORDS.isdisjoint(match.group(1).split()):
            return f"how many {match.group(1)}", match.end()
        return "", 0
    closed = span.end >= len(sentence) or sentence[span.end] in ".,;"
    return ("what number", span.end) if closed else ("", 0)


def _for_name(sentence: str, span: Span, before: _Before) -> Asking | None:
    if not span.members:
        return None
    quoted = span.kind == "quote"
    start, end = (span.start - 1, span.end + 1) if quoted else (span.start, span.end)
    if sentence.startswith(OWNERS, end):
        return _for_owner(sentence, span)
    last = _last(before)
    quoting = not quoted and sentence[start - 1 : start] in ('"', "“")
    if quoting or _modifies(sentence, end) or last.isdigit():
        return None
    if last in _NAMING:
        return Asking(start, end, "what", moves=True)
    if last.endswith(OWNERS_OF_MANY):
        return None
    if (role(last) or role(last.removesuffix("s"))) and span.sort != "place" and (span.members > 1) == (not role(last)):
        return _for_apposition(before, end)
    if last == "of" and role(_last(before, 2)) == "thing" and _last(before, 3) == "the" and not quoted:
        return _with_preposition(before[:-3], before[-3][0], end, f"which {_last(before, 2)}")
    if quoted:
        return None
    if last == "the" and span.sort not in ("", "person"):
        return _with_preposition(before[:-1], before[-1][0], end, _sorted_words(span))
    if last in DETERMINERS:
        return None
    words = _sorted_words(span)
    if not words:
        moves = active_past(_last(before, 2)) != ""
        return Asking(before[-1][0], end, "whom", "by", moves=moves) if last == "by" else None
    return _with_preposition(before, start, end, words)


def _modifies(sentence: str, end: int) -> bool:
    """Whether a name tells something of the noun behind it, as in "the Eritrea team"."""
    match = _FOLLOWING.match(sentence, end)
    if not match:
        return False
    word = match.group(1)
    return word not in FUNCTION_WORDS and word not in PAST and word not in PRESENT and not word.endswith(("ly", "ed"))


def _for_apposition(before: _Before, end: int) -> Asking | None:
    """Of "the American director Ann Lee": which American director?"""
    index = len(before) - 1
    while index > 0 and before[index - 1][1].lower() not in FUNCTION_WORDS:
        index -= 1
    if any(word.endswith(OWNERS_OF_MANY) for _, word in before[index:]):
        return None
    words = "which " + " ".join(word for _, word in before[index:])
    opening = before[index - 1][1].lower() if index else ""
    if opening in ("the", "a", "an"):
        return _with_preposition(before[: index - 1], before[index - 1][0], end, words)
    if opening not in PREPOSITIONS and opening not in ("and", "or"):
        return None
    return _with_preposition(before[:index], before[index][0], end, words)


def _for_owner(sentence: str, span: Span) -> Asking | None:
    owned = span.sort == "person" and sentence[span.end + 3 : span.end + 4].islower()
    return Asking(span.start, span.end + 2, "whose", fronted=False) if owned else None


def _with_preposition(before: _Before, start: int, end: int, words: str) -> Asking:
    last = _last(before)
    if last in PREPOSITIONS and last != "than":
        return _behind(last, before[-1][0], end, words)
    return Asking(start, end, words)


def _behind(preposition: str, start: int, end: int, words: str) -> Asking:
    fronted = preposition in _FRONTED
    return Asking(start, end, words, preposition, fronted, fronted)


def _sorted_words(span: Span) -> str:
    if span.sort == "person":
        return "whom"
    if not span.sort:
        return ""
    if span.members > 1:
        return f"which {_plural(span.sort)}"
    return f"which {span.sort}"


def _plural(sort: str) -> str:
    if sort.endswith("s"):
        return sort
    if sort.endswith("y") and sort[-2] not in "aeou":
        return sort[:-1] + "ies"
    return sort + ("es" if sort.endswith(("ch", "x")) else "s")
