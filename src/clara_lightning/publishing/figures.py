"""The figures of a model card, from the rows of ``metrics.csv``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MEANINGS = {
    "val/loss": "loss that is trained, nats per token of the answer",
    "val/ce_none": "loss of the answer without documents",
    "val/ce_another": "loss of the answer with memory of other documents",
    "val/ce_memory": "loss of the answer with memory of the right documents",
    "val/ce_text": "loss of the answer with the text of the right documents",
    "val/ce_retrieved": "loss of the answer with memory of what was found",
    "val/information_retained": "(none - memory) / (none - text): 0 is no document, 1 the text",
    "val/em": "share of the written answers that are equal to a reference",
    "val/f1": "words that written answers share with a reference",
    "val/cover_em": "share of the written answers that contain a reference",
    "val/answer_words": "words of a written answer, mean",
    "val/recall@1": "share of the right documents that are found first",
    "val/mrr": "mean of 1 / rank of the first right document",
    "val/distinct_share": "distinct documents among those that were taken, as a share",
    "val/top_share": "share of the questions for which the most frequent document was taken",
    "val/entropy": "how evenly documents were taken, 0 to 1",
    "val/ranked_documents": "documents that were ranked",
    "val/unranked_questions": "questions for which there was no room in the ranking",
}
"""What a figure is; these come first, in this order."""

COUNTS = ("val/ranked_documents", "val/unranked_questions")
CURVE = ("train/loss", "val/loss", "val/information_retained", "val/f1", "val/recall@1", "val/mrr")
CURVE_ROWS = 12

Row = Mapping[str, float]


@dataclass(frozen=True)
class Figure:
    """A figure of a validation.

    Attributes:
        name: without ``val/``.
        meaning: in words; empty where there are none.
        value: as it is shown.
        step: optimizer steps that were done before it.
    """

    name: str
    meaning: str
    value: str
    step: int


def newest(metrics: Sequence[Row]) -> list[Figure]:
    """Each figure of a validation as it was measured last: written answers are not measured by every validation."""
    last = {name: row for row in metrics for name in row if name.startswith("val/")}
    known = [name for name in MEANINGS if name in last]
    return [_figure(name, last[name]) for name in [*known, *sorted(last.keys() - MEANINGS.keys())]]


def best(metrics: Sequence[Row], *, name: str, mode: str) -> Figure | None:
    """The first step at which a figure was best; nan is never best, and None where it was not measured."""
    rows = [row for row in metrics if not math.isnan(row.get(name, math.nan))]
    if not rows:
        return None
    return _figure(name, (max if mode == "max" else min)(rows, key=lambda row: row[name]))


def curve(metrics: Sequence[Row]) -> list[list[str]]:
    """Figures over the steps, a heading first: those of validations, or without any the loss of training.

    At most twelve steps are shown, evenly spread, the first and the last among them.
    """
    steps = [row for row in metrics if any(name.startswith("val/") for name in row)] or list(metrics)
    chosen = [steps[place] for place in _spread(len(steps))]
    names = [name for name in CURVE if any(name in row for row in chosen)]
    if not names:
        return []
    body = [[str(int(row["step"]) + 1), *(show(name, row.get(name)) for name in names)] for row in chosen]
    return [["steps", *(name.removeprefix("val/") for name in names)], *body]


def show(name: str, value: float | None) -> str:
    """A value for people.

    Example:
        >>> show("val/loss", 1.5), show("val/ranked_documents", 40.0), show("val/em", None), show("val/f1", math.nan)
        ('1.5000', '40', '', 'not defined')
    """
    if value is None:
        return ""
    if math.isnan(value):
        return "not defined"
    return f"{value:.0f}" if name in COUNTS else f"{value:.4f}"


def _figure(name: str, row: Row) -> Figure:
    length = re.fullmatch(r"(val/(?:ce_memory|information_retained))_(\d+)", name)
    meaning = f"{MEANINGS[length[1]]}; with {length[2]} memory tokens" if length else MEANINGS.get(name, "")
    return Figure(name.removeprefix("val/"), meaning, show(name, row[name]), int(row["step"]) + 1)


def _spread(count: int) -> list[int]:
    if count <= CURVE_ROWS:
        return list(range(count))
    return [round(place * (count - 1) / (CURVE_ROWS - 1)) for place in range(CURVE_ROWS)]
