"""Reads a document sentence after sentence: what "it" stands for depends on the sentences before."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clara_lightning.synthesis.teachers.from_rules.brackets import Plain
from clara_lightning.synthesis.teachers.from_rules.clauses import Clause, parse_clause
from clara_lightning.synthesis.teachers.from_rules.cloze import GAP, clozes
from clara_lightning.synthesis.teachers.from_rules.fact import Fact
from clara_lightning.synthesis.teachers.from_rules.lexicon import Lexicon, rare_words
from clara_lightning.synthesis.teachers.from_rules.listed_names import join_names
from clara_lightning.synthesis.teachers.from_rules.names import name_spans
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
_SHORTEST_LEFT = 4
"""Letters of a word that is asked for where a sentence has nothing better."""
_LONGEST_READ = 1_500
"""Characters; what is longer is no sentence, and each of its spans would be sought through all of it."""


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
        if GAP in sentence:
            return  # its own gap and ours could not be told apart
        if self._writing == "unspaced":
            for span in unspaced_spans(sentence):
                yield self._fact(index, sentence, span, "", self._weight(span, ""))
            return
        spans = self._spans(sentence, tokens)
        ordinary = self._writing == "english" and len(sentence) <= _LONGEST_READ
        asked = self._natural(index, sentence, tokens, spans) if ordinary else {}
        settled = {(span.start, span.end) for span in asked}
        left = (span for span in spans if (span.start, span.end) not in settled and not self._is_told(span))
        found = asked | dict.fromkeys(left, "")
        ranked = sorted(found.items(), key=lambda item: (-self._weight(*item), item[0].start))
        weights = [self._weight(*item) for item in ranked]
        self._seen.update(span.text for span in spans)
        for (span, question), weight in zip(ranked, weights, strict=True):
            yield self._fact(index, sentence, span, question, weight)
        rare = rare_words(sentence, tokens, self._lexicon)
        if not ranked and not rare:
            rare = rare_words(sentence, tokens, self._lexicon, shortest=_SHORTEST_LEFT)
        for span in rare:
            yield self._fact(index, sentence, span, "", 0)

    def _spans(self, sentence: str, tokens: list[Token]) -> list[Span]:
        """Numbers, quotations and names that do not overlap, in order."""
        names = join_names(sentence, name_spans(sentence, tokens, self._lexicon))
        occupied = bytearray(len(sentence))
        spans = []
        for span in [*numeric_spans(sentence, tokens), *quote_spans(sentence), *names]:
            if not any(occupied[span.start : span.end]):
                occupied[span.start : span.end] = b"\1" * (span.end - span.start)
                spans.append(span)
        return sorted(spans, key=lambda span: span.start)

    def _is_told(self, span: Span) -> bool:
        """Whether the topic already tells what the span says."""
        topic = self._topic.name
        return span.kind == "name" and bool(topic) and (span.text in topic or topic in span.text)

    def _fact(self, index: int, sentence: str, span: Span, question: str, weight: int) -> Fact:
        gapped = clozes(sentence, span, topic=self._topic, writing=self._writing)
        questions = (question, *gapped) if question else tuple(gapped)
        return Fact(index, span, questions, natural=bool(question), weight=weight)

    def _weight(self, span: Span, question: str) -> int:
        weight = _WEIGHTS.get(span.kind, _NUMERIC_WEIGHT) + (_NATURAL_WEIGHT if question else 0)
        return weight + (_REPEATED_WEIGHT if span.text in self._seen else 0)

    def _natural(self, index: int, sentence: str, tokens: list[Token], spans: list[Span]) -> dict[Span, str]:
        """Spans that an ordinary question is found for, with it."""
        plain = Plain.of(sentence)
        if plain.removed:
            tokens = tokens_of(plain.text)
        if not tokens:
            return {}
        referent = self._stands_for(tokens[0][2])
        inner = [shifted for span in spans if (shifted := plain.inward(span))]
        starts = frozenset(span.start for span in inner if span.kind == "name")
        clause = parse_clause(plain.text, tokens, names=starts, referent=referent, topic=self._topic)
        inner = [span for span in inner if not self._is_told(span)]
        asked = [(plain.outward(span), q) for span, q in ask_patterns(plain.text, clause, inner, self._topic)]
        if index == 0:
            asked += ask_lives(sentence, spans, self._topic)
        asked += [(plain.outward(span), ask(plain.text, span, clause, people=self._topic.people)) for span in inner]
        self._referent = self._next_referent(plain.text, tokens[0][2].lower(), clause)
        proper = clause.subject[0].isupper() if clause else 0 in starts
        found: dict[tuple[int, int], tuple[Span, str]] = {}
        for span, question in asked:
            whole = sentence[span.start : span.end] == span.text  # no bracket was inside
            placed = " ".join(self._placed(question, clause, proper=proper).split()) if question and whole else ""
            if placed:
                found.setdefault((span.start, span.end), (span, placed))
        return dict(found.values())

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
        named = clause is not None and clause.subject[:1].isupper()
        if topic.name and topic.name in sentence and not named:
            return topic.in_text
        if clause and named and not clause.lead and len(clause.subject.split()) < 5:
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
