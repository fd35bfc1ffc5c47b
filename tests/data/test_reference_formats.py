"""The reference's row formats, as its published data sets have them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.data.readers import read_questions, read_scp
from clara_lightning.data.records import Passage, QAPair, Question, SCPExample, content_id
from clara_lightning.errors import ClaraError

PRETRAINING: dict[str, Any] = {"data_type": "qa", "question": ["Q?", "R?"], "answers": ["a", "b"], "docs": ["Text."]}
PARAPHRASE: dict[str, Any] = {"data_type": "paraphrase", "question": [""], "answers": ["Words."], "docs": ["Text."]}
END_TO_END: dict[str, Any] = {"question": "Q?", "answer": "a", "docs": ["one", "two", "three"], "pos_index": [0, 2]}
PASSAGES = (Passage("one", True), Passage("two", False), Passage("three", True))


def write_lines(folder: Path, *rows: Any) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def without(row: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != key}


def test_a_pretraining_row_is_one_scp_example(tmp_path: Path) -> None:
    assert list(read_scp(write_lines(tmp_path, PRETRAINING))) == [
        SCPExample("row-1", "Text.", (QAPair("Q?", "a"), QAPair("R?", "b")))
    ]


def test_a_pretraining_row_is_one_question_for_each_pair(tmp_path: Path) -> None:
    gold = (Passage("Text.", True),)

    assert list(read_questions(write_lines(tmp_path, PRETRAINING))) == [
        Question("row-1-0", "Q?", ("a",), gold),
        Question("row-1-1", "R?", ("b",), gold),
    ]


@pytest.mark.parametrize("change", [{}, {"question": ""}, {"question": None}, {"data_type": "Paraphrase_long"}])
def test_a_paraphrase_row_is_an_scp_example_without_pairs(tmp_path: Path, change: Any) -> None:
    assert list(read_scp(write_lines(tmp_path, PRETRAINING, PARAPHRASE | change)))[1] == SCPExample(
        "row-2", "Text.", (), paraphrase="Words."
    )


def test_several_paraphrases_are_one_example_each(tmp_path: Path) -> None:
    examples = list(read_scp(write_lines(tmp_path, PARAPHRASE | {"answers": ["One.", "Two."]})))

    assert [(example.id, example.paraphrase) for example in examples] == [("row-1-0", "One."), ("row-1-1", "Two.")]


def test_an_end_to_end_row_is_a_question_whose_gold_passages_are_marked(tmp_path: Path) -> None:
    assert list(read_questions(write_lines(tmp_path, END_TO_END))) == [Question("row-1", "Q?", ("a",), PASSAGES)]


def test_pos_index_may_be_one_position(tmp_path: Path) -> None:
    (question,) = read_questions(write_lines(tmp_path, END_TO_END | {"pos_index": 1}))

    assert [passage.gold for passage in question.passages] == [False, True, False]


@pytest.mark.parametrize("pos_index", [None, []])
def test_without_pos_index_no_passage_is_gold(tmp_path: Path, pos_index: Any) -> None:
    (question,) = read_questions(write_lines(tmp_path, END_TO_END | {"pos_index": pos_index}))

    assert not any(passage.gold for passage in question.passages)


@pytest.mark.parametrize(
    ("given", "answers"),
    [
        ({"golden_answers": ["x", "y"]}, ("x", "y")),
        ({"answers": ["x"]}, ("x",)),
        ({"gold_answer": "x"}, ("x",)),
        ({"gold_answer": "x", "answer": "written by a model"}, ("written by a model", "x")),
        ({"golden_answers": ["x", "y"], "answer": "x"}, ("x", "y")),
    ],
)
def test_answers_come_under_several_names(tmp_path: Path, given: Any, answers: tuple[str, ...]) -> None:
    (question,) = read_questions(write_lines(tmp_path, without(END_TO_END, "answer") | given))

    assert question.answers == answers


def test_an_id_of_the_row_is_kept(tmp_path: Path) -> None:
    (question,) = read_questions(write_lines(tmp_path, END_TO_END | {"id": "nq-7"}))

    assert question.id == "nq-7"


def test_end_to_end_rows_become_supervision_for_their_gold_documents(tmp_path: Path) -> None:
    path = write_lines(tmp_path, END_TO_END | {"pos_index": [1]}, PRETRAINING)

    assert list(read_scp(path)) == [
        SCPExample("row-2", "Text.", (QAPair("Q?", "a"), QAPair("R?", "b"))),
        SCPExample(content_id("two"), "two", (QAPair("Q?", "a"),)),
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (without(END_TO_END, "answer"), "answer: missing (also none of answers, golden_answers, gold_answer)"),
        (END_TO_END | {"docs": []}, "docs: empty list"),
        (END_TO_END | {"docs": "one"}, "docs: expected a list, got a string ('one')"),
        (END_TO_END | {"docs": ["one", " "]}, "docs[1]: empty"),
        (END_TO_END | {"pos_index": [3]}, "pos_index: 3 is no position in docs, which holds 3"),
        (END_TO_END | {"pos_index": -1}, "pos_index: -1 is no position in docs, which holds 3"),
        (END_TO_END | {"pos_index": ["0"]}, "pos_index: expected positions in docs, got a string ('0')"),
        (END_TO_END | {"pos_index": True}, "pos_index: expected positions in docs, got a boolean (True)"),
        (without(END_TO_END, "question"), "question: missing"),
        (PRETRAINING | {"answers": ["a"]}, "answers: expected one for each of 2 questions, got 1"),
        (PRETRAINING | {"docs": ["x", "y"]}, "docs: expected one document in a pretraining row, got 2"),
        (PRETRAINING | {"question": "Q?", "data_type": 3}, "data_type: expected a string, got a number (3)"),
        (PARAPHRASE, "data_type: a paraphrase row holds no question; such a file can be read as SCP data"),
    ],
)
def test_a_bad_row_is_refused_with_its_line_and_field(tmp_path: Path, row: Any, problem: str) -> None:
    with pytest.raises(ClaraError, match=re.escape(f"data.jsonl:1: {problem}") + "$"):
        list(read_questions(write_lines(tmp_path, row)))
