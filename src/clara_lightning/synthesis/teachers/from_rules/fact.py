"""A fact: a span of a sentence and the questions that ask for it."""

from __future__ import annotations

from dataclasses import dataclass

from clara_lightning.synthesis.teachers.from_rules.spans import Span


@dataclass(frozen=True)
class Fact:
    """Something that a document says.

    Attributes:
        sentence: index of the sentence that says it.
        span: what is asked for; its text is the answer.
        questions: ways to ask for it, the preferred one first.
        natural: whether that is an ordinary question, without a gap.
        weight: how much it tells, to choose by.
    """

    sentence: int
    span: Span
    questions: tuple[str, ...]
    natural: bool
    weight: int

    @property
    def question(self) -> str:
        """The preferred question."""
        return self.questions[0]

    @property
    def answer(self) -> str:
        """What the document says."""
        return self.span.text

    @property
    def label(self) -> str:
        """The fact as one line."""
        return f"{self.question} {self.answer}"


def holds(question: str, answer: str) -> bool:
    """Whether the answer stands in its question, capitals aside."""
    return answer.casefold() in question.casefold()
