"""Intervals against scipy's bootstrap, normal theory, and cases that can be counted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clara_lightning.errors import ClaraError
from clara_lightning.objectives.bootstrap import Bootstrap


def draws(num_questions: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(1.0, 2.0, num_questions), generator.integers(1, 9, num_questions).astype(float)


def test_the_interval_of_a_mean_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    values, _ = draws()
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval

    _, low, high = Bootstrap.interval(Bootstrap(60, resamples=20_000).ratio(values))

    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_the_interval_of_a_ratio_of_sums_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    sums, counts = draws()
    theirs = stats.bootstrap(
        (sums, counts),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=1,
    ).confidence_interval

    value, low, high = Bootstrap.interval(Bootstrap(60, resamples=20_000).ratio(sums, counts))

    assert value == pytest.approx(sums.sum() / counts.sum())
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    generator = np.random.default_rng(7)
    covered = 0
    for _ in range(300):
        _, low, high = Bootstrap.interval(Bootstrap(50, resamples=500).ratio(generator.normal(0.3, 1.0, 50)))
        covered += low <= 0.3 <= high
    assert 0.90 <= covered / 300 <= 0.98


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    values, _ = draws()
    first, again, other = (Bootstrap.interval(Bootstrap(60, seed=seed).ratio(values)) for seed in (0, 0, 1))

    assert first == again
    assert first[0] == other[0] and first[1:] != other[1:]


def test_a_single_question_has_an_interval_without_width() -> None:
    assert Bootstrap.interval(Bootstrap(1).ratio([0.25])) == (0.25, 0.25, 0.25)


def test_a_paired_difference_is_surer_than_its_parts() -> None:
    values, _ = draws()
    bootstrap = Bootstrap(60)
    ours, theirs = bootstrap.ratio(values + 0.1), bootstrap.ratio(values)

    difference = Bootstrap.difference(ours, theirs)

    assert (difference.value, difference.low, difference.high) == pytest.approx((0.1, 0.1, 0.1))
    assert Bootstrap.interval(ours)[1] < Bootstrap.interval(theirs)[2]  # their intervals overlap
    assert difference.p_value == 1 / 2000


def test_no_difference_has_a_p_value_of_1() -> None:
    sample = Bootstrap(60).ratio(draws()[0])

    assert Bootstrap.difference(sample, sample).p_value == 1.0


def test_p_values_agree_with_the_paired_t_test() -> None:
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(3)
    values = generator.normal(0.0, 1.0, 200)
    others = values + generator.normal(0.12, 1.0, 200)
    bootstrap = Bootstrap(200, resamples=20_000)

    ours = Bootstrap.difference(bootstrap.ratio(others), bootstrap.ratio(values)).p_value

    assert ours == pytest.approx(stats.ttest_rel(others, values).pvalue, abs=0.02)


def test_what_is_not_defined_is_nan_and_left_out_of_intervals() -> None:
    bootstrap = Bootstrap(3)
    nothing = bootstrap.ratio([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])
    rare = bootstrap.ratio([1.0, 0.0, 0.0], [1.0, 0.0, 0.0])  # some resamples never draw the first question

    assert all(map(math.isnan, Bootstrap.interval(nothing)))
    assert Bootstrap.interval(rare) == (1.0, 1.0, 1.0)
    assert math.isnan(Bootstrap.difference(nothing, rare).p_value)


@pytest.mark.parametrize(("questions", "resamples", "word"), [(0, 10, "questions"), (10, 0, "resamples")])
def test_numbers_below_1_are_refused(questions: int, resamples: int, word: str) -> None:
    with pytest.raises(ClaraError, match=f"{word} must be >= 1, got 0"):
        Bootstrap(questions, resamples=resamples)
