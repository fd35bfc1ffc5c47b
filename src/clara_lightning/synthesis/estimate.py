"""What a run will take, before it is begun: requests, tokens, cost and time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from clara_lightning.data.records import Document
from clara_lightning.synthesis.outcome import Outcome
from clara_lightning.synthesis.pipeline import PipelineSettings
from clara_lightning.synthesis.progress import Price, duration
from clara_lightning.synthesis.prompts import Prompts
from clara_lightning.synthesis.tasks import Request, TaskName
from clara_lightning.synthesis.teacher import NO_USAGE, Usage

SAMPLE = 50
"""Documents that an estimate looks at."""
MIN_MEASURED = 10
"""From so many finished documents on, the estimate is what they took and no assumption."""
CHARACTERS_PER_TOKEN = 4.0

# What a document takes where nothing is measured: the paper's counts of pairs, and two rounds.
ROUNDS = 2
SIMPLE, COMPLEX = 8, 5
_QUESTION = "In which year was the bridge over the river opened?"
_PAIR = {"question": _QUESTION, "answer": "in the spring of 1936"}
_WRITTEN: dict[TaskName, int] = {
    "simple_questions": 15 * SIMPLE,
    "answer": 18,
    "validate": 20 * SIMPLE,
    "coverage": 16 * SIMPLE,
    "complex_questions": 60 * COMPLEX,
    "paraphrase": 0,  # as long as the document
    "validate_paraphrase": 20,
}


@dataclass(frozen=True)
class Estimate:
    """What the documents that are left will take.

    Attributes:
        documents: how many they are.
        usage: requests and tokens.
        cost: of the tokens, where they have a price.
        seconds: how long it takes; ``None`` where no rate is known.
        basis: what it rests on, in words.
    """

    documents: int
    usage: Usage
    cost: float
    seconds: float | None
    basis: str

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """All of it in words."""
        usage = self.usage
        lines = [f"{self.documents:,} documents to work on"]
        if usage.requests:
            lines.append(
                f"{usage.requests:,} requests, {usage.prompt_tokens:,} tokens read, "
                f"{usage.completion_tokens:,} tokens written"
            )
        lines.append(f"cost {self.cost:,.2f}" if self.cost else "no cost, or no price given (--price-in, --price-out)")
        lines.append(f"time {duration(self.seconds)}" if self.seconds is not None else "time unknown before it runs")
        return [*lines, f"from {self.basis}"]


def measured(outcomes: Sequence[Outcome], *, documents: int, price: Price, seconds: float | None = None) -> Estimate:
    """An estimate from documents that are finished.

    Args:
        outcomes: some of them, at least one.
        documents: how many are left.
        price: of tokens.
        seconds: how long the outcomes took together, if that is known.
    """
    share = documents / len(outcomes)
    usage = _scaled(_sum(outcome.usage for outcome in outcomes), share)
    basis = f"{len(outcomes):,} documents that are finished"
    return Estimate(documents, usage, price.of(usage), None if seconds is None else seconds * share, basis)


def assumed_free(*, documents: int) -> Estimate:
    """Of a teacher that takes no tokens."""
    return Estimate(documents, NO_USAGE, 0.0, None, "a teacher that takes no requests")


def assumed(
    sample: Sequence[Document], prompts: Prompts, settings: PipelineSettings, *, documents: int, price: Price
) -> Estimate:
    """An estimate from the prompts of a sample of documents, and from the paper's counts of questions.

    Args:
        sample: some of the documents.
        prompts: the templates.
        settings: what is made of a document.
        documents: how many are left.
        price: of tokens.
    """
    used = _sum(_of_document(document, prompts, settings) for document in sample)
    usage = _scaled(used, documents / len(sample)) if sample else NO_USAGE
    basis = (
        f"the prompts of {len(sample)} documents at {CHARACTERS_PER_TOKEN:g} characters a token, {ROUNDS} rounds, "
        f"{SIMPLE} simple and {COMPLEX} complex questions a document"
    )
    return Estimate(documents, usage, price.of(usage), None, basis)


def _of_document(document: Document, prompts: Prompts, settings: PipelineSettings) -> Usage:
    """What one document takes, by the lengths of its prompts."""
    tokens = round(len(document.content) / CHARACTERS_PER_TOKEN)
    pairs, rounds = [_PAIR] * SIMPLE, min(ROUNDS, settings.max_rounds)
    wanted: list[tuple[TaskName, dict[str, Any], int]] = [
        ("simple_questions", {"missing": [], "asked": []}, rounds),
        ("answer", {"question": _QUESTION}, SIMPLE),
        ("validate", {"pairs": pairs[: SIMPLE // rounds]}, rounds),
        ("coverage", {"pairs": pairs}, rounds),
    ]
    if settings.complex:
        wanted += [
            ("complex_questions", {"pairs": pairs}, 1),
            ("answer", {"question": _QUESTION}, COMPLEX),
            ("validate", {"pairs": pairs[:COMPLEX]}, 1),
        ]
    if settings.paraphrase:
        wanted += [
            ("paraphrase", {"faults": []}, 1),
            ("validate_paraphrase", {"paraphrase": document.content}, 1),
        ]
    usage = NO_USAGE
    for task, fields, times in wanted:
        messages = prompts.messages(Request(task, document, fields))
        read = round(sum(len(message["content"]) for message in messages) / CHARACTERS_PER_TOKEN)
        written = tokens if task == "paraphrase" else _WRITTEN[task]
        usage += Usage(times, times * read, times * written)
    return usage


def _sum(usages: Iterable[Usage]) -> Usage:
    return sum(usages, NO_USAGE)


def _scaled(usage: Usage, by: float) -> Usage:
    return Usage(*(round(value * by) for value in vars(usage).values()))
