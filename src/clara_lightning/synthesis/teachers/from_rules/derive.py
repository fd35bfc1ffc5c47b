"""All that the rules know about a document, found once for all tasks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from clara_lightning.synthesis.teachers.from_rules.fact import Fact
from clara_lightning.synthesis.teachers.from_rules.facts import find_facts
from clara_lightning.synthesis.teachers.from_rules.sentences import split_sentences
from clara_lightning.synthesis.teachers.from_rules.text import Writing, readable, without_markup, writing_of
from clara_lightning.synthesis.teachers.from_rules.topic import Topic, topic_of


@dataclass(frozen=True)
class Derived:
    """What the rules found in a document."""

    sentences: tuple[str, ...]
    topic: Topic
    writing: Writing
    facts: tuple[Fact, ...]


def derive(title: str, text: str) -> Derived:
    return _derive(title, readable(text))


@lru_cache(maxsize=1024)
def _derive(title: str, text: str) -> Derived:
    writing = writing_of(text)
    sentences = [sentence for piece in without_markup(text) for sentence in split_sentences(piece)]
    topic = topic_of(title, text, sentences[0] if sentences else "") if writing == "english" or title else Topic()
    facts = find_facts(sentences, title=title, topic=topic, writing=writing)
    return Derived(tuple(sentences), topic, writing, tuple(facts))
