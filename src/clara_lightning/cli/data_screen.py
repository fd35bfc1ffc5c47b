"""What ``clara data stats`` and ``validate`` print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.console import Console
from rich.table import Table

from clara_lightning.data.tools.lengths import Bar, Lengths
from clara_lightning.data.tools.stats import FileStats
from clara_lightning.data.tools.validate import Validation
from clara_lightning.evaluation.report.tables import plain, screen_table

BAR = 40
"""Characters of the longest bar of a histogram."""
NAMED = 5
"""Scripts and teachers that are named."""


def print_stats(found: FileStats) -> None:
    """Figures of a file, its lengths, and a histogram of them."""
    console = Console()
    figures = Table(title=plain(found.file), title_justify="left", show_header=False)
    figures.add_column()
    figures.add_column(overflow="fold")
    for name, value in _figures(found):
        figures.add_row(name, plain(value))
    console.print(figures)
    rows = [["lengths", "count", "mean", "median", "p90", "longest"]]
    for unit, lengths in (("words", found.words), ("tokens", found.tokens)):
        rows += [[f"{part}, {unit}", *_length_cells(each)] for part, each in lengths.items()]
    console.print(screen_table(rows, title=""))
    unit = "tokens" if found.tokens else "words"
    console.print(f"{'Distinct documents' if found.histogram_of == 'documents' else 'Questions'} by {unit}:")
    for line in _histogram(found.histogram):
        console.print(line, highlight=False)


def _figures(found: FileStats) -> Iterator[tuple[str, str]]:
    yield "rows", f"{found.rows:,} ({_counts(found.formats)})"
    if found.bad_rows:
        yield "bad rows", f"{found.bad_rows:,}, the first: {found.first_mistake}"
    yield "records", f"{found.records:,}, of them {found.duplicates:,} equal to an earlier one but for the id"
    yield "distinct documents", f"{found.documents:,}"
    yield "distinct questions", f"{found.questions:,}"
    for kind, count in found.pairs.items():
        yield f"{kind} pairs", f"{count:,}, {found.pairs_per_example[kind]:.1f} an example"
    if found.answers_in_documents is not None:
        looked_for = f"of {found.answers_looked_for:,} questions with both"
        yield "answers in their document", f"{found.answers_in_documents:.1%} {looked_for}"
    for name, lengths in (("passages per question", found.passages), ("gold per question", found.gold)):
        if lengths is not None:
            yield name, f"mean {lengths.mean:.1f}, median {lengths.median}, most {lengths.most}"
    if found.questions_without_gold:
        yield "questions without gold", f"{found.questions_without_gold:,}"
    if found.teachers:
        yield "teachers", _counts(found.teachers)
    if found.scripts:
        frequent = [(name, share) for name, share in found.scripts.items() if share >= 0.0005][:NAMED]
        named = ", ".join(f"{name} {share:.1%}" for name, share in frequent)
        yield "letters", f"{found.non_latin:.1%} not Latin ({named})"
    if found.documents_cut is not None:
        yield f"documents > {found.document_tokens} tokens", f"{found.documents_cut:,} of {found.documents:,}"


def _counts(counts: Mapping[str, int]) -> str:
    """Names with their counts, the most frequent first; of many names some."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in ordered[NAMED:])
    shown = [f"{name} {count:,}" for name, count in ordered[:NAMED]]
    return ", ".join([*shown, *([f"{len(ordered) - NAMED} others {rest:,}"] if rest else [])])


def _length_cells(lengths: Lengths) -> list[str]:
    return [
        f"{lengths.count:,}",
        f"{lengths.mean:,.1f}",
        *(f"{n:,}" for n in (lengths.median, lengths.p90, lengths.most)),
    ]


def _histogram(bars: Iterable[Bar]) -> Iterator[str]:
    shown = [(f"{bar.low:,}-{bar.high:,}" if bar.high > bar.low else f"{bar.low:,}", bar.count) for bar in bars]
    width, most = max(len(name) for name, _ in shown), max(count for _, count in shown)
    for name, count in shown:
        yield f"  {name:>{width}} {'█' * -(-BAR * count // most)} {count:,}"


def print_validation(found: Validation) -> None:
    """Every mistake on a line, then what is allowed but rarely meant, then counts."""
    console = Console(soft_wrap=True, highlight=False)
    for line in found.listed:
        console.print(plain(line))
    if more := found.mistakes - len(found.listed):
        console.print(f"{plain(found.file)}: and {more:,} more (--max-mistakes 0 lists all)")
    for warned in found.warnings.values():
        share = f"{warned.count:,} of {warned.of:,} ({warned.count / warned.of:.1%})"
        console.print(f"{plain(found.file)}: warning: {warned.what}: {share}, the first {plain(warned.first)}")
    console.print(f"{plain(found.file)}: {found.rows:,} rows, {found.mistakes:,} bad, {found.records:,} records")
