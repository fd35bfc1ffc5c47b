"""The questions: of which types, where their answers were found, which were dropped, how they begin, which repeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from clara_lightning.synthesis.outcome import Dropped, Outcome, Pair
from clara_lightning.synthesis.report.counting import Mean, Share, mean, share
from clara_lightning.synthesis.report.sampling import PhraseCounter, Phrases, Repeats, Smallest, stable_number
from clara_lightning.synthesis.report.text import normalised, opening, shortened
from clara_lightning.synthesis.tasks import ComplexType

TYPES = ("simple", *get_args(ComplexType))
PUBLISHED: Mapping[str, float] = {"simple": 7.8, "complex": 4.6}
"""Pairs a document of the published data (CLaRa paper, section 3.1)."""
EXAMPLES = 5


@dataclass(frozen=True)
class TypeFigures:
    """One type of question.

    Attributes:
        count: pairs of accepted documents.
        each: pairs an accepted document.
        share: of all pairs of accepted documents.
        found: where the answers of kept pairs were found, in every document: ``exact`` letter by letter, ``teacher`` by
            the teacher's verdict; and how many questions were ``dropped``.
    """

    count: int
    each: Mean
    share: float | None
    found: Mapping[str, int]


@dataclass(frozen=True)
class DroppedExample:
    """A dropped question, shortened, with the id of its document."""

    document: str
    question: str
    answer: str
    type: str
    detail: str


@dataclass(frozen=True)
class DroppedFigures:
    """Questions dropped for one reason: how many, which share of all dropped ones, and examples."""

    count: int
    share: float | None
    examples: tuple[DroppedExample, ...]


@dataclass(frozen=True)
class Repeated:
    """Questions that several documents have, by their words alone.

    Attributes:
        questions: such questions, of the questions that were compared.
        looked_at: share of the questions that were compared: 1 up to half a million distinct ones.
        top: those of the most documents, with how many.
    """

    questions: Share
    looked_at: float
    top: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class QuestionFigures:
    """The questions.

    Attributes:
        types: every type.
        simple: simple pairs an accepted document.
        complex: complex pairs an accepted document.
        published: the same of published data.
        dropped: of all questions of all documents, so many were dropped.
        reasons: why, the most frequent first.
        openings: first words of the questions of accepted documents.
        repeated: questions of accepted documents that other ones have too.
    """

    types: Mapping[str, TypeFigures]
    simple: Mean
    complex: Mean
    published: Mapping[str, float]
    dropped: Share
    reasons: Mapping[str, DroppedFigures]
    openings: Phrases
    repeated: Repeated


class QuestionTally:
    """Counts questions."""

    def __init__(self) -> None:
        self._accepted = 0
        self._types: Counter[str] = Counter()
        self._found: Counter[tuple[str, str]] = Counter()
        self._reasons: Counter[str] = Counter()
        self._examples: dict[str, Smallest[tuple[str, ...]]] = {}
        self._openings = PhraseCounter()
        self._repeats = Repeats()

    def add(self, outcome: Outcome) -> None:
        """Take one more document."""
        for pair in outcome.pairs:
            self._found[pair.type, pair.found] += 1
        for dropped in outcome.dropped:
            self._found[dropped.type, "dropped"] += 1
            self._reasons[dropped.reason] += 1
            self._keep_example(outcome, dropped)
        if outcome.reason is None:
            self._accepted += 1
            self._add_accepted(outcome)

    def result(self) -> QuestionFigures:
        """The figures."""
        simple, total = self._types["simple"], self._types.total()
        counted = self._repeats.counted
        return QuestionFigures(
            types={name: self._type(name) for name in TYPES},
            simple=mean(simple, self._accepted),
            complex=mean(total - simple, self._accepted),
            published=PUBLISHED,
            dropped=share(self._reasons.total(), self._found.total()),
            reasons=dict(self._dropped()),
            openings=self._openings.result(examples=1),
            repeated=Repeated(counted, self._repeats.looked_at, tuple(self._repeats.top())),
        )

    def _add_accepted(self, outcome: Outcome) -> None:
        self._types.update(pair.type for pair in outcome.pairs)
        for pair in outcome.pairs:
            example, number = shortened(pair.question), _number(outcome, pair)
            self._openings.add(opening(pair.question), example=example, number=number)
        for question in {normalised(pair.question) for pair in outcome.pairs}:
            self._repeats.add(question)

    def _keep_example(self, outcome: Outcome, dropped: Dropped) -> None:
        smallest = self._examples.setdefault(dropped.reason, Smallest(EXAMPLES))
        number = _number(outcome, dropped)
        if smallest.wants(number):
            texts = (outcome.id, dropped.question, dropped.answer, dropped.type, dropped.detail)
            smallest.add(number, tuple(shortened(text) for text in texts))

    def _type(self, name: str) -> TypeFigures:
        return TypeFigures(
            count=self._types[name],
            each=mean(self._types[name], self._accepted),
            share=share(self._types[name], self._types.total()).share,
            found={found: self._found[name, found] for found in ("exact", "teacher", "dropped")},
        )

    def _dropped(self) -> Iterator[tuple[str, DroppedFigures]]:
        total = self._reasons.total()
        for reason, count in sorted(self._reasons.items(), key=lambda item: (-item[1], item[0])):
            examples = tuple(DroppedExample(*texts) for texts in self._examples[reason].result())
            yield reason, DroppedFigures(count, count / total, examples)


def _number(outcome: Outcome, question: Pair | Dropped) -> int:
    return stable_number(outcome.key, outcome.id, question.question, question.answer, str(question.round))
