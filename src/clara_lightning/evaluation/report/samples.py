"""Questions whose answers tell the conditions apart, for a person to read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from clara_lightning.evaluation.report.tables import MISSING, Rows, condition_label
from clara_lightning.evaluation.results import Prediction, Results

MOST = 20
LONGEST = 300  # characters of a text; the whole is in predictions.jsonl


class Sample(NamedTuple):
    """One question, what is known of it, and a table of its answers under every condition."""

    question: str
    facts: str
    rows: Rows


def samples(results: Results, predictions: Sequence[Prediction]) -> list[Sample]:
    """The questions that :func:`most_different` chooses, as people see them."""
    made = []
    for answered in most_different(predictions):
        first = answered[0]
        rows = [["condition", "answer", "F1", "gold documents"]]
        for one in answered:
            answer = shortened(one.prediction) or "(nothing)"
            rows.append([condition_label(results, one.condition), answer, f"{one.f1:.2f}", _gold(one)])
        facts = f"Right: {shortened(' / '.join(first.answers))}. Question {first.id}."
        made.append(Sample(shortened(first.question), facts, rows))
    return made


def most_different(predictions: Sequence[Prediction], *, most: int = MOST) -> list[list[Prediction]]:
    """The predictions of the questions whose F1 differs most between the conditions, the most different first.

    A question's difference is the sum of :math:`|F_1 - F_1'|` over all pairs of its conditions; equal ones stay in the
    order of the data.

    Args:
        predictions: of all questions under all conditions.
        most: how many questions at most.
    """
    by_question: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        by_question.setdefault(prediction.id, []).append(prediction)
    return sorted(by_question.values(), key=_difference, reverse=True)[:most]


def shortened(text: str) -> str:
    """Text on one line, cut to what a person reads at a glance.

    Example:
        >>> shortened("two\\nlines")
        'two lines'
    """
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."


def _difference(predictions: Sequence[Prediction]) -> float:
    return sum(abs(one.f1 - other.f1) for one, other in combinations(predictions, 2))


def _gold(prediction: Prediction) -> str:
    """How many of the gold documents the answer was read from."""
    if not prediction.documents:
        return MISSING
    return f"{len(prediction.gold_found)} of {len(set(prediction.gold))}"
