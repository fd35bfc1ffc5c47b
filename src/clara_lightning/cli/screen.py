"""What people see: answers, passages and tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from clara_lightning.data.records import Question
from clara_lightning.estimate.estimate import Estimate
from clara_lightning.estimate.report import headline, sections, verdict
from clara_lightning.evaluation.compare import Compared, Spread
from clara_lightning.evaluation.report.tables import plain, screen_table, show
from clara_lightning.evaluation.report.verdict import verdict as findings
from clara_lightning.evaluation.report.words import ANSWERS, SCALES, figure_label
from clara_lightning.evaluation.results import Costs, Figures, Results
from clara_lightning.inference.pipeline import Answer, Hit

SHORT = {"cross_entropy": "nats/token", "information_retained": "retained"}
"""Headings that leave room for the conditions' names on a terminal of 80 columns."""


def print_answer(answer: Answer) -> None:
    """An answer."""
    Console(soft_wrap=True).print(plain(answer.text) or "(no answer)", style="bold")


def print_graded(questions: Sequence[Question], answers: Sequence[Answer], right: Sequence[bool]) -> None:
    """Questions with their answers from memory, what is right, and the share of answers that are."""
    console = Console(soft_wrap=True)
    for question, answer, is_right in zip(questions, answers, right, strict=True):
        mark = "[green]right[/green]" if is_right else f"[red]wrong[/red], it is {plain(question.answers[0])}"
        titles = "; ".join(plain(hit.document.title or hit.document.id) for hit in answer.hits)
        console.print(plain(question.question))
        console.print(f"  [bold]{plain(answer.text) or '(no answer)'}[/bold]  ({mark})")
        console.print(f"  [dim]from the memory of: {titles}[/dim]")
    console.print(f"{sum(right)} of {len(right)} answered right from memory.")


def print_hits(hits: Sequence[Hit]) -> None:
    """Passages with score, title, id and text."""
    console = Console()
    for rank, hit in enumerate(hits, start=1):
        title = f"{hit.document.title}  " if hit.document.title else ""
        console.print(f"{rank}. {hit.score:.3f}  {plain(title)}[dim]{plain(hit.document.id)}[/dim]")
        console.print(f"   {plain(hit.document.text)}")


def print_results(results: Results, costs: Costs, *, out: str) -> None:
    """The verdict and the tables of an evaluation."""
    console = Console()
    for finding in findings(results, costs):
        console.print(f"[bold]{plain(finding.question)}[/bold] {plain(finding.answer)}", soft_wrap=True)
    if results.answers:
        rows = [["condition", *(SHORT.get(name, figure_label(name)) for name in ANSWERS)]]
        rows += [[name, *_values(figures, ANSWERS)] for name, figures in results.answers.items()]
        console.print(screen_table(rows, title=f"Answers to {results.questions} questions"))
    for scale, systems in results.retrieval.items():
        recalls = [name for name in next(iter(systems.values())) if name.startswith("recall@")]
        rows = [["retriever", *map(figure_label, [*recalls, "mrr"])]]
        rows += [[name, *_values(figures, [*recalls, "mrr"])] for name, figures in systems.items()]
        console.print(screen_table(rows, title=f"Retrieval: {SCALES[scale].label}"))
    for note in results.notes:
        console.print(f"Note: {plain(note)}", soft_wrap=True)
    console.print(f"{costs.seconds:.0f} s. Intervals, pictures and samples: {out}/report.html", soft_wrap=True)


def _values(figures: Figures, names: Iterable[str]) -> list[str]:
    """Figures without their intervals, for which a terminal is too narrow: the report has them."""
    return [show(figures[name]).partition(" ")[0] for name in names]


def print_comparison(rows: Sequence[Compared], *, beyond: str | None = None) -> None:
    """Differences with intervals, a table for each pair of systems; those whose interval leaves out 0 are marked."""
    console = Console()
    for (first, second), group in groupby(rows, key=lambda row: (row.first, row.second)):
        compared = list(group)
        names = first if first == second else f"A {first}, B {second}"
        names += f", less {beyond}" if beyond else ""
        table = [["figure", "A", "B", "B - A", "p", ""], *map(_compared_cells, compared)]
        console.print(screen_table(table, title=f"{names}: {compared[0].questions} questions"))
    console.print("95 % intervals and two-sided p of a paired bootstrap over questions; *: the interval leaves out 0.")


def _compared_cells(row: Compared) -> list[str]:
    values, difference = row.values, row.difference
    interval = f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
    sure = "*" if difference.low > 0 or difference.high < 0 else ""
    return [row.figure, *(f"{each.value:.3f}" for each in values), interval, f"{difference.p_value:.3f}", sure]


def print_spread(rows: Sequence[Spread]) -> None:
    """Mean, standard deviation and limits over reports."""
    table = [["system", "figure", "mean", "deviation", "least", "most"]]
    for row in rows:
        figures = (row.mean, row.deviation, min(row.values), max(row.values))
        table.append([row.system, row.figure, *(f"{value:.3f}" for value in figures)])
    Console().print(screen_table(table, title=f"Over {len(rows[0].values)} reports" if rows else "No figure in common"))


def print_estimate(found: Estimate) -> None:
    """What a run takes: a verdict, tables, and what was taken for granted."""
    console = Console()
    console.print(plain(headline(found)), style="bold", soft_wrap=True)
    console.print(verdict(found), style="green" if found.memory.fits else "red", soft_wrap=True)
    for line in found.advice:
        console.print(f"  try {plain(line)}", soft_wrap=True)
    for section in sections(found):
        table = Table(title=section.title, title_justify="left", show_header=False)
        table.add_column()
        table.add_column(justify="right")
        table.add_column()
        for row in section.rows:
            table.add_row(*map(plain, row))
        console.print(table)
    console.print("Taken for granted:")
    for line in (f"the architecture is from {found.backbone['source']}", *found.assumptions):
        console.print(f"  {plain(line)}", soft_wrap=True)
