"""What was measured, as data and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benchmarks.settings import OURS, PLAIN

FIGURES = ("ratio", "mfu")  # what a row's figures are called in a file, and compared by


@dataclass
class Row:
    """One thing that was done on our path and on the plain one.

    Attributes:
        key: names the row in files and on the command line.
        title: what was done.
        seconds: of each variant, in every round; ``ours`` and ``plain`` are there.
        tokens: real tokens that have to be read, or of an answer that are written.
        flops: operations that have to be done; see :mod:`benchmarks.limit`.
        rate: operations a second of a large matrix product, measured in the same rounds.
        difference: between what both paths gave: relative, 0 is equal.
        tolerance: differences up to it are rounding.
        peaks: bytes of each path at most.
    """

    key: str
    title: str
    seconds: dict[str, list[float]]
    tokens: int
    flops: int
    rate: float
    difference: float | None = None
    tolerance: float = 0.0
    peaks: dict[str, int] = field(default_factory=dict)

    def median(self, name: str = OURS) -> float:
        """Median seconds of a variant."""
        return median(self.seconds[name])

    @property
    def ratio(self) -> float:
        """Plain over ours."""
        return self.median(PLAIN) / self.median()

    @property
    def mfu(self) -> float:
        """Seconds of the limit over ours."""
        return self.flops / self.rate / self.median()

    def to_json(self) -> dict[str, Any]:
        """All fields, and the figures that are made of them."""
        return asdict(self) | {name: getattr(self, name) for name in FIGURES}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Row:
        """The way back."""
        return cls(**{key: value for key, value in values.items() if key not in FIGURES})


@dataclass
class Comparison:
    """Variants of one thing, compared with the first.

    Attributes:
        key: names it on the command line.
        title: what was done.
        seconds: of each variant, in every round.
        tokens: that each reads; empty where none are.
    """

    key: str
    title: str
    seconds: dict[str, list[float]]
    tokens: dict[str, int] = field(default_factory=dict)


@dataclass
class Report:
    """Everything that one run measured.

    Attributes:
        machine: what it ran on.
        setting: backbone, dtype and data, in words.
        rows: beside the plain path.
        comparisons: of our own parts.
    """

    machine: str
    setting: list[str]
    rows: list[Row] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)

    def add(self, measured: Row | Comparison) -> None:
        """Take in what was measured."""
        if isinstance(measured, Row):
            self.rows.append(measured)
        else:
            self.comparisons.append(measured)

    def disagreements(self) -> list[str]:
        """A line for each row whose paths did not compute the same: its figures would compare different things."""
        return [
            f"row {row.key}: both paths should give the same, but differ by {row.difference:.2g}"
            for row in self.rows
            if row.difference is not None and not row.difference <= row.tolerance
        ]

    def to_json(self) -> dict[str, Any]:
        """As data."""
        return asdict(self) | {"rows": [row.to_json() for row in self.rows]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Report:
        """The way back."""
        comparisons = [Comparison(**comparison) for comparison in values["comparisons"]]
        rows = [Row.from_json(row) for row in values["rows"]]
        return cls(values["machine"], list(values["setting"]), rows, comparisons)
