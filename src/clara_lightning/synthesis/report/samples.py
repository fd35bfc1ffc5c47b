"""Documents for a person to read: some that gave supervision, and some of every reason that gave none."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import NamedTuple

from clara_lightning.synthesis.outcome import Dropped, Found, Outcome, Pair
from clara_lightning.synthesis.report.figures import REASONS
from clara_lightning.synthesis.report.sampling import Smallest, stable_number
from clara_lightning.synthesis.report.sections import Row, Table
from clara_lightning.synthesis.report.text import counted, percent, shortened
from clara_lightning.synthesis.report.words import REASON_WORDS

SAMPLES = 12
LONGEST = 6000  # characters of a text on the page
MOST = 40  # questions of a document on the page
FOUND: dict[Found, str] = {"exact": "✓ word for word", "teacher": "~ teacher's verdict"}


class Cut(NamedTuple):
    """A text for the page, in pieces that are an answer or not, and how many characters are left out."""

    pieces: list[tuple[str, bool]]
    left_out: int


class Sample(NamedTuple):
    """A document as people see it.

    Attributes:
        title: its first line.
        facts: its id and what came of it.
        document: its text, the answers that stand in it letter by letter apart.
        pairs: what was kept.
        dropped: what was not.
        notes: how many rows are not shown.
        paraphrase: the paraphrase; empty pieces without one.
        faults: what was wrong with it.
    """

    title: str
    facts: str
    document: Cut
    pairs: Table
    dropped: Table
    notes: list[str]
    paraphrase: Cut
    faults: Sequence[str]


class Samples:
    """Chooses by the smallest hashes: the same outcomes in any order give the same samples.

    Args:
        limit: so many accepted and so many rejected documents.
    """

    def __init__(self, limit: int = SAMPLES) -> None:
        self._limit = limit
        self._kept: dict[str | None, Smallest[tuple[str, ...]]] = {
            reason: Smallest(limit) for reason in (None, *REASONS)
        }

    def add(self, outcome: Outcome) -> None:
        """Offer one more document."""
        number = stable_number(outcome.key, outcome.id)
        if self._kept[outcome.reason].wants(number):
            self._kept[outcome.reason].add(number, (json.dumps(outcome.to_json(), sort_keys=True),))

    @property
    def accepted(self) -> list[Outcome]:
        """Accepted documents."""
        return self._outcomes(None)

    @property
    def rejected(self) -> list[Outcome]:
        """Rejected documents, one of every reason in turn, as long as there are any."""
        turns = zip_longest(*(self._outcomes(reason) for reason in REASONS))
        return [outcome for outcome in chain.from_iterable(turns) if outcome is not None][: self._limit]

    def _outcomes(self, reason: str | None) -> list[Outcome]:
        return [Outcome.from_json(json.loads(row)) for (row,) in self._kept[reason].result()]


def sample(outcome: Outcome) -> Sample:
    """An outcome as people see it."""
    exact = [pair.answer for pair in outcome.pairs if pair.found == "exact"]
    notes = [
        f"Not shown: {counted(len(rows) - MOST, what)} more."
        for what, rows in (("pair", outcome.pairs), ("dropped question", outcome.dropped))
        if len(rows) > MOST
    ]
    return Sample(
        title=shortened(outcome.document.strip().partition("\n")[0], longest=90) or outcome.id,
        facts=_facts(outcome),
        document=cut(outcome.document, exact),
        pairs=_table("found", [_pair(pair) for pair in outcome.pairs]),
        dropped=_table("why", [_dropped(one) for one in outcome.dropped]),
        notes=notes,
        paraphrase=cut(outcome.paraphrase or "", []),
        faults=outcome.paraphrase_faults,
    )


def cut(text: str, answers: Sequence[str]) -> Cut:
    """The text as the page shows it, every answer marked where it first stands.

    Args:
        text: the text.
        answers: what is marked, case aside.

    Example:
        >>> cut("Kenya lies in Africa.", ["africa"]).pieces
        [('Kenya lies in ', False), ('Africa', True), ('.', False)]
    """
    head = text[:LONGEST]
    pieces, end = [], 0
    for start, stop in sorted(_places(head, answers)):
        if stop > end:
            pieces += [(head[end:start], False)] if start > end else []
            pieces.append((head[max(start, end) : stop], True))
            end = stop
    pieces += [(head[end:], False)] if end < len(head) else []
    return Cut(pieces, len(text) - len(head))


def _places(text: str, answers: Sequence[str]) -> list[tuple[int, int]]:
    found = [re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", text, re.IGNORECASE) for answer in answers if answer]
    return [match.span() for match in found if match]


def _facts(outcome: Outcome) -> str:
    why = f"Rejected: {REASON_WORDS[outcome.reason]}. " if outcome.reason else ""
    detail = f"{shortened(outcome.detail).rstrip('.')}. " if outcome.detail else ""
    rounds = ", ".join(percent(one.coverage) for one in outcome.rounds)
    words = percent(outcome.word_coverage)
    coverage = f"Coverage after each round: {rounds}; of content words: {words}. " if rounds else ""
    tokens = outcome.usage.prompt_tokens + outcome.usage.completion_tokens
    took = f"{outcome.usage.requests} requests, {tokens:,} tokens. " if outcome.usage.requests else ""
    return f"{why}{detail}{coverage}{took}Id: {outcome.id}"


def _table(about: str, rows: Sequence[Row]) -> Table:
    return Table("", ["question", "answer", "type", about, "round"], rows[:MOST], text=True)


def _pair(pair: Pair) -> Row:
    return Row([pair.question, pair.answer, pair.type, FOUND[pair.found], _round(pair)])


def _dropped(one: Dropped) -> Row:
    reason = f"{one.reason}: {one.detail}" if one.detail else one.reason
    return Row([one.question, one.answer or "-", one.type, reason, _round(one)])


def _round(question: Pair | Dropped) -> str:
    return str(question.round) if question.type == "simple" else "-"
