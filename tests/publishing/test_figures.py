"""Figures of a card, from rows of metrics."""

from __future__ import annotations

import math

from clara_lightning.publishing.figures import best, curve, newest


def test_each_figure_is_the_newest_that_was_measured() -> None:
    rows = [
        {"step": 1.0, "val/loss": 3.0, "val/em": 0.5},
        {"step": 3.0, "train/loss": 9.0},
        {"step": 3.0, "val/loss": 2.0, "val/own": 1.0},
    ]
    assert [(figure.name, figure.value, figure.step) for figure in newest(rows)] == [
        ("loss", "2.0000", 4),
        ("em", "0.5000", 2),
        ("own", "1.0000", 4),
    ]


def test_the_best_step_is_the_first_of_those_that_are_as_good_and_never_nan() -> None:
    values = [math.nan, 0.2, 0.7, 0.7, math.nan]
    rows = [{"step": float(step), "val/f1": value} for step, value in enumerate(values)]
    highest, lowest = best(rows, name="val/f1", mode="max"), best(rows, name="val/f1", mode="min")
    assert highest is not None and lowest is not None
    assert (highest.step, lowest.step) == (3, 2)
    assert best(rows[:1], name="val/f1", mode="max") is None


def test_a_curve_has_twelve_rows_at_most_with_the_first_and_the_last() -> None:
    rows = [{"step": float(step), "val/loss": 1.0} for step in range(500)]
    head, *body = curve(rows)
    steps = [int(row[0]) for row in body]
    assert head == ["steps", "loss"]
    assert len(steps) == 12 and (steps[0], steps[-1]) == (1, 500) and steps == sorted(set(steps))


def test_a_curve_without_validations_is_that_of_training() -> None:
    assert curve([{"step": 0.0, "train/loss": 2.0}]) == [["steps", "train/loss"], ["1", "2.0000"]]
    assert curve([]) == []
