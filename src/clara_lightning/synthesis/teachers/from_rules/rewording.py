"""Other words for a sentence: its clauses change places, and every word of it stays."""

from __future__ import annotations

import re
from collections.abc import Callable

from clara_lightning.synthesis.teachers.from_rules.text import has_markup
from clara_lightning.synthesis.teachers.from_rules.words import BACK_REFERENCES, FUNCTION_WORDS, MONTHS

_PLAIN = r"[^,;:()\"“”\[\]]"
_TIME = (
    rf"(?:(?:early |late )?(?:\d{{1,2}} )?(?:{'|'.join(MONTHS)}) (?:\d{{1,2}}, )?\d{{4}}|(?:1\d|20)\d\d|the \d{{3}}0s)"
)
_LED = re.compile(
    rf"(In|On|During|Since|By|After|Before|At|From|As of|Until|Under) ({_PLAIN}{{2,60}}), ({_PLAIN}+)([.!?])"
)
_DATED = re.compile(rf"({_PLAIN}{{12,200}}) (in|on|since|during|until) ({_TIME})([.!?])")
_NAMED_LAST = re.compile(
    rf"((?:The|Its|His|Her|Their) {_PLAIN}{{3,60}}?) (is|was|are|were)"
    r" ((?:[A-Z][\w'\u2019.-]*|an? [\w -]{3,40}|the [\w -]{3,40}))([.!?])"
)
_NAMED_FIRST = re.compile(rf"((?:[A-Z][\w'\u2019-]+ ?){{1,4}}) (is|was) (the {_PLAIN}{{3,80}})([.!?])")
_CONTRASTED = re.compile(rf"({_PLAIN}+), (while|whereas) ({_PLAIN}+)([.!?])")
_REASONED = re.compile(rf"({_PLAIN}+),? (although|because) ({_PLAIN}+)([.!?])")
_HALVES = re.compile(r"([^;:()\"“”\[\]]{15,}); ([^;:()\"“”\[\]]{15,})([.!?])")
_MADE = re.compile(
    rf"([A-Z]{_PLAIN}{{2,80}}?) (is|was|are|were) (an? {_PLAIN}{{3,80}}?),?"
    r" (directed|written|produced|created|formed|founded|established|based|located|situated|released|published|recorded"
    rf"|owned|operated|built|developed) ((?:by|in|at|on) {_PLAIN}+)([.!?])"
)
_BRACKETED = re.compile(r"([^()]{2,80}?) ?(\([^()]{3,120}\)),? ((?:is|was|are|were) [^();:]{8,300})([.!?])")
_INNER = re.compile(r"\b(?:that|which|who|whose|when|where|while|because|and then)\b")
_PURPOSE = re.compile(r"\bto\b")


def reword(sentence: str) -> str:
    """``sentence`` with its clauses in another order where a safe rule fits, else as it is.

    >>> reword("In 1990, the club moved to Leeds.")
    'The club moved to Leeds in 1990.'
    """
    if len(sentence) > 400 or has_markup(sentence):
        return sentence
    for pattern, rule in _RULES:
        match = pattern.fullmatch(sentence)
        if match:
            changed = rule(match)
            if changed:
                return changed
    return sentence


def _led(match: re.Match[str]) -> str:
    lead, place, rest, end = match.groups()
    if rest.split(" ", 1)[0] in ("and", "or", "but", "who", "which") or rest[:1].isdigit() or _INNER.search(rest):
        return ""
    return f"{_upper(rest)} {lead[0].lower()}{lead[1:]} {place}{end}"


def _dated(match: re.Match[str]) -> str:
    rest, lead, time, end = match.groups()
    first, before = rest.split(" ", 1)[0], rest.rsplit(" ", 1)[-1]
    if (
        first.lower() not in FUNCTION_WORDS
        or first in ("In", "On", "From")
        or _INNER.search(rest)
        or before in ("and", "or")
    ):
        return ""
    return f"{_upper(lead)} {time}, {_lower(rest)}{end}"


def _swapped(match: re.Match[str]) -> str:
    subject, verb, rest, end = match.groups()
    if _INNER.search(subject) or _INNER.search(rest) or _PURPOSE.search(rest):
        return ""
    if subject.split(" ", 1)[0] in ("This", "It", "He", "She", "There"):
        return ""
    return f"{_upper(rest)} {verb} {_lower(subject)}{end}"


def _made(match: re.Match[str]) -> str:
    """Of "X is a film directed by Y.": directed by Y, X is a film."""
    subject, verb, rest, participle, by, end = match.groups()
    if " of " in rest or _INNER.search(rest) or _INNER.search(subject) or " and " in by:
        return ""
    return f"{_upper(participle)} {by}, {_lower(subject)} {verb} {rest}{end}"


def _bracketed(match: re.Match[str]) -> str:
    subject, brackets, rest, end = match.groups()
    return f"{subject} {rest} {brackets}{end}"


def _contrasted(match: re.Match[str]) -> str:
    first, word, second, end = match.groups()
    return "" if _refers_back(second) or _is_fixed(first) else f"{_upper(second)}, {word} {_lower(first)}{end}"


def _reasoned(match: re.Match[str]) -> str:
    first, word, second, end = match.groups()
    bound = _refers_back(second) or _is_fixed(first) or _INNER.search(first)
    return "" if bound else f"{_upper(word)} {second}, {_lower(first)}{end}"


def _halved(match: re.Match[str]) -> str:
    first, second, end = match.groups()
    return "" if _refers_back(second) or _is_fixed(first) else f"{_upper(second)}; {_lower(first)}{end}"


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_LED, _led),
    (_NAMED_LAST, _swapped),
    (_NAMED_FIRST, _swapped),
    (_CONTRASTED, _contrasted),
    (_REASONED, _reasoned),
    (_HALVES, _halved),
    (_DATED, _dated),
    (_MADE, _made),
    (_BRACKETED, _bracketed),
)


def _refers_back(clause: str) -> bool:
    return clause.split(" ", 1)[0].lower() in BACK_REFERENCES - {"the"}


def _is_fixed(clause: str) -> bool:
    """Whether it is not known how the clause is written inside a sentence: its first word may be a name."""
    return clause.split(" ", 1)[0].lower() not in FUNCTION_WORDS


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower(text: str) -> str:
    """As inside a sentence: only a word that is certainly no name loses its capital."""
    return (
        text[:1].lower() + text[1:]
        if text.split(" ", 1)[0].lower() in FUNCTION_WORDS and not text.startswith("I ")
        else text
    )
