"""Numbers, dates, money, names, quotations and rare words of a sentence: what can be asked about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from clara_lightning.synthesis.teachers.from_rules.marks import MARKS
from clara_lightning.synthesis.teachers.from_rules.words import MONTHS, PLURALS, SPELLED_NUMBERS

Kind = Literal[
    "date",
    "year",
    "decade",
    "century",
    "money",
    "percent",
    "number",
    "name",
    "quote",
    "value",
    "list",
    "object",
    "word",
]
Token = tuple[int, int, str]
"""Start, end and the word."""


@dataclass(frozen=True)
class Span:
    """A part of a sentence that can be the answer to a question.

    Attributes:
        start: where it begins in the sentence.
        end: where it ends.
        text: what stands there.
        kind: what it is.
        sort: for a name what it stands for, as :func:`gazetteer.sort_of` has it.
        members: how many names are joined in it; 0 for one of a longer list.
    """

    start: int
    end: int
    text: str
    kind: Kind
    sort: str = ""
    members: int = 1


_TOKEN = re.compile(rf"[\w{MARKS}]+(?:[-\u2013'\u2019.&/][\w{MARKS}]+)*")
_MONTH = "(?:" + "|".join(MONTHS) + ")"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_NUMBER = r"\d(?:[\d.,]*\d)?"
_SCALED = rf"{_NUMBER}(?: (?:hundred|thousand|million|billion|trillion)\b)?"
_KINDS = {
    "date": rf"(?:{_DAY} ?(?:\u2013|--?) ?)?{_DAY} {_MONTH}(?:,? \d{{4}})?"
    rf"|{_MONTH} {_DAY}(?:,? \d{{4}})?|{_MONTH},? \d{{4}}",
    "money": rf"(?:US|A|C|HK)?[$€£¥₹] ?{_SCALED}|{_SCALED} (?:US )?(?:dollars|euros|pounds|yen|rupees|francs|marks)\b",
    "percent": rf"{_NUMBER}(?:[\u2013-]{_NUMBER})?(?: ?%| percent\b| per cent\b)",
    "century": r"\d{1,2}(?:st|nd|rd|th)[ -]century",
    "decade": r"\d{3}0s",
    "year": r"(?:1\d|20)\d\d(?:[\u2013-](?:\d{4}|\d\d))?(?: (?:BCE?|CE|AD))?|\d{1,4} (?:BCE?|CE|AD)\b",
    "number": rf"{_NUMBER}(?:\u2013{_NUMBER})?(?: (?:hundred|thousand|million|billion|trillion)\b)?",
}
# In this order: a date is no year, a sum of money no number.
_NUMERIC = re.compile(
    r"(?<![\w.,/\u2013°\u2032″-])(?:"
    + "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _KINDS.items())
    + r")(?![\w°\u2032″-])(?![.,]\d)"
)
_QUOTE = re.compile(r'"([^"]{2,80})"|“([^“”]{2,80})”|«([^«»]{2,80})»|„([^“”„]{2,80})[“”]')
_TIME_BEFORE = re.compile(
    r"(?:\b(?:in|since|until|by|from|after|before|during|early|late|mid|between|circa|year|born)|[(\u2013-])\s?$",
    re.IGNORECASE,
)
_DATED_BEFORE = re.compile(r"(?:\b(?:of|to|and|the|a|an|its|his|her|their)|,)\s?$", re.IGNORECASE)
_MODERN = ("15", "16", "17", "18", "19", "20")


def tokens_of(sentence: str) -> list[Token]:
    """The words of a sentence with their places."""
    return [(match.start(), match.end(), match.group()) for match in _TOKEN.finditer(sentence)]


def numeric_spans(sentence: str, tokens: list[Token]) -> list[Span]:
    """Dates, years, sums of money, percentages and other numbers, in order."""
    spans: list[Span] = []
    for match in _NUMERIC.finditer(sentence):
        kind: Kind = match.lastgroup  # type: ignore[assignment]  # the groups are named after the kinds
        if kind == "year" and len(match.group()) == 4 and not _is_year(sentence, match.start(), match.end()):
            kind = "number"
        spans.append(Span(match.start(), match.end(), match.group(), kind))
    for (start, end, word), (after, _, noun) in pairwise(tokens):
        counted = noun in PLURALS or (noun.endswith("s") and noun.islower() and len(noun) > 3)
        if counted and after == end + 1 and word.lower() in SPELLED_NUMBERS:
            spans.append(Span(start, end, word, "number"))
    return spans


def quote_spans(sentence: str) -> list[Span]:
    """What stands between quotation marks, without them."""
    if not any(mark in sentence for mark in '"“«„'):
        return []
    spans = []
    for match in _QUOTE.finditer(sentence):
        group = match.lastindex or 1
        text = match.group(group).rstrip(",.")
        if text.strip() == text and text:
            spans.append(Span(match.start(group), match.start(group) + len(text), text, "quote"))
    return spans


def _is_year(sentence: str, start: int, end: int) -> bool:
    """Four digits are a year behind a word of time, in brackets, or before a noun that they date ("a 1961 film")."""
    opening = max(0, start - 12)
    if _TIME_BEFORE.search(sentence, opening, start):
        return not sentence.startswith((" people", " men", " km", " m ", " miles", " feet", " ppm"), end)
    modern = sentence.startswith(_MODERN, start)
    return modern and bool(_DATED_BEFORE.search(sentence, opening, start))
