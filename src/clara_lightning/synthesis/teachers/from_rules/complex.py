"""Questions that need two sentences of a document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, zip_longest

from clara_lightning.synthesis.tasks import ComplexType
from clara_lightning.synthesis.teachers.from_rules.bridges import bridges
from clara_lightning.synthesis.teachers.from_rules.fact import Fact, holds
from clara_lightning.synthesis.teachers.from_rules.quantities import amount_of, date_of, unit_of
from clara_lightning.synthesis.teachers.from_rules.topic import Topic

_MOST = 5
_FEWEST = 2
_WORDS_A_QUESTION = 20
_PAIRS = 40
"""Pairs of facts that are looked at for each type: their number grows with the square of the facts."""
_LONGEST = 400
_ASKS = re.compile(r"(?:\w+ )?(?:what|who|whom|which|when|where|how)\b(?!.*(?:gap|missing))", re.IGNORECASE)
_PREFIX = re.compile(r"In the text on [^,]{1,100}, ")


@dataclass(frozen=True)
class Complex:
    """A question over two sentences.

    Attributes:
        question: the question.
        type: what it takes to answer it.
        answer: the answer.
        sentences: indices of the sentences that it follows from.
    """

    question: str
    type: ComplexType
    answer: str
    sentences: tuple[int, int]


def find_complex(sentences: list[str], facts: list[Fact], topic: Topic) -> list[Complex]:
    """Two to five questions over two sentences each, where the document allows them, of as many types as it allows.

    Args:
        sentences: of the document.
        facts: found in them.
        topic: of the document.
    """
    words = sum(sentence.count(" ") + 1 for sentence in sentences)
    many = min(_MOST, max(_FEWEST, words // _WORDS_A_QUESTION))
    taken = {question for fact in facts for question in fact.questions}
    kinds = [_bridged(sentences, facts, topic), _dated(facts), _compared(facts), _joined(facts)]
    found: list[Complex] = []
    for one in (one for row in zip_longest(*kinds) for one in row if one is not None):
        if len(found) >= many:
            break
        if len(one.question) <= _LONGEST and one.question not in taken and not holds(one.question, one.answer):
            taken.add(one.question)
            found.append(one)
    return found


def _bridged(sentences: list[str], facts: list[Fact], topic: Topic) -> Iterator[Complex]:
    for question, fact, described_in in bridges(sentences, facts, topic):
        yield Complex(question, "bridge", fact.answer, (described_in, fact.sentence))


def _pairs(facts: list[Fact]) -> Iterator[tuple[Fact, Fact]]:
    """Pairs of facts of different sentences."""
    tried = 0
    for first, second in combinations(facts, 2):
        if first.sentence != second.sentence:
            yield first, second
            tried += 1
            if tried == _PAIRS:
                return


def _dated(facts: list[Fact]) -> Iterator[Complex]:
    dated = [fact for fact in facts if fact.natural and fact.span.kind in ("date", "year")]
    for first, second in _pairs(dated):
        one, other = date_of(first.answer), date_of(second.answer)
        if one and other and one[0] != other[0]:
            earlier = first if one < other else second
            question = f"Which of these dates is the earlier one: {_quoted(first)} or {_quoted(second)}?"
            yield Complex(question, "temporal", earlier.answer, (first.sentence, second.sentence))


def _compared(facts: list[Fact]) -> Iterator[Complex]:
    counted = [fact for fact in facts if fact.natural and fact.span.kind in ("number", "percent", "money")]
    for first, second in _pairs(counted):
        one, other = amount_of(first.answer), amount_of(second.answer)
        if one is not None and other is not None and one != other and unit_of(first) == unit_of(second) != "":
            larger = first if one > other else second
            question = f"Which of these numbers is the larger one: {_quoted(first)} or {_quoted(second)}?"
            yield Complex(question, "comparison", larger.answer, (first.sentence, second.sentence))


def _joined(facts: list[Fact]) -> Iterator[Complex]:
    """Two facts asked for together; each fact stands in one question at most."""
    ordered = sorted(facts, key=lambda fact: (-fact.weight, fact.sentence))
    used: set[int] = set()
    for first, second in _pairs(ordered):
        if used.isdisjoint((id(first), id(second))):
            used |= {id(first), id(second)}
            first, second = sorted((first, second), key=lambda fact: fact.sentence)
            yield Complex(
                _together(first, second), "aggregation", _both(first, second), (first.sentence, second.sentence)
            )


def _together(first: Fact, second: Fact) -> str:
    prefix = _PREFIX.match(first.question)
    follows = second.question.removeprefix(prefix.group()) if prefix else second.question
    if all(_ASKS.match(_PREFIX.sub("", question)) for question in (first.question, follows)):
        return f"{first.question[:-1]}, and {follows[0].lower()}{follows[1:]}"
    return f"{first.question} {second.question}"


def _both(first: Fact, second: Fact) -> str:
    simple = not any(mark in answer for answer in (first.answer, second.answer) for mark in (",", " and "))
    plain = simple and first.natural and second.natural
    return f"{first.answer} and {second.answer}" if plain else f"{first.answer}; {second.answer}"


def _quoted(fact: Fact) -> str:
    return f"“{fact.question}”"
