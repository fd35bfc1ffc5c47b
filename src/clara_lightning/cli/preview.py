"""What ``clara data preview`` prints. Every colour has a mark beside it: both tell the same."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from clara_lightning.evaluation.report.tables import visible
from clara_lightning.modules.preview import Counts, Piece, Preview, PreviewedExample, ReadText

SHOWN_DOCUMENTS = 5
SHOWN_CUT = 200
"""Documents of an example, and characters of what is cut off, that are shown; of the rest the number is told."""
STYLES = {"text": "", "memory": "bold magenta", "label": "bold green", "cut": "dim red strike"}


def print_preview(found: Preview) -> None:
    """Examples with their documents, prompts and counts."""
    console = Console(soft_wrap=True)
    head = f"{found.stage}, epoch {found.epoch}: {len(found.examples)} of {found.in_epoch:,} examples"
    limits = f"documents of at most {found.document_tokens} tokens, {found.memory_tokens} memory tokens each"
    console.print(Text(f"{head}; batches of {found.batch_size}, {limits}"))
    legend = [Piece("memory", "", found.memory_tokens), Piece("label", "trained on", 0), Piece("cut", "not read", 0)]
    console.print(Text(" ").join([Text("Marks:"), *map(_piece, legend)]))
    for note in found.notes:
        console.print(Text(f"Note: {note}"))
    for number, example in enumerate(found.examples, start=1):
        _print_example(console, example, number)


def _print_example(console: Console, example: PreviewedExample, number: int) -> None:
    console.print(Text(f"\nExample {number}: {example.task.replace('_', ' ')}", style="bold underline"))
    for place, document in enumerate(example.documents[:SHOWN_DOCUMENTS], start=1):
        _print_pieces(console, f"document {place}: {_read(document)}", document.pieces)
    if more := example.documents[SHOWN_DOCUMENTS:]:
        console.print(Text(f"and {len(more)} more documents: {'; '.join(map(_read, more))}", style="bold"))
    if example.query is not None:
        _print_pieces(
            console, f"question, as the query reasoner reads it: {_read(example.query)}", example.query.pieces
        )
    _print_pieces(console, "prompt", example.pieces)
    console.print(Text(_sentence(example.counts), style="bold"))


def _print_pieces(console: Console, title: str, pieces: Iterable[Piece]) -> None:
    console.print(Text(title, style="bold"))
    console.print(Padding(Text.assemble(*map(_piece, pieces)), (0, 0, 0, 2), expand=False), soft_wrap=False)


def _piece(piece: Piece) -> Text:
    """Tokens with their mark: text from outside is shown, and never obeyed."""
    text = visible(piece.text)
    if piece.kind == "cut" and len(text) > SHOWN_CUT:
        text = f"{text[:SHOWN_CUT]}… ({len(text) - SHOWN_CUT:,} characters more)"
    memory = f"[M\N{MULTIPLICATION SIGN}{piece.tokens}]"
    marked = {"text": text, "memory": memory, "label": f"«{text}»", "cut": f"~~{text}~~"}
    return Text(marked[piece.kind], style=STYLES[piece.kind])


def _read(text: ReadText) -> str:
    cut = f", {len(text.cut_ids)} cut" if text.cut_ids else ""
    gold = {True: ", gold", False: ", not gold", None: ""}[text.gold]
    return f"{len(text.ids)} tokens{cut}{gold}"


def _sentence(counts: Counts) -> str:
    cut = f" ({counts.cut} cut)" if counts.cut else ""
    rate = "" if counts.compression is None else f", {counts.compression:.1f} document tokens a memory token"
    return (
        f"document tokens {counts.document}{cut}, memory tokens {counts.memory}, prompt tokens {counts.prompt}, "
        f"label tokens {counts.label}{rate}"
    )
