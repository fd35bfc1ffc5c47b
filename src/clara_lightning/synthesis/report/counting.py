"""Counts, shares, means and spreads that come out the same in whatever order documents are fed.

Sums are sums of whole numbers, for floats do not add up to the same in another order.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

UNIT = 10**9
LARGEST = 100_000


@dataclass(frozen=True)
class Share:
    """So many of so many; ``share`` is ``None`` where there are none."""

    count: int
    of: int
    share: float | None


@dataclass(frozen=True)
class Mean:
    """A mean and over how many it goes; ``None`` over none."""

    mean: float | None
    count: int


@dataclass(frozen=True)
class Spread:
    """How whole numbers are spread.

    Attributes:
        count: how many numbers; without any the others are ``None``.
        mean: their mean.
        median: the smallest number that at least half of them do not exceed.
        p90: likewise for nine of ten.
        max: the largest.
    """

    count: int
    mean: float | None
    median: int | None
    p90: int | None
    max: int | None


def share(count: int, of: int) -> Share:
    """``count`` of ``of``."""
    return Share(count, of, count / of if of else None)


def mean(total: int, count: int) -> Mean:
    """The mean of ``count`` numbers that add up to ``total``."""
    return Mean(total / count if count else None, count)


class Average:
    """The mean of floats, each rounded to a billionth so that sums are exact."""

    def __init__(self) -> None:
        self._total = 0
        self._count = 0

    def add(self, value: float) -> None:
        """Take one more value."""
        self._total += round(value * UNIT)
        self._count += 1

    def result(self) -> Mean:
        """Their mean."""
        return Mean(self._total / (self._count * UNIT) if self._count else None, self._count)


class Numbers:
    """How whole numbers from 0 on are spread, exactly.

    Mean and maximum know no limit; for the median and the ninth tenth numbers above :data:`LARGEST` count as that.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._total = 0
        self._max = 0

    def add(self, number: int) -> None:
        """Take one more number."""
        self._counts[min(number, LARGEST)] += 1
        self._total += number
        self._max = max(self._max, number)

    def result(self) -> Spread:
        """How they are spread."""
        count = self._counts.total()
        if not count:
            return Spread(0, None, None, None, None)
        return Spread(count, self._total / count, self._quantile(5), self._quantile(9), self._max)

    def _quantile(self, tenths: int) -> int:
        """The smallest number that at least so many tenths of all do not exceed."""
        count, passed = self._counts.total(), 0
        for number in sorted(self._counts):
            passed += self._counts[number]
            if 10 * passed >= tenths * count:
                return number
        raise AssertionError("the last number is never exceeded")
