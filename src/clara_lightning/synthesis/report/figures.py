"""The figures of a synthesis, counted document by document: in any order, and in memory that does not grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from clara_lightning.synthesis.outcome import Outcome, Reason
from clara_lightning.synthesis.report.counting import Mean, Numbers, Share, Spread, mean, share
from clara_lightning.synthesis.report.coverage import CoverageFigures, CoverageTally
from clara_lightning.synthesis.report.paraphrases import ParaphraseFigures, ParaphraseTally
from clara_lightning.synthesis.report.questions import QuestionFigures, QuestionTally
from clara_lightning.synthesis.report.text import num_words
from clara_lightning.synthesis.teacher import NO_USAGE, Usage

REASONS: tuple[str, ...] = get_args(Reason)
LENGTHS = ("question", "answer", "document", "rejected document", "paraphrase")


@dataclass(frozen=True)
class UsageFigures:
    """What the teacher took.

    Attributes:
        total: for all documents.
        requests: for each accepted document; what rejected ones took is in it.
        tokens: read and written for each accepted document, likewise.
        rejected: tokens that rejected documents took, of all tokens.
    """

    total: Usage
    requests: Mean
    tokens: Mean
    rejected: Share


@dataclass(frozen=True)
class Figures:
    """All figures of a synthesis.

    Attributes:
        documents: how many.
        accepted: those with supervision.
        rejected: the others by reason.
        coverage: what of them is asked about.
        questions: types, answers, dropped ones, wording.
        lengths: in words between spaces: ``question``, ``answer``, ``document`` and ``paraphrase`` of accepted
            documents, and ``rejected document``.
        paraphrases: kept, failed, length.
        usage: what the teacher took.
    """

    documents: int
    accepted: Share
    rejected: Mapping[str, Share]
    coverage: CoverageFigures
    questions: QuestionFigures
    lengths: Mapping[str, Spread]
    paraphrases: ParaphraseFigures
    usage: UsageFigures

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)


class Tally:
    """Counts outcomes. The same outcomes in any order give the same figures."""

    def __init__(self) -> None:
        self._documents = 0
        self._rejected: Counter[str] = Counter()
        self._usage = NO_USAGE
        self._rejected_usage = NO_USAGE
        self._lengths = {name: Numbers() for name in LENGTHS}
        self._coverage = CoverageTally()
        self._questions = QuestionTally()
        self._paraphrases = ParaphraseTally()

    def add(self, outcome: Outcome) -> None:
        """Take one more document."""
        self._documents += 1
        self._usage += outcome.usage
        if outcome.reason is None:
            self._add_lengths(outcome)
        else:
            self._rejected[outcome.reason] += 1
            self._rejected_usage += outcome.usage
            self._lengths["rejected document"].add(num_words(outcome.document))
        self._coverage.add(outcome)
        self._questions.add(outcome)
        self._paraphrases.add(outcome)

    def result(self) -> Figures:
        """The figures of all documents so far."""
        accepted = self._documents - self._rejected.total()
        tokens = _tokens(self._usage)
        return Figures(
            documents=self._documents,
            accepted=share(accepted, self._documents),
            rejected={reason: share(self._rejected[reason], self._documents) for reason in REASONS},
            coverage=self._coverage.result(),
            questions=self._questions.result(),
            lengths={name: numbers.result() for name, numbers in self._lengths.items()},
            paraphrases=self._paraphrases.result(),
            usage=UsageFigures(
                total=self._usage,
                requests=mean(self._usage.requests, accepted),
                tokens=mean(tokens, accepted),
                rejected=share(_tokens(self._rejected_usage), tokens),
            ),
        )

    def _add_lengths(self, outcome: Outcome) -> None:
        self._lengths["document"].add(num_words(outcome.document))
        if outcome.paraphrase is not None:
            self._lengths["paraphrase"].add(num_words(outcome.paraphrase))
        for pair in outcome.pairs:
            self._lengths["question"].add(num_words(pair.question))
            self._lengths["answer"].add(num_words(pair.answer))


def _tokens(usage: Usage) -> int:
    return usage.prompt_tokens + usage.completion_tokens
