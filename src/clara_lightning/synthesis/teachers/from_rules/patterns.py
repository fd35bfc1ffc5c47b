"""Sentences of a common form, and the questions that belong to it: definitions, lives, makers, lists."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clara_lightning.synthesis.teachers.from_rules.clauses import BOUNDARY, Clause
from clara_lightning.synthesis.teachers.from_rules.gazetteer import sort_of
from clara_lightning.synthesis.teachers.from_rules.spans import Span
from clara_lightning.synthesis.teachers.from_rules.topic import Topic
from clara_lightning.synthesis.teachers.from_rules.verbs import PAST, active_past
from clara_lightning.synthesis.teachers.from_rules.words import (
    AUXILIARIES,
    BE,
    DETERMINERS,
    FUNCTION_WORDS,
    POSSESSIVES,
    PREPOSITIONS,
)

Asked = tuple[Span, str]
"""A span and the question for it."""

_NOUN_PHRASE_ENDS = re.compile(
    BOUNDARY.pattern
    + r"| \w+ed(?: and \w+ed)? (?:by|in|on|at|for|as|to|from|with|around|near)\b"
    + r"| (?:that|written|known|held|born|built|made|set|located|based|starring|featuring|consisting|including|formed|used)\b"
    + r"| (?:in|from|at|on|for|with|by|as|near|between)\b",
    re.IGNORECASE,
)
_DETERMINED = ("a ", "an ", "the ", "one of ")
_MAKER = re.compile(r"\b(\w+(?:ed|en|wn|lt|ld)|set|sung|won)(?: \w+ly)? by (?:the )?$")
_MADE = re.compile(
    r"\b(founded|formed|established|released|published|built|created|launched|opened|completed|introduced|recorded|"
    r"produced|written|aired|premiered|incorporated|organized|discovered|invented|born|constructed|set)"
    r"( by [^,;]{2,50})? (?:in|on) $",
    re.IGNORECASE,
)
_PLACED = re.compile(
    r"\b(located|based|situated|headquartered|set|filmed|born|held|buried)(?: \w+ly)? (?:in|at|near|on) (?:the )?$"
)
_HAS_OF = re.compile(r"^ an? ((?:[\w-]+ ){0,5}[\w-]+) of (?:about |around |over |nearly |approximately )?$")
_PARTICIPLE_FIRST = re.compile(r"([A-Z]\w+(?:ed|en|rn)) (in|on|by) (?:the )?")
_LIST = re.compile(r" ((?:[^,;:.()]{2,40}, ){1,6}(?:and |or )?(?:[^,;:.()]{2,40} and )?[^,;:.()]{2,40})(?=[.;,])")
_STOP = re.compile(r"[;:](?=\s)|,(?=\s(?!\d{4}\b))| [–—-]+ |[.!?]+[\"'”’)]*$")
_NO_VERBS = AUXILIARIES | PREPOSITIONS | PAST.keys() | {"that", "which", "who"}
_ITEM = re.compile(r"(?:, (?:and |or )?| and )")
_KEY = re.compile(r"([A-Z][^\W\d_][\w ]{1,28}): ([^\s].{0,58}[^\s.;]|\w)[.;]?$")
_OFFICES = (
    "head of state",
    "head of government",
    "president",
    "prime minister",
    "director",
    "author",
    "founder",
    "mayor",
)
_PASSIVE = re.compile(
    r" ((?:\w+ly |also |often |sometimes |usually |widely )?\w+(?:ed|en|wn|lt|ld|pt)) (in|into|to|from|of|for|on|as|with|through|at|by) "
)
_NO_OBJECT = (FUNCTION_WORDS - DETERMINERS) | POSSESSIVES | {"this", "that", "these", "those"}
_SELECTING = re.compile(r"\b(?:first|last|only|most|least|same|next|\w{2,}est)\b")
_LONGEST_VALUE = 9
_LONGEST_OBJECT = 7
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
        yield from _opening_participle(sentence, spans, topic)
        return
    for span in spans:
        if span.start > clause.verb_end:
            yield from _reduced(sentence, span, clause)
    listed = list(_listed(sentence, clause))
    yield from listed
    if clause.verb in BE and not listed:
        yield from _value(sentence, clause, topic)
        yield from _passive(sentence, clause)
    elif clause.base and not listed:
        yield from _object(sentence, clause)


def ask_lives(sentence: str, spans: list[Span], topic: Topic) -> Iterator[Asked]:
    """Birth and death in the brackets behind a name: "Ann Lee (29 February 1736 - 8 September 1784) was ..."."""
    opened, closed = sentence.find("("), sentence.find(")")
    if not 0 < opened < closed or not topic.name or topic.name.split()[-1] not in sentence[:opened]:
        return
    dates = [span for span in spans if span.kind in ("date", "year") and opened < span.start and span.end <= closed]
    if not dates:
        return
    before = sentence[opened : dates[0].start]
    born = re.search(r"\bborn\b", before) is not None
    joined = len(dates) > 1 and re.search(r"[–—-]", sentence[dates[0].end : dates[1].start]) is not None
    if born or (joined and topic.person):
        yield dates[0], f"When was {topic.in_text} born?"
    if joined and (born or topic.person):
        yield dates[1], f"When did {topic.in_text} die?"


def _value(sentence: str, clause: Clause, topic: Topic) -> Iterator[Asked]:
    """ "The capital of Kenya is Nairobi": what is it? And "Kenya is a country": what is Kenya?"""
    start = clause.verb_end + 1
    rest = sentence[start:]
    described = clause.subject.startswith("the ") or "'" in clause.subject or " of " in clause.subject
    determined = rest.startswith(_DETERMINED)
    opening = rest.split(" ", 1)[0]
    if opening.endswith(("ed", "ly", "ing")) or opening in PREPOSITIONS or opening in ("not", "also", "that", "to"):
        return
    if not determined and not (
        described and (opening[:1].isupper() or "'" in clause.subject or " of " in clause.subject)
    ):
        return
    text = _phrase(rest, _LONGEST_VALUE)
    if not text or re.search(r"\d", text) or len(text) < 2 or text in ("one", "the"):
        return
    if clause.verb in ("are", "were") and " and " not in text and not text.endswith("s") and not determined:
        return  # one of several
    person = sort_of(text.split()) == "person" or clause.subject.endswith(_OFFICES)
    who = person or (clause.subject == topic.in_text and topic.person)
    lead = f"{clause.lead}, " if clause.lead else ""
    question = f"{lead}{'who' if who else 'what'} {clause.verb} {clause.subject}?"
    yield Span(start, start + len(text), text, "value"), question[0].upper() + question[1:]


def _object(sentence: str, clause: Clause) -> Iterator[Asked]:
    """ "The rules reduce costs" : what do they reduce?"""
    text = _noun_phrase(sentence[clause.verb_end + 1 :])
    if text and not text[0].isupper():
        start = clause.verb_end + 1
        lead = f"{clause.lead}, " if clause.lead else ""
        question = f"{lead}what {clause.helper} {clause.subject} {clause.base}?"
        yield Span(start, start + len(text), text, "object"), question[0].upper() + question[1:]


def _passive(sentence: str, clause: Clause) -> Iterator[Asked]:
    """ "They are built into walls": what are they built into?"""
    match = _PASSIVE.match(sentence, clause.verb_end)
    text = _noun_phrase(sentence[match.end() :]) if match else ""
    if match and " " in text:
        lead = f"{clause.lead}, " if clause.lead else ""
        question = f"{lead}what {clause.verb} {clause.subject} {match.group(1)} {match.group(2)}?"
        yield Span(match.end(), match.end() + len(text), text, "object"), question[0].upper() + question[1:]


def _phrase(rest: str, longest: int) -> str:
    """``rest`` up to the end of its clause where that is near, else up to a preposition or a participle."""
    match = _STOP.search(rest, 2)
    whole = (rest[: match.start()] if match else rest).strip()
    if len(whole.split()) < longest and _NO_VERBS.isdisjoint(whole.split()[1:]) and " and " in whole:
        return whole
    match = BOUNDARY.search(whole, 2)
    whole = whole[: match.start()] if match else whole
    selecting = _SELECTING.search(whole)
    if len(whole.split()) <= (longest if selecting else longest // 2):
        return whole
    match = _NOUN_PHRASE_ENDS.search(whole, 2)
    words = (whole[: match.start()] if match else whole).split()
    while words and (words[-1] in FUNCTION_WORDS or (words[-1].endswith("ed") and len(words) > 2)):
        words.pop()
    text = " ".join(words)
    return text if len(text.split()) <= longest and not selecting else ""


def _noun_phrase(rest: str) -> str:
    """What ``rest`` begins with, up to the end of its phrase, if that looks like a thing."""
    text = _phrase(rest, _LONGEST_OBJECT)
    words = text.split()
    if not words or words[0].lower() in _NO_OBJECT or words[0].endswith(("ly", "ing")):
        return ""
    if words[-1].lower() in FUNCTION_WORDS or words[-1].endswith("ly") or re.search(r"\d", text) or len(text) < 4:
        return ""
    return text if len(words) > 1 or len(text) > 5 else ""


def _reduced(sentence: str, span: Span, clause: Clause) -> Iterator[Asked]:
    """Participles behind "is a": "directed by Ann Lee", "formed in 2008", "located in Texas", "from the year"."""
    before = sentence[clause.verb_end : span.start]
    defines = clause.verb in BE and before.startswith(("  ", " a ", " an ", " the ", " one "))
    plain = clause.verb in BE and not BOUNDARY.search(before)
    if defines and span.kind == "year" and re.fullmatch(r" an? ", before):
        yield span, f"From which year {clause.verb} {clause.subject}?"
        return
    if span.kind in ("name", "quote") and (match := _MAKER.search(before)):
        past = active_past(match.group(1))
        alone = match.start() == 1 or defines
        if past and alone and clause.verb in BE and not re.search(r" (?:which|who|that|whose|where) ", before):
            known = f"Who {past} {clause.subject}?"
            yield (
                span,
                known
                if defines or clause.verb in ("was", "were")
                else f"By whom {clause.verb} {clause.subject} {match.group(1)}?",
            )
    elif span.kind in ("name", "quote") and defines and before.endswith((" starring ", " stars ")):
        yield span, f"Who stars in {clause.subject}?"
    elif span.kind in ("year", "date") and defines and (match := _MADE.search(before)):
        when = "In which year" if span.kind == "year" else "When"
        yield (
            span,
            f"{when} {'was' if clause.verb in ('is', 'was') else 'were'} {clause.subject} {match.group(1)}{match.group(2) or ''}?",
        )
    elif span.kind == "name" and (defines or plain) and span.sort != "person" and (match := _PLACED.search(before)):
        yield span, f"Where {clause.verb} {clause.subject} {match.group(1)}?"
    elif span.kind == "number" and clause.base == "have" and (match := _HAS_OF.match(before)):
        yield span, f"What {'was' if clause.verb == 'had' else 'is'} the {match.group(1)} of {clause.subject}?"


def _listed(sentence: str, clause: Clause) -> Iterator[Asked]:
    match = _LIST.match(sentence, clause.verb_end)
    if not match or len(match.group(1).split()) > _LONGEST_LIST or not _is_list(match.group(1)):
        return
    if clause.verb in BE:
        question = f"What {clause.verb} {clause.subject}?"
    elif clause.base:
        question = f"What {clause.helper} {clause.subject} {clause.base}?"
    else:
        return
    yield Span(match.start(1), match.end(1), match.group(1), "list"), question


def _is_list(text: str) -> bool:
    items = [item.split() for item in _ITEM.split(text)]
    last = text.rpartition(", ")[2]
    return (" and " in last or last.startswith(("and ", "or ")) or len(items) > 3) and all(
        item
        and len(item) < 5
        and item[0].lower() not in _NO_OBJECT
        and not (item[0].endswith(("ing", "ed", "ly")) and len(item[0]) > 3)
        for item in items
    )


def _opening_participle(sentence: str, spans: list[Span], topic: Topic) -> Iterator[Asked]:
    """ "Founded in 1880, they became ...": when were they founded?"""
    match = _PARTICIPLE_FIRST.match(sentence)
    if not match or not spans or spans[0].start != match.end() or not topic.name:
        return
    _, _, main = sentence.partition(", ")
    if main.split(" ", 1)[0] in ("it", "he", "she", "they", *topic.name.split()[:1]):
        participle = match.group(1).lower()
        if spans[0].kind == "name" and match.group(2) == "by" and active_past(participle):
            yield spans[0], f"Who {active_past(participle)} {topic.in_text}?"
        elif spans[0].kind in ("year", "date") and match.group(2) != "by":
            when = "In which year" if spans[0].kind == "year" else "When"
            yield spans[0], f"{when} was {topic.in_text} {participle}?"


def _keyed(sentence: str, topic: Topic) -> Iterator[Asked]:
    """ "Capital: Nairobi"."""
    match = _KEY.fullmatch(sentence)
    if match and topic.name:
        text = match.group(2)
        yield (
            Span(match.start(2), match.end(2), text, "value"),
            f'What does the text on {topic.name} give as "{match.group(1)}"?',
        )
