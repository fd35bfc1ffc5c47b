"""How much of the documents is asked about: round by round, and in the end."""

from __future__ import annotations

from dataclasses import dataclass

from clara_lightning.synthesis.outcome import Outcome
from clara_lightning.synthesis.report.counting import Average, Mean, mean

BINS = 10


@dataclass(frozen=True)
class RoundFigures:
    """One round of simple questions.

    Attributes:
        round: its number, from 1.
        documents: how many had it.
        coverage: after it, of these documents.
        asked: questions in it.
        kept: questions that passed every check.
    """

    round: int
    documents: int
    coverage: Mean
    asked: int
    kept: int


@dataclass(frozen=True)
class Levels:
    """How a share from 0 to 1 is spread over documents: its mean, and how many are in each tenth (1 in the last)."""

    mean: Mean
    tenths: tuple[int, ...]


@dataclass(frozen=True)
class CoverageFigures:
    """What is asked about.

    Attributes:
        rounds: every round that a document had.
        rounds_each: rounds of an accepted document.
        accepted: coverage of accepted documents after their last round, by the teacher's count of facts.
        rejected: the same of rejected ones; those without a round are in neither.
        accepted_words: share of the content words of accepted documents that stand in a kept pair.
        rejected_words: the same of rejected ones that had a round.
    """

    rounds: tuple[RoundFigures, ...]
    rounds_each: Mean
    accepted: Levels
    rejected: Levels
    accepted_words: Levels
    rejected_words: Levels


class LevelsTally:
    """Counts shares from 0 to 1."""

    def __init__(self) -> None:
        self._mean = Average()
        self._tenths = [0] * BINS

    def add(self, value: float) -> None:
        """Take one more share."""
        self._mean.add(value)
        self._tenths[min(int(value * BINS), BINS - 1)] += 1

    def result(self) -> Levels:
        """How they are spread."""
        return Levels(self._mean.result(), tuple(self._tenths))


class RoundTally:
    """Counts one round of many documents."""

    def __init__(self) -> None:
        self.coverage = Average()
        self.asked = 0
        self.kept = 0


class CoverageTally:
    """Counts what is asked about."""

    def __init__(self) -> None:
        self._rounds: list[RoundTally] = []
        self._accepted = 0
        self._accepted_rounds = 0
        self._levels = {accepted: (LevelsTally(), LevelsTally()) for accepted in (True, False)}

    def add(self, outcome: Outcome) -> None:
        """Take one more document."""
        accepted = outcome.reason is None
        if accepted:
            self._accepted += 1
            self._accepted_rounds += len(outcome.rounds)
        if not outcome.rounds:
            return
        while len(self._rounds) < len(outcome.rounds):
            self._rounds.append(RoundTally())
        for tally, one in zip(self._rounds, outcome.rounds, strict=False):
            tally.coverage.add(one.coverage)
            tally.asked += one.asked
            tally.kept += one.kept
        facts, words = self._levels[accepted]
        facts.add(outcome.coverage)
        words.add(outcome.word_coverage)

    def result(self) -> CoverageFigures:
        """The figures."""
        rounds = []
        for number, tally in enumerate(self._rounds, start=1):
            coverage = tally.coverage.result()
            rounds.append(RoundFigures(number, coverage.count, coverage, tally.asked, tally.kept))
        (accepted, accepted_words), (rejected, rejected_words) = self._levels[True], self._levels[False]
        return CoverageFigures(
            rounds=tuple(rounds),
            rounds_each=mean(self._accepted_rounds, self._accepted),
            accepted=accepted.result(),
            rejected=rejected.result(),
            accepted_words=accepted_words.result(),
            rejected_words=rejected_words.result(),
        )
