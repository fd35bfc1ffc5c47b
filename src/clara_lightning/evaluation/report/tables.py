"""The tables of a report as rows of text, the header first: for a page, for Markdown and for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from unicodedata import category

from rich.markup import escape
from rich.table import Table

from clara_lightning.evaluation.report.words import ANSWERS, COLLAPSE, LENGTHS, PARAPHRASES, SCALES, figure_label
from clara_lightning.evaluation.results import Costs, Figure, Figures, Results

Rows = list[list[str]]

MISSING = "-"
LOSSES = {
    "retrieved_answered": "found, answered",
    "retrieved_wrong": "found, wrong",
    "missed_answered": "missed, answered",
    "missed_wrong": "missed, wrong",
}
_NOTHING = Figure(math.nan, math.nan, math.nan)


def show(figure: Figure, *, digits: int = 3) -> str:
    """A figure with its interval.

    Args:
        figure: the figure.
        digits: behind the point.

    Example:
        >>> show(Figure(0.45, 0.3, 0.6)), show(Figure(math.nan, math.nan, math.nan))
        ('0.450 [0.300, 0.600]', '-')
        >>> show(Figure(0.45, math.nan, math.nan))
        '0.450'
    """
    if not math.isfinite(figure.value):
        return MISSING
    value, low, high = (f"{number:.{digits}f}" for number in (figure.value, figure.low, figure.high))
    return f"{value} [{low}, {high}]" if math.isfinite(figure.low) and math.isfinite(figure.high) else value


def answer_rows(results: Results) -> Rows:
    """How well each condition answers."""
    return _by_condition(results, results.answers, names=list(ANSWERS))


def length_rows(results: Results) -> Rows:
    """How long prompts and answers are under each condition."""
    return _by_condition(results, results.answers, names=list(LENGTHS))


def paraphrase_rows(results: Results) -> Rows:
    """How near paraphrases are to their documents; empty where none were made."""
    return _by_condition(results, results.paraphrases, names=list(PARAPHRASES))


def retrieval_rows(results: Results, scale: str) -> Rows:
    """How well each retriever ranks at one scale; empty where nothing was ranked.

    Args:
        results: the evaluation.
        scale: ``corpus`` or ``candidates``.
    """
    systems = results.retrieval.get(scale, {})
    names = [name for name in _names(systems) if name not in COLLAPSE]
    if not names:
        return []
    rows = [["retriever", *map(figure_label, names)]]
    for retriever, figures in systems.items():
        rows.append([retriever_label(results, retriever), *_cells(figures, names=names)])
    return rows


def collapse_rows(results: Results) -> Rows:
    """Whether each retriever finds different documents for different questions; empty where nothing was ranked."""
    names = [name for name in COLLAPSE if any(name in _names(systems) for systems in results.retrieval.values())]
    if not names:
        return []
    rows = [["retriever", *map(figure_label, names)]]
    for scale, systems in results.retrieval.items():
        for retriever, figures in systems.items():
            label = f"{retriever_label(results, retriever)}, {SCALES[scale].label}"
            rows.append([label, *_cells(figures, names=names)])
    return rows


def loss_rows(results: Results) -> Rows:
    """Where answers were lost, in shares of the questions; empty where nothing was retrieved."""
    if not results.losses:
        return []
    rows = [["condition", *LOSSES.values()]]
    for condition, shares in results.losses.items():
        rows.append([condition_label(results, condition), *[_number(shares.get(part)) for part in LOSSES]])
    return rows


def cost_rows(results: Results, costs: Costs) -> Rows:
    """What each kind of work took; empty where nothing was timed."""
    if not costs.steps:
        return []
    rows = [["work", "items", "milliseconds each", "peak memory, MiB"]]
    for name, step in costs.steps.items():
        peak = MISSING if step.peak_bytes is None else f"{step.peak_bytes / 2**20:,.0f}"
        rows.append([_work(results, name), str(step.items), f"{step.milliseconds:.1f}", peak])
    return rows


def condition_label(results: Results, condition: str) -> str:
    """A condition's label; its name where it is none of the answers' table."""
    return results.conditions[condition].label if condition in results.conditions else condition


def retriever_label(results: Results, retriever: str) -> str:
    """A retriever's label; its name where it has none."""
    return results.retrievers.get(retriever, retriever)


def screen_table(rows: Sequence[Sequence[str]], *, title: str) -> Table:
    """A table of text cells, the first row as its header; the first column to the left, figures to the right."""
    head, *body = rows
    result = Table(title=title, title_justify="left")
    for number, name in enumerate(head):
        result.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
    for row in body:
        result.add_row(*[plain(cell) for cell in row])
    return result


def plain(text: str) -> str:
    """Text from outside, without markup and without control characters, which could steer the terminal."""
    return escape(visible(text))


def visible(text: str) -> str:
    """Text with a replacement character for each control character but line breaks and tabs."""
    return "".join("\N{REPLACEMENT CHARACTER}" if category(c) == "Cc" and c not in "\n\t" else c for c in text)


def _by_condition(results: Results, answers: Mapping[str, Figures], *, names: list[str]) -> Rows:
    if not answers:
        return []
    rows = [["condition", *map(figure_label, names)]]
    for condition, figures in answers.items():
        rows.append([condition_label(results, condition), *_cells(figures, names=names)])
    return rows


def _cells(figures: Figures, *, names: Sequence[str]) -> list[str]:
    return [show(figures.get(name, _NOTHING), digits=1 if name in LENGTHS else 3) for name in names]


def _names(systems: Mapping[str, Figures]) -> list[str]:
    """Names of all figures, in the order in which they come up."""
    return list(dict.fromkeys(name for figures in systems.values() for name in figures))


def _number(value: float | None) -> str:
    return MISSING if value is None or not math.isfinite(value) else f"{value:.3f}"


def _work(results: Results, name: str) -> str:
    """A kind of work in words."""
    kind, _, what = name.partition(":")
    if kind == "search":
        return f"search: {retriever_label(results, what)}"
    if kind == "answer":
        return f"answer: {condition_label(results, what)}"
    return name
