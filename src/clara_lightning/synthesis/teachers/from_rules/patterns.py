"""Sentences of a common form, and the questions that belong to it: values, objects, lists, lives."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clara_lightning.synthesis.teachers.from_rules.clauses import Clause
from clara_lightning.synthesis.teachers.from_rules.gazetteer import sort_of
from clara_lightning.synthesis.teachers.from_rules.participles import ask_opening, ask_participles
from clara_lightning.synthesis.teachers.from_rules.phrases import NO_OBJECT, phrase, thing
from clara_lightning.synthesis.teachers.from_rules.spans import Span
from clara_lightning.synthesis.teachers.from_rules.topic import Topic
from clara_lightning.synthesis.teachers.from_rules.verbs import PARTICIPLES, PAST
from clara_lightning.synthesis.teachers.from_rules.words import BE, PREPOSITIONS

Asked = tuple[Span, str]
"""A span and the question for it."""

_DETERMINED = ("a ", "an ", "the ", "one of ")
_NO_VALUE = (
    PREPOSITIONS | PAST.keys() | PARTICIPLES.keys() | {"not", "also", "that", "to", "born", "soon", "then", "now"}
)
_LIST = re.compile(r" ((?:[^,;:.()]{2,40}, ){1,6}(?:and |or )?(?:[^,;:.()]{2,40} and )?[^,;:.()]{2,40})(?=[.;,])")
_MORE_LISTED = re.compile(r", [^,.;]{1,40}(?:,? and |, )")
_MORE_ADJECTIVES = re.compile(r"(?:, [a-z-]+){1,4},? and [a-z]")
_ITEM = re.compile(r"(?:, (?:and |or )?| and )")
_KEY = re.compile(r"([A-Z][^\W\d_][\w ]{1,28}): ([^\s].{0,58}[^\s.;]|\w)[.;]?$")
_OFFICES = ("head of state", "head of government", "president", "minister", "director", "author", "founder")
_PASSIVE = re.compile(
    r" ((?:\w+ly |also |often |sometimes |usually )?\w+(?:ed|en|wn|lt|ld|pt))"
    r" (in|into|to|from|of|for|on|as|with|through|at|by) "
)
_BORN = re.compile(r"\bborn\b")
_DASH = re.compile("[\u2013\u2014-]")
_DIGIT = re.compile(r"\d")
_LONGEST_VALUE = 9
_LONGEST_LIST = 14


def ask_patterns(sentence: str, clause: Clause | None, spans: list[Span], topic: Topic) -> Iterator[Asked]:
    """Spans of ``sentence`` that a common form explains, with their questions.

    Args:
        sentence: English, without what stood in brackets.
        clause: its main clause, where that is known.
        spans: numbers, names and the like in it.
        topic: of the document.
    """
    if clause is None:
        yield from _keyed(sentence, topic)
        yield from ask_opening(sentence, spans, topic)
        return
    yield from ask_participles(sentence, clause, spans)
    listed = _listed(sentence, clause)
    if listed:
        yield listed
    elif clause.verb in BE:
        yield from filter(None, (_value(sentence, clause, topic), _passive(sentence, clause)))
    elif clause.base:
        yield from filter(None, (_object(sentence, clause),))


def ask_lives(sentence: str, spans: list[Span], topic: Topic) -> Iterator[Asked]:
    """Birth and death in the brackets behind a name: "Ann Lee (29 February 1736 - 8 September 1784) was ..."."""
    opened, closed = sentence.find("("), sentence.find(")")
    if not 0 < opened < closed or not topic.name or topic.name.split()[-1] not in sentence[:opened]:
        return
    dates = [span for span in spans if span.kind in ("date", "year") and opened < span.start and span.end <= closed]
    if not dates:
        return
    born = _BORN.search(sentence, opened, dates[0].start) is not None
    joined = len(dates) > 1 and _DASH.search(sentence, dates[0].end, dates[1].start) is not None
    if born or (joined and topic.person):
        yield dates[0], f"When was {topic.in_text} born?"
    if joined and (born or topic.person):
        yield dates[1], f"When did {topic.in_text} die?"


def _value(sentence: str, clause: Clause, topic: Topic) -> Asked | None:
    """Of "the capital of Kenya is Nairobi": what is it? And of "Kenya is a country": what is Kenya?"""
    start = clause.verb_end + 1
    rest = sentence[start:]
    if not _has_value(rest, clause.subject):
        return None
    text = phrase(rest, _LONGEST_VALUE)
    if len(text) < 2 or text == "the" or _DIGIT.search(text) or text.count('"') % 2:
        return None
    if clause.verb in ("are", "were") and " and " not in text and not text.endswith("s") and text[0].isupper():
        return None  # one of several
    if (text.count(" ") < 2 and _MORE_LISTED.match(rest, len(text))) or _MORE_ADJECTIVES.match(rest, len(text)):
        return None  # "an intellectual, technological and political center"
    person = sort_of(text.split()) == "person" or clause.subject.endswith(_OFFICES)
    person = person or (clause.subject == topic.in_text and topic.person)
    question = f"{'who' if person else 'what'} {clause.verb} {clause.subject}?"
    return Span(start, start + len(text), text, "value"), clause.opened(question)


def _has_value(rest: str, subject: str) -> bool:
    opening = rest.split(" ", 1)[0]
    if not _is_item(opening) or opening in _NO_VALUE:
        return False
    owned = "'" in subject or " of " in subject
    return rest.startswith(_DETERMINED) or owned or (subject.startswith("the ") and opening[:1].isupper())


def _object(sentence: str, clause: Clause) -> Asked | None:
    """Of "the rules reduce costs": what do they reduce?"""
    start = clause.verb_end + 1
    text = thing(sentence[start:])
    if not text or text[0].isupper() or _MORE_LISTED.match(sentence, start + len(text)):
        return None
    question = f"what {clause.helper} {clause.subject} {clause.base}?"
    return Span(start, start + len(text), text, "object"), clause.opened(question)


def _passive(sentence: str, clause: Clause) -> Asked | None:
    """Of "they are built into walls": what are they built into?"""
    match = _PASSIVE.match(sentence, clause.verb_end)
    text = thing(sentence[match.end() :]) if match else ""
    if not match or " " not in text:
        return None
    question = f"what {clause.verb} {clause.subject} {match.group(1)} {match.group(2)}?"
    return Span(match.end(), match.end() + len(text), text, "object"), clause.opened(question)


def _listed(sentence: str, clause: Clause) -> Asked | None:
    """Of "its colors are red, white and green": what are they?"""
    match = _LIST.match(sentence, clause.verb_end)
    if not match or len(match.group(1).split()) > _LONGEST_LIST or not _is_list(match.group(1)):
        return None
    if clause.verb not in BE and not clause.base:
        return None
    base = f" {clause.base}" if clause.base else ""
    question = f"what {clause.helper} {clause.subject}{base}?"
    return Span(match.start(1), match.end(1), match.group(1), "list"), clause.opened(question)


def _is_list(text: str) -> bool:
    items = [item.split() for item in _ITEM.split(text)]
    last = text.rpartition(", ")[2]
    closed = " and " in last or last.startswith(("and ", "or ")) or len(items) > 3
    return closed and all(0 < len(item) < 5 and _is_item(item[0]) for item in items)


def _is_item(word: str) -> bool:
    """Whether a noun phrase may begin with this word."""
    return word.lower() not in NO_OBJECT and not (word.endswith(("ing", "ed", "ly")) and len(word) > 3)


def _keyed(sentence: str, topic: Topic) -> Iterator[Asked]:
    """Of a line such as "Capital: Nairobi"."""
    match = _KEY.fullmatch(sentence)
    if match and topic.name:
        span = Span(match.start(2), match.end(2), match.group(2), "value")
        yield span, f'What does the text on {topic.in_text} give as "{match.group(1)}"?'
