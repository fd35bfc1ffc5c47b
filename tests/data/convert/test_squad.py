"""SQuAD's nested files."""

from __future__ import annotations

from typing import Any

import pytest

from clara_lightning.data.records import Passage, Question

ANSWERS = [{"text": "in 1989", "answer_start": 3}, {"text": "1989", "answer_start": 6}, {"text": "in 1989"}]
QA: dict[str, Any] = {"id": "a1", "question": "When?", "answers": ANSWERS}
IMPOSSIBLE = {"id": "a2", "question": "Why?", "answers": [], "is_impossible": True, "plausible_answers": ANSWERS}


def squad(*paragraphs: list[Any]) -> dict[str, Any]:
    """A file of one article without questions, and one with these paragraphs' questions."""
    filled = [{"context": f"Text {number}.", "qas": qas} for number, qas in enumerate(paragraphs)]
    return {"version": "v2.0", "data": [{"title": "Empty", "paragraphs": []}, {"title": "Wall", "paragraphs": filled}]}


def test_each_question_has_its_paragraph_as_gold_passage(write: Any, convert: Any) -> None:
    path = write("train-v1.1.json", squad([QA], [QA | {"id": "b1"}]))

    assert convert("squad", path) == (
        [
            Question(name, "When?", ("in 1989", "1989"), (Passage(text, True, title="Wall"),))
            for name, text in (("a1", "Text 0."), ("b1", "Text 1."))
        ],
        {"rows_in": 2, "rows_out": 2, "questions": 2, "passages": 2, "gold": 2},
    )


def test_impossible_questions_are_left_out_and_counted(write: Any, convert: Any) -> None:
    questions, counts = convert("squad", write("dev-v2.0.json", squad([IMPOSSIBLE, QA | {"is_impossible": False}])))

    assert [question.id for question in questions] == ["a1"]
    assert counts["left_out"] == {"questions that cannot be answered": 1} and counts["rows_in"] == 2


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (QA | {"answers": []}, "question 2: data[1].paragraphs[0].qas[1].answers: empty list"),
        (QA | {"id": None}, "question 2: data[1].paragraphs[0].qas[1].id: missing"),
        (7, "data[1].paragraphs[0].qas[1]: expected an object, got a number (7)"),
    ],
)
def test_a_bad_question_is_refused_with_its_place(write: Any, refuse: Any, bad: Any, problem: str) -> None:
    assert refuse("squad", write("dev.json", squad([QA, bad]))) == f"dev.json: {problem}"


def test_a_bad_question_can_be_skipped(write: Any, convert: Any) -> None:
    questions, counts = convert("squad", write("dev.json", squad([{"id": "x"}, QA])), "--skip-bad-rows", 1)

    assert [question.id for question in questions] == ["a1"]
    assert counts["rows_in"] == 2 and counts["left_out"] == {"bad rows": 1}


def test_json_that_is_broken_is_named_with_its_line(write: Any, refuse: Any) -> None:
    message = refuse("squad", write("dev.json", '{"data":\n [}'))

    assert message == "dev.json: not a JSON object: Expecting value at line 2, column 3"
