"""The facts of a document, chosen from what its sentences give."""

from __future__ import annotations

from collections.abc import Iterator

from clara_lightning.synthesis.teachers.from_rules.brackets import without_notes
from clara_lightning.synthesis.teachers.from_rules.fact import Fact, holds
from clara_lightning.synthesis.teachers.from_rules.lexicon import Lexicon
from clara_lightning.synthesis.teachers.from_rules.reading import Reader
from clara_lightning.synthesis.teachers.from_rules.spans import tokens_of
from clara_lightning.synthesis.teachers.from_rules.text import Writing
from clara_lightning.synthesis.teachers.from_rules.topic import Topic

_WORDS_A_FACT = 12
_CHARACTERS_A_FACT = 30


def find_facts(sentences: list[str], *, title: str, topic: Topic, writing: Writing) -> list[Fact]:
    """Facts of a document in its order: about one for each twelve words, at least one a sentence where there is one.

    Args:
        sentences: of the document.
        title: of the document, as it is.
        topic: what it is about.
        writing: the kind of writing it is in.
    """
    cleaned = [without_notes(sentence) for sentence in sentences]
    words = [tokens_of(sentence) for sentence in cleaned]
    reader = Reader(topic=topic, writing=writing, lexicon=Lexicon.of(words, title))
    taken: set[str] = set()
    told: set[str] = set()
    facts: list[Fact] = []
    for index, (sentence, tokens) in enumerate(zip(cleaned, words, strict=True)):
        size = len(sentence) / _CHARACTERS_A_FACT if writing == "unspaced" else len(tokens) / _WORDS_A_FACT
        if sentence in told:
            continue
        told.add(sentence)
        candidates = reader.read(index, sentence, tokens)
        found = _chosen(candidates, many=max(1, round(size)), original=sentences[index], taken=taken)
        facts += sorted(found, key=lambda fact: fact.span.start)
    return facts


def _chosen(candidates: Iterator[Fact], *, many: int, original: str, taken: set[str]) -> list[Fact]:
    """The first ``many`` facts that do not overlap and can be asked about; their questions go into ``taken``."""
    chosen: list[Fact] = []
    for fact in candidates:
        if len(chosen) >= many:
            break
        if any(fact.span.start < other.span.end and other.span.start < fact.span.end for other in chosen):
            continue
        questions = tuple(q for q in fact.questions if q not in taken and not holds(q, fact.answer))
        if questions and fact.answer in original:
            natural = fact.natural and questions[0] == fact.questions[0]
            chosen.append(Fact(fact.sentence, fact.span, questions, natural, fact.weight))
            taken.update(questions)
    return chosen
