"""Reads a document sentence after sentence: what "it" stands for depends on the sentences before."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clara_lightning.synthesis.teachers.from_rules.brackets import Plain
from clara_lightning.synthesis.teachers.from_rules.clauses import Clause, parse_clause
from clara_lightning.synthesis.teachers.from_rules.cloze import clozes
from clara_lightning.synthesis.teachers.from_rules.fact import Fact
from clara_lightning.synthesis.teachers.from_rules.names import Lexicon, name_spans, rare_words
from clara_lightning.synthesis.teachers.from_rules.natural import ask
from clara_lightning.synthesis.teachers.from_rules.patterns import ask_lives, ask_patterns
from clara_lightning.synthesis.teachers.from_rules.spans import Span, Token, numeric_spans, quote_spans, tokens_of
from clara_lightning.synthesis.teachers.from_rules.text import Writing
from clara_lightning.synthesis.teachers.from_rules.topic import Topic
from clara_lightning.synthesis.teachers.from_rules.unspaced import unspaced_spans
from clara_lightning.synthesis.teachers.from_rules.words import FUNCTION_WORDS, POSSESSIVES, PRONOUNS

_PRONOUN = re.compile(r"\b(?:it|its|he|she|his|her|him|they|them|their|this|these|those)\b", re.IGNORECASE)
_OWN = re.compile(r"\b(?:its|his|her|their)\b")
_NAMED = re.compile(r"[ \"][^\W\d_a-z]\w")
_WEIGHTS = {"value": 4, "list": 4, "object": 0, "word": 0, "quote": 2, "name": 2}
_NUMERIC_WEIGHT = 4
_NATURAL_WEIGHT = 3
_REPEATED_WEIGHT = -3
_SHORT = 6


class Reader:
    """Finds facts in the sentences of one document, which must come in order."""

    def __init__(self, *, topic: Topic, writing: Writing, lexicon: Lexicon) -> None:
        self._topic = topic
        self._writing = writing
        self._lexicon = lexicon
        self._referent = topic.in_text
        self._seen: set[str] = set()

    def read(self, index: int, sentence: str, tokens: list[Token]) -> Iterator[Fact]:
        """Facts that a sentence may give, the most telling first; they may overlap.

        Args:
            index: of the sentence.
            sentence: without notes.
            tokens: its words.
        """
        if self._writing == "unspaced":
            for span in unspaced_spans(sentence):
                yield self._gapped(index, sentence, span)
            return
        spans = self._spans(sentence, tokens)
        facts = self._natural(index, sentence, tokens, spans) if self._writing == "english" else []
        settled = {(fact.span.start, fact.span.end) for fact in facts}
        left = [span for span in spans if (span.start, span.end) not in settled and not self._is_told(span)]
        facts += [self._gapped(index, sentence, span) for span in left]
        self._seen.update(span.text for span in spans)
        yield from sorted(facts, key=lambda fact: (-fact.weight, fact.span.start))
        for span in rare_words(sentence, tokens, self._lexicon):
            yield self._gapped(index, sentence, span)

    def _spans(self, sentence: str, tokens: list[Token]) -> list[Span]:
        """Numbers, quotations and names that do not overlap, in order."""
        spans = numeric_spans(sentence, tokens)
        for span in [*quote_spans(sentence), *name_spans(sentence, tokens, self._lexicon)]:
            if not any(span.start < other.end and other.start < span.end for other in spans):
                spans.append(span)
        return sorted(spans, key=lambda span: span.start)

    def _is_told(self, span: Span) -> bool:
        """Whether the topic already tells what the span says."""
        topic = self._topic.name
        return span.kind == "name" and bool(topic) and (span.text in topic or topic in span.text)

    def _gapped(self, index: int, sentence: str, span: Span) -> Fact:
        questions = clozes(sentence, span, topic=self._topic, writing=self._writing)
        return Fact(index, span, tuple(questions), natural=False, weight=self._weight(span))

    def _weight(self, span: Span) -> int:
        weight = _WEIGHTS.get(span.kind, _NUMERIC_WEIGHT)
        return weight + (_REPEATED_WEIGHT if span.text in self._seen else 0)

    def _natural(self, index: int, sentence: str, tokens: list[Token], spans: list[Span]) -> list[Fact]:
        plain = Plain.of(sentence)
        if plain.removed:
            tokens = tokens_of(plain.text)
        if not tokens:
            return []
        referent = self._stands_for(tokens[0][2])
        inner = [shifted for span in spans if (shifted := plain.inward(span))]
        starts = frozenset(span.start for span in inner if span.kind == "name")
        clause = parse_clause(plain.text, tokens, names=starts, referent=referent, topic=self._topic)
        inner = [span for span in inner if not self._is_told(span)]
        asked = [(plain.outward(span), q) for span, q in ask_patterns(plain.text, clause, inner, self._topic)]
        if index == 0:
            asked += ask_lives(sentence, spans, self._topic)
        asked += [(plain.outward(span), ask(plain.text, span, clause)) for span in inner]
        self._referent = self._next_referent(plain.text, tokens[0][2].lower(), clause)
        facts: dict[tuple[int, int], Fact] = {}
        for span, question in asked:
            proper = clause.subject[0].isupper() if clause else 0 in starts
            placed = " ".join(self._placed(question, clause, proper=proper).split()) if question else ""
            if placed and (span.start, span.end) not in facts:
                questions = (placed, *clozes(sentence, span, topic=self._topic, writing="english"))
                weight = self._weight(span) + _NATURAL_WEIGHT
                facts[span.start, span.end] = Fact(index, span, questions, natural=True, weight=weight)
        return list(facts.values())

    def _stands_for(self, first: str) -> str:
        """What a pronoun at the beginning of a sentence stands for."""
        if self._referent == self._topic.in_text and self._topic.name:
            personal = first in ("He", "She", "His", "Her")
            if first in ("It", "Its", "They", "Their") and self._topic.person:
                return ""
            if first == "They" and not self._topic.several:
                return ""
            if personal and not self._topic.person:
                return ""
        return self._referent

    def _next_referent(self, sentence: str, first: str, clause: Clause | None) -> str:
        topic = self._topic
        if topic.name and (sentence.startswith(topic.name) or (clause and clause.subject == topic.in_text)):
            return topic.in_text
        if first in PRONOUNS or first in POSSESSIVES or first in ("the", "in", "this") or _OWN.search(sentence):
            return self._referent
        if clause and not clause.lead and clause.subject[:1].isupper() and len(clause.subject.split()) < 5:
            return clause.subject
        return ""

    def _placed(self, question: str, clause: Clause | None, *, proper: bool) -> str:
        """The question, with the topic's name where it would not be understood alone; nothing where it has none."""
        topic = self._topic
        if topic.name and (topic.name in question or topic.in_text in question):
            return question
        short = question.count(" ") < _SHORT
        unclear = short or bool(_PRONOUN.search(question)) or (clause is not None and not clause.known)
        if not unclear and _NAMED.search(question):
            return question
        if not topic.name:
            return "" if _PRONOUN.search(question) else question
        first = question.split(" ", 1)[0].lower()
        small = first in FUNCTION_WORDS or (not proper and question[1:2].islower())
        asked = question[0].lower() + question[1:] if small else question
        return f"In the text on {topic.in_text}, {asked}"
