"""What participles tell of a subject: who made it, when, and where it is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clara_lightning.synthesis.teachers.from_rules.clauses import Clause
from clara_lightning.synthesis.teachers.from_rules.spans import Span
from clara_lightning.synthesis.teachers.from_rules.topic import Topic
from clara_lightning.synthesis.teachers.from_rules.verbs import active_past
from clara_lightning.synthesis.teachers.from_rules.words import BE

_MAKER = re.compile(r"\b(\w+(?:ed|en|wn|lt|ld)|set|sung|won)(?: \w+ly)? by (?:the )?$")
_MADE = re.compile(
    r"\b((?:founded|formed|established|released|published|built|created|launched|opened|completed|introduced|recorded|"
    r"produced|written|aired|premiered|incorporated|organized|discovered|invented|born|constructed|set)"
    r"(?: by [^,;]{2,50})?) (?:in|on) $",
    re.IGNORECASE,
)
_PLACED = re.compile(
    r"\b(located|based|situated|headquartered|born|buried)(?: \w+ly)? (?:in|at|near) (?:the )?$"
    r"|^ (set|filmed|held)(?: \w+ly)? (?:in|at) (?:the )?$"
)
_HAS_OF = re.compile(r"^ an? ((?:[\w-]+ ){0,5}[\w-]+) of (?:about |around |over |nearly |approximately )?$")
_DEFINES = (" a ", " an ", " the ", " one ")
_RELATIVE = re.compile(r" (?:which|who|that|whose|where) ")
_OPENING = re.compile(r"([A-Z]\w+(?:ed|en|rn)) (in|on|by) (?:the )?")


def ask_participles(sentence: str, clause: Clause, spans: list[Span]) -> Iterator[tuple[Span, str]]:
    """Spans behind a participle, with their questions: "directed by Ann Lee", "formed in 2008", "located in Texas".

    Args:
        sentence: English, without what stood in brackets.
        clause: its main clause.
        spans: in it.
    """
    for span in spans:
        if span.start > clause.verb_end:
            question = _question(sentence, span, clause)
            if question:
                yield span, question


def ask_opening(sentence: str, spans: list[Span], topic: Topic) -> Iterator[tuple[Span, str]]:
    """Of "Founded in 1880, they became ...": when was it founded?"""
    match = _OPENING.match(sentence)
    if not match or not spans or spans[0].start != match.end() or not topic.name:
        return
    span, main = spans[0], sentence.partition(", ")[2]
    if main.split(" ", 1)[0] not in ("it", "he", "she", "they", topic.name.split()[0]):
        return
    participle, preposition = match.group(1).lower(), match.group(2)
    if span.kind == "name" and preposition == "by" and active_past(participle):
        yield span, f"Who {active_past(participle)} {topic.in_text}?"
    elif span.kind in ("year", "date") and preposition != "by":
        yield span, f"{_when(span)} was {topic.in_text} {participle}?"


def _question(sentence: str, span: Span, clause: Clause) -> str:
    before = sentence[clause.verb_end : span.start]
    is_something = clause.verb in BE and before.startswith(_DEFINES)
    if span.kind in ("name", "quote"):
        return _of_name(before, span, clause, is_something=is_something)
    if span.kind in ("year", "date") and is_something:
        return _of_time(before, span, clause)
    if span.kind == "number" and clause.base == "have" and (match := _HAS_OF.match(before)):
        return f"What {'was' if clause.verb == 'had' else 'is'} the {match.group(1)} of {clause.subject}?"
    return ""


def _of_name(before: str, span: Span, clause: Clause, *, is_something: bool) -> str:
    if clause.verb not in BE:
        return ""
    if match := _MAKER.search(before):
        return _of_maker(before, match, clause, is_something=is_something)
    if is_something and before.endswith((" starring ", " stars ")):
        return f"Who stars in {clause.subject}?"
    match = _PLACED.search(before)
    if match and (is_something or match.start() < 2) and span.kind == "name" and span.sort != "person":
        return f"Where {clause.verb} {clause.subject} {match.group(match.lastindex or 0)}?"
    return ""


def _of_maker(before: str, match: re.Match[str], clause: Clause, *, is_something: bool) -> str:
    past = active_past(match.group(1))
    if not past or not (match.start() == 1 or is_something) or _RELATIVE.search(before):
        return ""
    if is_something or clause.verb in ("was", "were"):
        return f"Who {past} {clause.subject}?"
    return f"By whom {clause.verb} {clause.subject} {match.group(1)}?"


def _of_time(before: str, span: Span, clause: Clause) -> str:
    if before in (" a ", " an "):
        return f"From which year {clause.verb} {clause.subject}?" if span.kind == "year" else ""
    match = None if ";" in before else _MADE.search(before)
    was = "was" if clause.verb in ("is", "was") else "were"
    return f"{_when(span)} {was} {clause.subject} {match.group(1)}?" if match else ""


def _when(span: Span) -> str:
    return "In which year" if span.kind == "year" else "When"
