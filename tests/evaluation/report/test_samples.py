"""Samples: the questions whose answers differ most, and the whole answers are never needed on the page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clara_lightning.evaluation.report.samples import LONGEST, most_different, samples, shortened
from clara_lightning.evaluation.results import Prediction


@pytest.fixture
def one(evaluated: Any) -> Prediction:
    found: Prediction = evaluated.predictions[0]
    return found


def asked(one: Prediction, name: str, *scores: float) -> list[Prediction]:
    return [replace(one, id=name, condition=f"c{place}", f1=f1) for place, f1 in enumerate(scores)]


def test_the_most_different_come_first_and_equal_ones_in_their_order(one: Prediction) -> None:
    predictions = [
        *asked(one, "same", 0.5, 0.5, 0.5, 0.5),
        *asked(one, "one of four", 1, 0, 0, 0),  # three pairs differ
        *asked(one, "half", 1, 1, 0, 0),  # four pairs differ
        *asked(one, "another half", 0, 1, 0, 1),
    ]
    chosen = [answered[0].id for answered in most_different(predictions)]
    assert chosen == ["half", "another half", "one of four", "same"]


def test_there_are_at_most_so_many_and_each_is_whole(one: Prediction) -> None:
    predictions = [each for number in range(5) for each in asked(one, f"q{number}", number, 0)]
    chosen = most_different(predictions, most=2)
    assert [[each.condition for each in answered] for answered in chosen] == [["c0", "c1"], ["c0", "c1"]]
    assert [answered[0].id for answered in chosen] == ["q4", "q3"]


def test_questions_that_are_mixed_up_are_put_together(one: Prediction) -> None:
    first, second = asked(one, "a", 1, 0), asked(one, "b", 1, 0)
    chosen = most_different([first[0], second[0], first[1], second[1]])
    assert [[each.id for each in answered] for answered in chosen] == [["a", "a"], ["b", "b"]]


def test_a_row_shows_label_answer_score_and_the_gold_documents_found(evaluated: Any, one: Prediction) -> None:
    prediction = replace(
        one,
        condition="retrieved_memory",
        prediction="two\nlines",
        f1=0.5,
        documents=(("d1", 0.9), ("d2", 0.1)),
        gold=("d2", "d3"),
    )
    (sample,) = samples(evaluated.results, [prediction, replace(one, condition="none", prediction="", f1=0.0)])
    assert sample.rows[1:] == [
        ["retrieved memory (Normal)", "two lines", "0.50", "1 of 2"],
        ["no memory", "(nothing)", "0.00", "-"],
    ]
    assert sample.facts == "Right: copper 0 / copper. Question q0."


def test_long_text_is_cut_in_sight() -> None:
    assert shortened("x" * LONGEST) == "x" * LONGEST
    assert shortened("x" * (LONGEST + 1)) == "x" * (LONGEST - 3) + "..."
