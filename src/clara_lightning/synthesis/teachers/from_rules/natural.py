"""Questions in ordinary English: a span of a sentence gives way to question words."""

from __future__ import annotations

import re

from clara_lightning.synthesis.teachers.from_rules.asking import Asking, asking_for
from clara_lightning.synthesis.teachers.from_rules.clauses import BOUNDARY, Clause
from clara_lightning.synthesis.teachers.from_rules.marks import STOP
from clara_lightning.synthesis.teachers.from_rules.spans import Span
from clara_lightning.synthesis.teachers.from_rules.verbs import PAST, PLURAL, PRESENT
from clara_lightning.synthesis.teachers.from_rules.words import (
    AUXILIARIES,
    BACK_REFERENCES,
    BE,
    DETERMINERS,
    PREPOSITIONS,
)

_SECOND_VERB = re.compile(r" (?:and|but|or) (?:\w+ly )?(?:\w+ed|\w+s)\b")
_SUBORDINATE = re.compile(r"\b(?:although|though|while|because|if|when|where)\b")
_BROKEN = re.compile(r", (?:wh|it |he |she |they )|:\s?$|\b(?:and|but|or),(?: as)?\s?$")
_VERBS = AUXILIARIES | PAST.keys() | PRESENT.keys() | PLURAL | set(PAST.values())
_NO_SUBJECT = (BACK_REFERENCES | PREPOSITIONS) - DETERMINERS
_NO_END = (AUXILIARIES - {"have", "do"}) | DETERMINERS | (PREPOSITIONS - {"in", "by", "to", "from", "with", "for"})
_LONGEST_REST = 12
_LONGEST_MOVED = 4
_LONGEST = 30
_LONGEST_IN_PLACE = 24


def ask(sentence: str, span: Span, clause: Clause | None, *, people: bool) -> str:
    """A question for ``span``, or nothing where no natural one is found.

    Args:
        sentence: English, without what stood in brackets.
        span: a part of it.
        clause: its main clause, where that is known.
        people: whether a name of which nothing is known is rather that of a person than of a thing.
    """
    if clause and (clause.start, clause.subject_end) == (span.start, span.end):
        return _finished(_for_subject(sentence, span, clause, people=people), _LONGEST)
    asking = asking_for(sentence, span)
    if asking is None:
        return ""
    if clause and clause.lead and asking.end <= clause.start:
        return _finished(_for_lead(sentence, asking, clause), _LONGEST)
    after = sentence[asking.end : _cut(sentence, asking.end)]
    if asking.start == 0 and not asking.preposition and asking.words not in ("whom", "when"):
        return "" if _VERBS.isdisjoint(after.split()) else _finished(asking.words + after, _LONGEST)
    after = "" if after.startswith((" and ", " or ", " but ")) else after
    if clause and asking.start >= clause.verb_end:
        before = sentence[clause.verb_end : asking.start]
        if _is_movable(asking, clause, before, after):
            words = f"{clause.lead}, {asking.phrase}" if clause.lead else asking.phrase
            return _finished(_inverted(words, clause, f"{before.rstrip()}{after}"), _LONGEST)
    return _finished(_in_place(sentence, asking, clause, after), _LONGEST_IN_PLACE)


def _cut(sentence: str, position: int) -> int:
    """Where the clause around ``position`` ends: at punctuation, where that is near."""
    match = STOP.search(sentence, position)
    end = match.start() if match else len(sentence)
    if sentence.count(" ", position, end) <= _LONGEST_REST:
        return end
    match = BOUNDARY.search(sentence, position)
    # "The court ruled that those who ..." must not lose what it ruled.
    return match.start() if match and " that " not in sentence[position : match.start()] else end


def _for_subject(sentence: str, span: Span, clause: Clause, *, people: bool) -> str:
    """Of "Fox ordered a season": who ordered a season?"""
    if span.kind != "name":
        return ""
    agent = clause.base != "" and clause.helper == "did"
    if span.sort == "person" or (not span.sort and (agent or people)):
        words = "who"
    elif span.sort and span.members == 1:
        words = f"which {span.sort}"
    else:
        words = "what"
    if clause.verb in BE and sentence.startswith((" a ", " an "), clause.verb_end):
        return ""  # "What is a politician?"
    lead = f"{clause.lead}, " if clause.lead else ""
    rest = sentence[clause.verb_start : _cut(sentence, clause.verb_end + 1)]
    return f"{lead}{words} {rest}" if len(rest.split()) > 2 else ""


def _for_lead(sentence: str, asking: Asking, clause: Clause) -> str:
    """Of "in 1990, it moved": in which year did it move?"""
    if asking.start > 0 or asking.end < len(clause.lead):
        return ""
    rest = sentence[clause.verb_end : _cut(sentence, clause.verb_end + 1)]
    return _inverted(asking.phrase, clause, rest)


def _is_movable(asking: Asking, clause: Clause, before: str, after: str) -> bool:
    """Whether the question words can stand before the verb: "when did it move", "how many airports does it have"."""
    if BOUNDARY.search(before) or _SECOND_VERB.search(before):
        return False
    defines = clause.verb in BE and before.startswith((" a ", " an ", " the ", " one "))
    if asking.moves and defines and (clause.verb in ("is", "are") or len(before.split()) > _LONGEST_MOVED):
        return False  # "In which year is it a doll produced?"
    if asking.words == "what" and before.count(" ") > 2:
        return False
    direct = asking.fronted and not before.strip() and not after.startswith(" of ")
    return asking.moves or (direct and not (clause.verb in BE and after.strip()))


def _inverted(words: str, clause: Clause, rest: str) -> str:
    base = f" {clause.base}" if clause.base else ""
    words = "who" if words == "whom" and clause.verb in BE else words
    return f"{words} {clause.helper} {clause.subject}{base}{rest}"


def _in_place(sentence: str, asking: Asking, clause: Clause | None, after: str) -> str:
    """Of "it moved to Leeds in 1990": it moved to Leeds in which year? The words stay where the span stood."""
    if _BROKEN.search(sentence, max(0, asking.start - 12), asking.start):
        return ""
    if clause and _SUBORDINATE.search(sentence, clause.verb_end, asking.start):
        return ""
    if clause and asking.start >= clause.verb_end:
        lead = f"{clause.lead}, " if clause.lead else ""
        middle = sentence[clause.verb_start : asking.start]
        return f"{lead}{clause.subject} {middle}{asking.placed}{after}"
    first = sentence.split(" ", 1)[0]
    before = sentence[: asking.start]
    no_subject = first.lower() in _NO_SUBJECT or first.endswith(("ed", "ing", "ly", ","))
    if clause or no_subject or not first[:1].isupper() or _BROKEN.search(before):
        return ""
    return "" if _VERBS.isdisjoint(f"{before}{after}".split()) else f"{before}{asking.placed}{after}"


def _finished(question: str, longest: int) -> str:
    """With a capital and a question mark; nothing where it is too long or breaks off."""
    words = question.split()
    if not 3 < len(words) <= longest or words[-1].lower() in _NO_END:
        return ""
    text = " ".join(words).rstrip(" ,;:.-\u2013—")
    if text.count('"') % 2 or text.count("(") != text.count(")"):
        return ""
    return f"{text[0].upper()}{text[1:]}?"
