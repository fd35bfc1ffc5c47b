"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from benchmarks.results import Comparison, Report, Row
from benchmarks.settings import OURS, PLAIN, WHOLE


def markdown(report: Report) -> str:
    """All tables of a report."""
    return "\n\n".join(_parts(report)) + "\n"


def _parts(report: Report) -> Iterator[str]:
    yield report.machine
    yield "\n".join(f"- {line}" for line in report.setting)
    for comparison in report.comparisons:
        yield comparison_table(comparison)
    if rows := [row for row in report.rows if "/" not in row.key]:
        yield main_table(rows)
    whole, first = ([row for row in report.rows if row.key.startswith(f"{key}/")] for key in "ef")
    if whole:
        yield whole_table(whole)
        yield first_table(zip(first, whole, strict=True))


def main_table(rows: Iterable[Row]) -> str:
    """Steps and encoding beside the plain path and the limit; further variants of either below their row."""
    heads = ("", "ours s", "plain s", "plain / ours", "MFU", "tokens/s", "peak GB, ours / plain")
    return _table(heads, (cells for row in rows for cells in _lines(row)))


def _lines(row: Row) -> Iterator[list[str]]:
    peaks = " / ".join(f"{row.peaks[name] / 1e9:.2f}" for name in (OURS, PLAIN) if row.peaks)
    for name, seconds in row.seconds.items():
        if name == PLAIN:
            continue
        if name.startswith(PLAIN):
            ratio = f"{median(seconds) / row.median():.2f}"
            yield [f"**{row.key}** {name}", spread(row.seconds[OURS]), spread(seconds), ratio, "", "", ""]
            continue
        middle, limit = median(seconds), row.flops / row.rate
        cells = [spread(seconds), spread(row.seconds[PLAIN]), f"{row.median(PLAIN) / middle:.2f}"]
        cells += [f"{limit / middle:.0%}", f"{row.tokens / middle:.0f}"]
        title = f"**{row.key}** {row.title}" if name == OURS else f"**{row.key}** {name.removeprefix(f'{OURS}, ')}"
        yield [title, *cells, peaks if name == OURS else ""]


def whole_table(rows: Iterable[Row]) -> str:
    """Whole answers."""
    heads = (f"Answers of {WHOLE} tokens", "ours s", "plain s", "plain / ours", "MFU")
    return _table(heads, ([row.title, *_both(row), f"{row.mfu:.0%}"] for row in rows))


def first_table(rows: Iterable[tuple[Row, Row]]) -> str:
    """First tokens, and from the whole answers beside them the tokens after it."""
    heads = ("First token", "ours s", "plain s", "plain / ours", "tokens/s after it, ours / plain")
    lines = []
    for first, whole in rows:
        rates = (_rate_after_first(first, whole, name) for name in (OURS, PLAIN))
        lines.append([first.title, *_both(first), " / ".join(rates)])
    return _table(heads, lines)


def _both(row: Row) -> list[str]:
    return [spread(row.seconds[OURS]), spread(row.seconds[PLAIN]), f"{row.ratio:.2f}"]


def _rate_after_first(first: Row, whole: Row, name: str) -> str:
    seconds = whole.median(name) - first.median(name)
    return f"{(whole.tokens - first.tokens) / seconds:.0f}" if seconds > 0 else "-"


def comparison_table(comparison: Comparison) -> str:
    """Ratios to the first variant."""
    first = median(next(iter(comparison.seconds.values())))
    heads = [comparison.title, "s", "times the first", *["tokens/s"] * bool(comparison.tokens)]
    lines = []
    for name, seconds in comparison.seconds.items():
        middle = median(seconds)
        speed = [f"{comparison.tokens[name] / middle:.0f}"] if comparison.tokens else []
        lines.append([name, spread(seconds), f"{middle / first:.2f}", *speed])
    return _table(heads, lines)


def spread(seconds: Sequence[float]) -> str:
    """Median (least to most)."""
    return f"{median(seconds):.3f} ({min(seconds):.3f} to {max(seconds):.3f})"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """All columns but the first hold numbers."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
