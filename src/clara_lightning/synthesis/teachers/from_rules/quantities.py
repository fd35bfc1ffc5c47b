"""Dates and numbers as values that can be compared."""

from __future__ import annotations

import re

from clara_lightning.synthesis.teachers.from_rules.fact import Fact
from clara_lightning.synthesis.teachers.from_rules.words import FUNCTION_WORDS, MONTHS, SPELLED_NUMBERS

_YEAR = re.compile(r"\b\d{4}\b")
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_HOW_MANY = re.compile(r"[Hh]ow many ((?:[\w²³-]+ ?){1,2})")
_SCALES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}


def date_of(text: str) -> tuple[int, int, int] | None:
    """Year, month and day of a date, 0 for what it does not say; ``None`` without one year."""
    years = _YEAR.findall(text)
    if len(years) != 1 or "BC" in text or "\u2013" in text:
        return None
    month = next((number for number, name in enumerate(MONTHS, start=1) if name in text), 0)
    day = re.search(r"\b\d{1,2}\b", text)
    return int(years[0]), month, int(day.group()) if day else 0


def amount_of(text: str) -> float | None:
    """The number that ``text`` says; ``None`` where it says none, or several."""
    if text.lower() in SPELLED_NUMBERS:
        return float(SPELLED_NUMBERS[text.lower()])
    found = _NUMBER.findall(text)
    if len(found) != 1:
        return None
    scale = next((value for word, value in _SCALES.items() if word in text), 1.0)
    return float(found[0].replace(",", "")) * scale


def unit_of(fact: Fact) -> str:
    """What the number of a fact counts, empty where that is not known."""
    if fact.span.kind == "percent":
        return "%"
    if fact.span.kind == "money":
        return re.sub(r"[\d.,\s]", "", fact.answer.split(" ")[0])
    match = _HOW_MANY.search(fact.question)
    words = match.group(1).split() if match else []
    return " ".join(word for word in words if word not in FUNCTION_WORDS)
