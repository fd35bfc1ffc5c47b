"""Figures from counts are those of the lengths themselves."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from clara_lightning.data.tools.lengths import LengthCounts


def counted(lengths: list[int]) -> LengthCounts:
    counts = LengthCounts()
    counts.add(lengths)
    return counts


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=60), st.integers(0, 3000))
def test_figures_are_those_of_the_sorted_list(lengths: list[int], limit: int) -> None:
    counts, ordered = counted(lengths), sorted(lengths)
    found = counts.summary()

    assert found is not None
    assert (found.count, found.total, found.most) == (len(lengths), sum(lengths), ordered[-1])
    assert abs(found.mean - sum(lengths) / len(lengths)) < 1e-9
    for value, share in ((found.median, Fraction(1, 2)), (found.p90, Fraction(9, 10))):
        at_most = [sum(each <= length for each in lengths) for length in ordered]
        assert value == next(n for n, count in zip(ordered, at_most, strict=True) if count >= share * len(lengths))
    assert counts.above(limit) == sum(each > limit for each in lengths)


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=60), st.integers(3, 12))
def test_every_length_lies_in_one_bar(lengths: list[int], most: int) -> None:
    bars = counted(lengths).bars(most)

    assert len(bars) <= most
    assert [bar.count for bar in bars] == [sum(bar.low <= each <= bar.high for each in lengths) for bar in bars]
    assert sum(bar.count for bar in bars) == len(lengths)
    assert all(a.high + 1 == b.low for a, b in pairwise(bars))


def test_one_long_text_leaves_the_others_apart() -> None:
    bars = counted([*range(10)] * 100 + [5000]).bars()

    assert len(bars) == 11
    assert (bars[-1].low, bars[-1].high, bars[-1].count) == (10, 5000, 1)


def test_of_nothing_there_are_no_figures() -> None:
    assert LengthCounts().summary() is None and LengthCounts().bars() == []
