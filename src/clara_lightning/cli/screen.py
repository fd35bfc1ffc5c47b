"""What people see: answers, passages and tables on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from clara_lightning.estimate.estimate import Estimate
from clara_lightning.estimate.report import headline, sections, verdict
from clara_lightning.evaluation.report import answer_rows, plain, retrieval_rows, screen_table
from clara_lightning.evaluation.results import Results
from clara_lightning.inference.pipeline import Answer, Hit


def print_answer(answer: Answer) -> None:
    """An answer."""
    Console(soft_wrap=True).print(plain(answer.text) or "(no answer)", style="bold")


def print_hits(hits: Sequence[Hit]) -> None:
    """Passages with score, title, id and text."""
    console = Console()
    for rank, hit in enumerate(hits, start=1):
        title = f"{hit.document.title}  " if hit.document.title else ""
        console.print(f"{rank}. {hit.score:.3f}  {plain(title)}[dim]{plain(hit.document.id)}[/dim]")
        console.print(f"   {plain(hit.document.text)}")


def print_results(results: Results, *, out: str) -> None:
    """The tables of an evaluation."""
    console = Console()
    console.print(screen_table(answer_rows(results), title=f"Answers to {results.questions} questions"))
    console.print(f"Information retained: {results.information_retained:.3f}")
    if rows := retrieval_rows(results):
        console.print(screen_table(rows, title="Retrieval"))
    console.print(f"Report: {out}", soft_wrap=True)


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
