"""Questions in which something is not named but described by what another sentence says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clara_lightning.synthesis.teachers.from_rules.brackets import Plain
from clara_lightning.synthesis.teachers.from_rules.fact import Fact, holds
from clara_lightning.synthesis.teachers.from_rules.marks import STOP
from clara_lightning.synthesis.teachers.from_rules.topic import Topic

Bridge = tuple[str, Fact, int]
"""A question, the fact that it asks for, and the sentence that explains whom or what it describes."""

_LONGEST_DESCRIPTION = 16
_SAYS_WHAT = re.compile(r",? (?:is|was|are|were) (?:an?|the) ")
_OF = re.compile(r"What (?:is|was) (the [^?]{2,60}) of (.+)\?")
_WHO = re.compile(r"Who ((?!is |was |are |were )[^?]{3,100})\?")
_WHAT = re.compile(r"(?:What|Who) (is|are|was|were) ([^?]{3,60})\?")
_MOST_NAMED = 20


def bridges(sentences: list[str], facts: list[Fact], topic: Topic) -> Iterator[Bridge]:
    """Questions over two sentences: one describes the topic, or what a fact is about, and the other tells a fact of it.

    Args:
        sentences: of the document.
        facts: found in them.
        topic: of the document.
    """
    natural = [fact for fact in facts if fact.natural]
    if topic.name:
        described = _definition(sentences, topic)
        if described:
            yield from _about_topic(described, 0, natural, topic)
        else:
            for described, fact in _by_facts(natural, topic):
                yield from _about_topic(described, fact.sentence, natural, topic)
    yield from _about_names(natural)


def _definition(sentences: list[str], topic: Topic) -> str:
    """Such as "the 1961 film by Ann Lee", where the first sentence says that the topic is that."""
    first = Plain.of(sentences[0]).text if sentences else ""
    start = first.find(topic.name) + len(topic.name)
    match = _SAYS_WHAT.match(first, start) if start >= len(topic.name) else None
    if not match:
        return ""
    stop = STOP.search(first, match.end())
    words = first[match.end() : stop.start() if stop else len(first)].split()
    return f"the {' '.join(words)}" if 2 < len(words) <= _LONGEST_DESCRIPTION else ""


def _by_facts(facts: list[Fact], topic: Topic) -> Iterator[tuple[str, Fact]]:
    """Such as "the country whose capital is Nairobi"."""
    sort = "person" if topic.person else topic.sort or "one"
    for fact in facts:
        if fact.span.kind != "value" or "," in fact.answer:
            continue
        match = _WHAT.fullmatch(fact.question)
        if not match:
            continue
        verb, subject = match.groups()
        if subject.startswith(topic.owner + " "):
            yield f"the {sort} whose {subject.removeprefix(topic.owner + ' ')} {verb} {fact.answer}", fact
        elif subject.startswith("the ") and subject.endswith(f" of {topic.in_text}"):
            yield f"the {sort} whose {subject[4:].removesuffix(f' of {topic.in_text}')} {verb} {fact.answer}", fact


def _about_topic(described: str, sentence: int, facts: list[Fact], topic: Topic) -> Iterator[Bridge]:
    for fact in facts:
        if fact.sentence == sentence or holds(described, fact.answer):
            continue
        question = _replaced(fact.question, topic, described)
        if question and topic.name not in question:
            yield question, fact, sentence


def _replaced(question: str, topic: Topic, described: str) -> str:
    if topic.owner in question:
        match = _WHAT.fullmatch(question)
        if not match or not match.group(2).startswith(topic.owner + " "):
            return ""
        word = question.split(" ", 1)[0]
        return f"{word} {match.group(1)} the {match.group(2).removeprefix(topic.owner + ' ')} of {described}?"
    for name in (topic.in_text, topic.name):
        if name in question and not question.startswith(name):
            return question.replace(name, described, 1)
    return ""


def _about_names(facts: list[Fact]) -> Iterator[Bridge]:
    """Instead of "when was Nairobi founded?": when was the capital of Kenya founded?"""
    named = [fact for fact in facts if fact.answer[0].isupper() and fact.span.kind in ("name", "value")]
    for first in named[:_MOST_NAMED]:
        described = _description(first)
        for second in facts if described else ():
            inside = f" {first.answer}" in second.question and not second.question.startswith("In the text on ")
            if second.sentence != first.sentence and inside and not holds(described, second.answer):
                yield second.question.replace(f" {first.answer}", f" {described}", 1), second, first.sentence


def _description(fact: Fact) -> str:
    if match := _OF.fullmatch(fact.question):
        return f"{match.group(1)} of {match.group(2)}"
    if match := _WHO.fullmatch(fact.question):
        return f"the one who {match.group(1)}"
    match = _WHAT.fullmatch(fact.question)
    return match.group(2) if match and "'s " in match.group(2) else ""
