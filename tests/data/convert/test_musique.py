"""MuSiQue, whose full form has questions without an answer."""

from __future__ import annotations

from typing import Any

import pytest

from clara_lightning.data.records import Passage, Question

PARAGRAPHS = [
    {"idx": 0, "title": "Green", "paragraph_text": "By Steve Hillage.", "is_supporting": True},
    {"idx": 1, "title": "Yes", "paragraph_text": "A band.", "is_supporting": False},
]
ROW: dict[str, Any] = {
    **{"id": "2hop__1_2", "question": "Who performs Green?", "answer": "Steve Hillage"},
    **{"answer_aliases": ["Hillage", "Steve Hillage"], "answerable": True, "paragraphs": PARAGRAPHS},
}
PASSAGES = (Passage("By Steve Hillage.", True, title="Green"), Passage("A band.", False, title="Yes"))


def test_rows_become_questions_with_aliases_and_supporting_passages(write: Any, convert: Any) -> None:
    assert convert("musique", write("dev.jsonl", ROW)) == (
        [Question("2hop__1_2", "Who performs Green?", ("Steve Hillage", "Hillage"), PASSAGES)],
        {"rows_in": 1, "rows_out": 1, "questions": 1, "passages": 2, "gold": 1},
    )


def test_questions_without_an_answer_are_left_out_and_counted(write: Any, convert: Any) -> None:
    questions, counts = convert("musique", write("full.jsonl", ROW, ROW | {"answerable": False}))

    assert len(questions) == 1 and counts["rows_in"] == 2
    assert counts["left_out"] == {"questions that cannot be answered": 1}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"answerable": "no"}, "answerable: expected a boolean, got a string ('no')"),
        ({"paragraphs": [PARAGRAPHS[0] | {"is_supporting": None}]}, "paragraphs[0].is_supporting: missing"),
        ({"paragraphs": [PARAGRAPHS[0] | {"paragraph_text": ""}]}, "paragraphs[0].paragraph_text: empty"),
    ],
)
def test_a_bad_row_is_refused_with_line_and_field(write: Any, refuse: Any, change: Any, problem: str) -> None:
    assert refuse("musique", write("dev.jsonl", ROW, ROW | change)) == f"dev.jsonl:2: {problem}"
