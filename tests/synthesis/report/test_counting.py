"""Counters beside NumPy and exact fractions, and the same in any order."""

from __future__ import annotations

import random
import statistics
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara_lightning.synthesis.report.counting import LARGEST, Average, Mean, Numbers, Spread, mean, share


def average(values: list[float]) -> Mean:
    counter = Average()
    for value in values:
        counter.add(value)
    return counter.result()


def spread(values: list[int]) -> Spread:
    counter = Numbers()
    for value in values:
        counter.add(value)
    return counter.result()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_an_average_is_the_mean(values: list[float]) -> None:
    exact = sum(map(Fraction, values)) / len(values)
    assert average(values).mean == pytest.approx(float(exact), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.randoms(use_true_random=False))
def test_an_average_is_the_same_to_the_bit_in_any_order(values: list[float], draw: random.Random) -> None:
    first = average(values)
    draw.shuffle(values)
    assert average(values) == first


@given(st.lists(st.integers(0, 60), min_size=1, max_size=60))
def test_a_spread_is_what_numpy_and_statistics_find(values: list[int]) -> None:
    found = spread(values)
    assert found.count == len(values) and found.max == max(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.median == statistics.median_low(values)
    assert found.p90 == np.quantile(values, 0.9, method="inverted_cdf")


def test_a_huge_number_counts_whole_in_mean_and_maximum() -> None:
    assert spread([10 * LARGEST, 2]) == Spread(2, 5 * LARGEST + 1, 2, LARGEST, 10 * LARGEST)


def test_nothing_has_no_mean() -> None:
    assert average([]) == mean(0, 0) == Mean(None, 0)
    assert spread([]) == Spread(0, None, None, None, None)
    assert share(0, 0).share is None and share(1, 4).share == 0.25
