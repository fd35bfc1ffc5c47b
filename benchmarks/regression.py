"""Whether anything became slower: ``python -m benchmarks.regression`` compares a run with ``benchmarks/expected.json``.

Compared are figures that hardly depend on the machine: how many times slower the plain path is, and the MFU. A machine
of another kind has others; ``python -m benchmarks.run --json benchmarks/expected.json`` writes them anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.results import FIGURES, Report
from benchmarks.run import add_options, run_as_told
from clara_lightning.errors import ClaraError

EXPECTED = Path(__file__).parent / "expected.json"
TOLERANCE = 0.15


class Change(NamedTuple):
    """A figure of a row, in two runs."""

    row: str
    figure: str
    expected: float
    found: float

    def fell(self, tolerance: float) -> bool:
        """Whether it is lower by more than ``tolerance``, a share of what was expected."""
        return self.found < self.expected * (1 - tolerance)

    def __str__(self) -> str:
        difference = self.found / self.expected - 1
        return f"{self.row}: {self.figure} {self.expected:.3g}, now {self.found:.3g} ({difference:+.0%})"


def changes(expected: Report, found: Report) -> list[Change]:
    """The figures of every row that both have."""
    rows = {row.key: row for row in expected.rows}
    return [
        Change(row.key, figure, getattr(rows[row.key], figure), getattr(row, figure))
        for row in found.rows
        if row.key in rows
        for figure in FIGURES
    ]


def read(path: Path) -> Report:
    """A file of ``python -m benchmarks.run --json``.

    Raises:
        ClaraError: there is none, or it is another file.
    """
    try:
        return Report.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ClaraError(f"{path}: no figures of benchmarks.run --json: {error}") from error


def main(words: Sequence[str] | None = None) -> int:
    """Compare and say what fell; 1 where something did, 2 where there is nothing to compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--expected", type=Path, default=EXPECTED, metavar="FILE", help="figures to compare with")
    parser.add_argument("--fresh", type=Path, metavar="FILE", help="figures of a run that was made (default: run now)")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, metavar="SHARE", help="default: 0.15")
    args = parser.parse_args(words)
    try:
        expected = read(args.expected)
        found = read(args.fresh) if args.fresh else run_as_told(args)
    except ClaraError as error:
        print(error, file=sys.stderr)
        return 2
    compared = changes(expected, found)
    print(f"expected: {expected.machine}\nfound: {found.machine}\n")
    for change in compared:
        print(f"{'FELL ' if change.fell(args.tolerance) else '     '}{change}")
    wrong = found.disagreements()
    for line in wrong:
        print(line)
    if not compared:
        print("no row is in both", file=sys.stderr)
        return 2
    return 1 if wrong or any(change.fell(args.tolerance) for change in compared) else 0


if __name__ == "__main__":
    raise SystemExit(main())
