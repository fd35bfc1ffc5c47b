"""Rules by which figures become findings in words.

Two systems differ where the 95 % interval of their paired difference leaves out 0. Where it does not, a difference is
called "not shown", never "none".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from clara_lightning.evaluation.conditions import CLARA, HYBRID
from clara_lightning.evaluation.report.tables import condition_label, show
from clara_lightning.evaluation.report.words import figure_label
from clara_lightning.evaluation.results import Figure, Figures, Results

Mark = Literal["yes", "no", "unsure", "fact"]
MARKS: dict[Mark, str] = {"yes": "✓", "no": "✗", "unsure": "?", "fact": "·"}
Comparison = Literal["better", "worse", "not shown"]


class Finding(NamedTuple):
    """A question that a reader asks, and what the figures say to it.

    Attributes:
        question: what a reader asks.
        mark: ``yes`` is good news, ``no`` bad, ``unsure`` not shown or not measured, ``fact`` neither.
        answer: in one sentence.
        evidence: the figures that it rests on.
    """

    question: str
    mark: Mark
    answer: str
    evidence: str


def find_condition(
    results: Results, *, reader: str, documents: str, form: str, retriever: str | None = None
) -> str | None:
    """The name of the condition that is just this; ``None`` where it was not evaluated."""
    for name, info in results.conditions.items():
        if (info.reader, info.documents, info.form, info.retriever) == (reader, documents, form, retriever):
            return name
    return None


def compare(difference: Figure, *, lower_is_better: bool = False) -> Comparison:
    """Whether ours is better than theirs, by the paired difference of a figure (ours less theirs).

    Example:
        >>> compare(Figure(0.3, 0.1, 0.5))
        'better'
        >>> compare(Figure(0.3, -0.1, 0.7))
        'not shown'
    """
    above, below = difference.low > 0, difference.high < 0  # neither where the interval is missing
    if not above and not below:
        return "not shown"
    return "worse" if above == lower_is_better else "better"


def compare_answers(differences: Figures) -> Comparison:
    """Whether one condition answers better than another, by F1 (higher) and cross-entropy (lower) together.

    One of the two beyond its interval decides, unless the other says the contrary beyond its interval.
    """
    found = {compare(differences["f1"]), compare(differences["cross_entropy"], lower_is_better=True)}
    decided = found - {"not shown"}
    return decided.pop() if len(decided) == 1 else "not shown"


def compare_readers(differences: Figures) -> Comparison:
    """Whether one reader answers better than another that writes in another manner, by F1 and cover-EM together.

    F1 favours short answers, as a trained reader gives them, and cover-EM long ones. So one of the two beyond its
    interval decides only where the other points the same way.
    """
    shown = {compare(differences[name]) for name in ("f1", "cover_em")} - {"not shown"}
    signs = {differences[name].value >= 0 for name in ("f1", "cover_em")}
    return shown.pop() if len(shown) == len(signs) == 1 else "not shown"


def difference_in_words(differences: Figures, *names: str) -> str:
    """Paired differences of some figures, with their intervals."""
    shown = (f"{figure_label(name)} {show(differences[name])}" for name in names)
    return f"Paired difference: {', '.join(shown)}."


def worded(comparison: Comparison, *, better: str, worse: str, unsure: str) -> tuple[Mark, str]:
    """The mark and the words of a comparison."""
    if comparison == "better":
        return "yes", better
    return ("no", worse) if comparison == "worse" else ("unsure", unsure)


def best_other(systems: Mapping[str, Figures], figure: str) -> str | None:
    """The baseline retriever with the highest figure; ``None`` where no baseline has it.

    The trained score with words beside it is no baseline of the trained score.
    """
    baselines = {name: each for name, each in systems.items() if name not in (CLARA, HYBRID)}
    others = {name: each[figure].value for name, each in baselines.items() if figure in each}
    measured = [name for name, value in others.items() if math.isfinite(value)]
    return max(measured, key=others.__getitem__, default=None)


def figures_of(results: Results, *names: str | None, figure: str) -> str:
    """A figure of some conditions in words; names that are ``None`` are left out."""
    title = {"cross_entropy": "Cross-entropy (lower is better)"}.get(figure, figure_label(figure))
    chosen = [name for name in names if name is not None]
    return f"{title}: {', '.join(f'{condition_label(results, n)} {show(results.answers[n][figure])}' for n in chosen)}."
