"""All that the rules know about a document, found once for all its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from clara_lightning.synthesis.teachers.from_rules.complex import Complex, find_complex
from clara_lightning.synthesis.teachers.from_rules.fact import Fact
from clara_lightning.synthesis.teachers.from_rules.facts import find_facts
from clara_lightning.synthesis.teachers.from_rules.sentences import split_sentences
from clara_lightning.synthesis.teachers.from_rules.text import Writing, readable, without_markup, writing_of
from clara_lightning.synthesis.teachers.from_rules.topic import Topic, topic_of

_KEPT = 1024
_LONGEST_TITLE = 1_000


@dataclass(frozen=True)
class Derived:
    """What the rules find in a document.

    Attributes:
        sentences: as they stand in it, white space folded.
        topic: what it is about.
        writing: the kind of writing it is in.
        facts: what it says, in its order.
        complex_questions: questions over two sentences.
        answers: the answer to every question that the rules may ask about it.
    """

    sentences: tuple[str, ...]
    topic: Topic
    writing: Writing
    facts: tuple[Fact, ...]
    complex_questions: tuple[Complex, ...]
    answers: Mapping[str, str]


def derive(title: str, text: str) -> Derived:
    """What the rules find in the beginning of a document; kept for the next tasks with the same one."""
    return _derive(title[:_LONGEST_TITLE], readable(text))


@lru_cache(maxsize=_KEPT)
def _derive(title: str, text: str) -> Derived:
    writing = writing_of(text)
    sentences = [sentence for piece in without_markup(text) for sentence in split_sentences(piece)]
    # The subject of the first sentence is found by English words alone.
    named = bool(title) or writing == "english"
    topic = topic_of(title, text, sentences[0] if sentences else "") if named else Topic()
    facts = find_facts(sentences, title=title, topic=topic, writing=writing)
    harder = find_complex(sentences, facts, topic)
    answers = {question: fact.answer for fact in facts for question in fact.questions}
    answers |= {one.question: one.answer for one in harder}
    return Derived(tuple(sentences), topic, writing, tuple(facts), tuple(harder), answers)
