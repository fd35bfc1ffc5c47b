"""The paraphrases: how many passed, why the others did not, and how long they are beside their documents."""

from __future__ import annotations

from dataclasses import dataclass

from clara_lightning.synthesis.outcome import Outcome
from clara_lightning.synthesis.report.counting import Numbers, Share, Spread, share
from clara_lightning.synthesis.report.sampling import PhraseCounter, Phrases, stable_number
from clara_lightning.synthesis.report.text import num_words, shortened


@dataclass(frozen=True)
class ParaphraseFigures:
    """The paraphrases.

    Attributes:
        kept: those that passed, of the documents that one was written for.
        faults: what was wrong with the last ones of the other documents, each by its words before the first colon.
        length: words of a kept paraphrase in percent of its document's.
    """

    kept: Share
    faults: Phrases
    length: Spread


class ParaphraseTally:
    """Counts paraphrases."""

    def __init__(self) -> None:
        self._kept = 0
        self._failed = 0
        self._faults = PhraseCounter()
        self._length = Numbers()

    def add(self, outcome: Outcome) -> None:
        """Take one more document."""
        if outcome.paraphrase is not None:
            self._kept += 1
            words = num_words(outcome.document)
            if words:
                self._length.add((200 * num_words(outcome.paraphrase) + words) // (2 * words))  # rounded half up
        elif outcome.paraphrase_faults:
            self._failed += 1
            for fault in outcome.paraphrase_faults:
                number = stable_number(outcome.key, outcome.id, fault)
                self._faults.add(shortened(fault.partition(":")[0]), example=shortened(fault), number=number)

    def result(self) -> ParaphraseFigures:
        """The figures."""
        return ParaphraseFigures(
            kept=share(self._kept, self._kept + self._failed),
            faults=self._faults.result(),
            length=self._length.result(),
        )
