"""Natural Questions without passages, and with those of DPR."""

from __future__ import annotations

from typing import Any

import pytest

from clara_lightning.data.records import Passage, Question

OPEN = {"question": "who won", "answer": ["Ann", "Ann Lee", "Ann"]}
DPR: dict[str, Any] = {
    **{"dataset": "nq_train", "question": "who won", "answers": ["Ann"]},
    "positive_ctxs": [{"title": "Race", "text": "Ann won.", "score": 1000, "passage_id": "7"}],
    "negative_ctxs": [{"title": "Sea", "text": "Wet."}],
    "hard_negative_ctxs": [{"title": "Race", "text": "Bob lost."}, {"title": "", "text": "Cy ran."}],
}


def test_open_questions_have_answers_alone(write: Any, convert: Any) -> None:
    assert convert("nq-open", write("NQ-open.dev.jsonl", OPEN, OPEN)) == (
        [Question(f"row-{number}", "who won", ("Ann", "Ann Lee")) for number in (1, 2)],
        {"rows_in": 2, "rows_out": 2, "questions": 2},
    )


def test_passages_of_dpr_are_candidates_and_the_positive_ones_gold(write: Any, convert: Any) -> None:
    others = (Passage("Bob lost.", False, title="Race"), Passage("Cy ran.", False), Passage("Wet.", False, title="Sea"))

    assert convert("nq-open", write("biencoder-nq-dev.json", [DPR])) == (
        [Question("row-1", "who won", ("Ann",), (Passage("Ann won.", True, title="Race"), *others))],
        {"rows_in": 1, "rows_out": 1, "questions": 1, "passages": 4, "gold": 1},
    )


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"question": "who won"}, "answer: missing"),
        (DPR | {"negative_ctxs": ["Wet."]}, "negative_ctxs[0]: expected an object, got a string ('Wet.')"),
        (DPR | {"positive_ctxs": [{"title": "Race"}]}, "positive_ctxs[0].text: missing"),
    ],
)
def test_a_bad_row_is_refused_with_row_and_field(write: Any, refuse: Any, row: Any, problem: str) -> None:
    assert refuse("nq-open", write("nq.json", [DPR, row])) == f"nq.json: row 2: {problem}"
