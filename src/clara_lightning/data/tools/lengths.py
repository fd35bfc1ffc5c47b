"""How long many things are: figures and a picture of a distribution, from counts alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate


@dataclass(frozen=True)
class Bar:
    """How many lengths lie from ``low`` to ``high``, both included."""

    low: int
    high: int
    count: int


@dataclass(frozen=True)
class Lengths:
    """Figures of many lengths.

    Attributes:
        count: how many there are.
        total: their sum.
        mean: their mean.
        median: half of them are at most so long.
        p90: nine of ten are at most so long.
        most: the longest.
    """

    count: int
    total: int
    mean: float
    median: int
    p90: int
    most: int


class LengthCounts:
    """Counts lengths; memory grows with different lengths alone."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, lengths: Iterable[int]) -> None:
        """Count some more."""
        self._counts.update(lengths)

    def above(self, limit: int) -> int:
        """How many are greater than ``limit``."""
        return sum(count for length, count in self._counts.items() if length > limit)

    def summary(self) -> Lengths | None:
        """Their figures; ``None`` of nothing."""
        if not self._counts:
            return None
        count, total = self._counts.total(), sum(length * times for length, times in self._counts.items())
        return Lengths(count, total, total / count, self._quantile(0.5), self._quantile(0.9), max(self._counts))

    def _quantile(self, share: float) -> int:
        """The least length that ``share`` of all lengths do not exceed."""
        lengths = sorted(self._counts)
        ends = accumulate(self._counts[length] for length in lengths)
        wanted = share * self._counts.total()
        return next(length for length, end in zip(lengths, ends, strict=True) if end >= wanted)

    def bars(self, most: int = 12) -> list[Bar]:
        """At most ``most`` (3 or more) ranges that hold all lengths; widths are 1, 2 or 5 times a power of ten.

        What lies behind the range of the 99th percentile is one range, so that a single long text leaves the others
        apart.
        """
        if not self._counts:
            return []
        low, high = min(self._counts), max(self._counts)
        end = max(self._quantile(0.99), low + 1)
        width = next(w for w in _widths() if end // w - low // w + 1 < most)
        counts: Counter[int] = Counter()
        for length, times in self._counts.items():
            counts[min(length // width, end // width + 1)] += times
        bars = [Bar(n * width, (n + 1) * width - 1, counts[n]) for n in range(low // width, max(counts) + 1)]
        return [*bars[:-1], replace(bars[-1], high=max(bars[-1].high, high))]


def _widths() -> Iterable[int]:
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10
