"""What was measured, as data and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benchmarks.settings import OURS, PLAIN

LINE = "---:"


@dataclass
class Row:
    """One thing that was done, on our path and where it makes sense on the plain one.

    Attributes:
        key: names the row in files and on the command line.
        title: what was done.
        seconds: of each variant, in every round.
        tokens: real tokens that have to be read.
        flops: operations that have to be done; see :mod:`benchmarks.limit`.
        rate: operations a second of a large matrix product, measured in the same rounds.
        difference: between what both paths gave: relative, 0 is equal.
        peaks: bytes of each variant at most.
    """

    key: str
    title: str
    seconds: dict[str, list[float]]
    tokens: int = 0
    flops: int = 0
    rate: float = 0.0
    difference: float | None = None
    peaks: dict[str, int] = field(default_factory=dict)

    def median(self, name: str = OURS) -> float:
        """Median seconds of a variant."""
        return median(self.seconds[name])

    @property
    def ratio(self) -> float | None:
        """Plain over ours; ``None`` without a plain path."""
        return self.median(PLAIN) / self.median() if PLAIN in self.seconds else None

    @property
    def mfu(self) -> float | None:
        """Seconds of the limit over ours; ``None`` without a limit."""
        return self.flops / self.rate / self.median() if self.flops and self.rate else None

    def to_json(self) -> dict[str, Any]:
        """All fields, and the figures that are made of them."""
        return asdict(self) | {"ratio": self.ratio, "mfu": self.mfu}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Row:
        """The way back."""
        return cls(**{key: value for key, value in values.items() if key not in ("ratio", "mfu")})


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first hold numbers."""
    lines = [heads, ["---", *[LINE] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def main_table(rows: Iterable[Row]) -> str:
    """Our path beside the plain one and the limit."""
    heads = ("", "ours s", "plain s", "plain / ours", "MFU", "tokens/s", "peak GB, ours / plain")
    return table(heads, [_cells(row) for row in rows])


def _cells(row: Row) -> list[str]:
    peaks = " / ".join(f"{row.peaks[name] / 1e9:.2f}" for name in (OURS, PLAIN) if name in row.peaks)
    return [
        f"{row.key}: {row.title}",
        spread(row.seconds[OURS]),
        spread(row.seconds.get(PLAIN, ())),
        "" if row.ratio is None else f"{row.ratio:.1f}",
        "" if row.mfu is None else f"{row.mfu:.0%}",
        f"{row.tokens / row.median():.0f}" if row.tokens else "",
        peaks,
    ]


def spread(seconds: Sequence[float]) -> str:
    """Median (least to most); nothing of nothing."""
    if not seconds:
        return ""
    return f"{median(seconds):.3f} ({min(seconds):.3f} to {max(seconds):.3f})"
