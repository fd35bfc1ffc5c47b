"""Rows of the reference's data sets, converted: what is read from them directly is what is read afterwards."""

from __future__ import annotations

from typing import Any

from clara_lightning.data.readers import read_questions, read_scp

PRETRAINING = {"data_type": "qa", "question": ["Q?", "R?"], "answers": ["a", "b"], "docs": ["Text."]}
PARAPHRASE = {"data_type": "paraphrase", "question": [""], "answers": ["Words.", "More."], "docs": ["Text."]}
END_TO_END = {"question": "Q?", "answer": "a", "golden_answers": ["b"], "docs": ["one", "two"], "pos_index": [1]}


def test_end_to_end_rows_become_the_questions_that_they_are_read_as(write: Any, convert: Any) -> None:
    path = write("end_to_end.jsonl", END_TO_END, END_TO_END | {"id": "nq-7"})

    questions, counts = convert("reference", path)

    assert questions == list(read_questions(path)) and [question.id for question in questions] == ["row-1", "nq-7"]
    assert counts == {"rows_in": 2, "rows_out": 2, "questions": 2, "passages": 4, "gold": 2}


def test_pretraining_rows_become_the_examples_that_they_are_read_as(write: Any, convert: Any) -> None:
    path = write("pretraining.jsonl", PRETRAINING, PARAPHRASE)

    examples, counts = convert("reference", path)

    assert examples == list(read_scp(path))
    assert counts == {"rows_in": 2, "rows_out": 3, "examples": 3}


def test_the_two_kinds_are_not_mixed(write: Any, refuse: Any) -> None:
    assert refuse("reference", write("mixed.jsonl", PRETRAINING, END_TO_END)) == (
        "mixed.jsonl:2: docs: pretraining rows and questions in one file; convert them from files of their own"
    )


def test_a_row_of_another_format_is_refused(write: Any, refuse: Any) -> None:
    assert (
        refuse("reference", write("other.jsonl", {"question": "Q?", "answers": ["a"]}))
        == "other.jsonl:1: docs: missing"
    )
