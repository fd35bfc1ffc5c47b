"""What people see: answers, passages and tables on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import category

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clara_lightning.evaluation.report import answer_rows, retrieval_rows
from clara_lightning.evaluation.results import Results
from clara_lightning.inference.pipeline import Answer, Hit


def print_answer(answer: Answer, *, explain: bool) -> None:
    """An answer, and where asked for the passages whose memory it was read from."""
    console = Console(soft_wrap=True)
    console.print(_plain(answer.text) or "(no answer)", style="bold")
    if explain:
        print_hits(answer.hits)


def print_hits(hits: Sequence[Hit]) -> None:
    """Passages with score, title, id and text."""
    console = Console()
    for rank, hit in enumerate(hits, start=1):
        title = f"{hit.document.title}  " if hit.document.title else ""
        console.print(f"{rank}. {hit.score:.3f}  {_plain(title)}[dim]{_plain(hit.document.id)}[/dim]")
        console.print(f"   {_plain(hit.document.text)}")


def print_results(results: Results, *, out: str) -> None:
    """The tables of an evaluation."""
    console = Console()
    console.print(table(answer_rows(results), title=f"Answers to {results.questions} questions"))
    console.print(f"Information retained: {results.information_retained:.3f}")
    if rows := retrieval_rows(results):
        console.print(table(rows, title="Retrieval"))
    console.print(f"Report: {out}", soft_wrap=True)


def table(rows: Sequence[Sequence[str]], *, title: str) -> Table:
    """A table of text cells, the first row as its header; the first column to the left, figures to the right."""
    head, *body = rows
    result = Table(title=title, title_justify="left")
    for number, name in enumerate(head):
        result.add_column(name, justify="left" if number == 0 else "right")
    for row in body:
        result.add_row(*[escape(cell) for cell in row])
    return result


def _plain(text: str) -> str:
    """Text from outside, without markup and without control characters, which could steer the terminal."""
    return escape("".join("\N{REPLACEMENT CHARACTER}" if category(c) == "Cc" and c not in "\n\t" else c for c in text))
