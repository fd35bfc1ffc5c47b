"""What the DataModules make of a row."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.data.examples import ReadingExample
from clara_lightning.data.modules import InstructDataModule, QADataModule, SCPDataModule
from clara_lightning.data.records import Passage, QAPair, Question, SCPExample
from clara_lightning.errors import ClaraError

PAIRS = (QAPair("one?", "1"), QAPair("two?", "2"), QAPair("three?", "3", "complex"))


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def scp_row(number: int, *, pairs: int = 1, paraphrase: str | None = "other words") -> dict[str, Any]:
    asked = [{"question": f"q{n}", "answer": f"a{n}", "kind": "simple"} for n in range(pairs)]
    return {"id": f"s{number}", "document": f"doc {number}", "pairs": asked, "paraphrase": paraphrase}


def qa_row(number: int, *, passages: int = 2) -> dict[str, Any]:
    found = [{"text": f"text {number}.{n}", "title": "T", "gold": n == 0} for n in range(passages)]
    return {"id": f"q{number}", "question": f"why {number}?", "answers": ["a", "b"]} | (
        {"passages": found} if found else {}
    )


def drawn(module: SCPDataModule, row: SCPExample, count: int = 4000) -> list[ReadingExample]:
    return [module.train_example(row, random.Random(number)) for number in range(count)]


# --- SCP -----------------------------------------------------------------------------------------------------------


def test_a_short_answer_that_stands_in_the_document_is_easy() -> None:
    module, document = SCPDataModule(), "The mill by the river burned down in 1871."
    answers = (("1871",), ("the river", "1871."), ("By the river!",), ("fire",), ())
    rows = [SCPExample("s", document, tuple(QAPair("?", each) for each in some), "other") for some in answers]
    assert [module.difficulty(row) for row in rows] == [1, 1.5, 3, 101, math.inf]


def test_easy_questions_are_trained_on_first(tmp_path: Path) -> None:
    rows = [scp_row(number) for number in range(40)]
    for row in rows[:4]:
        row["document"] += " a0"
    module = SCPDataModule(write(tmp_path / "scp.jsonl", rows), batch_size=4, easy_until=1.0)
    module.setup("fit")
    taken = [example.documents[0] for batch in module.train_dataloader() for example in batch]
    assert len(set(taken)) == 40
    assert max(place for place, document in enumerate(taken) if document.endswith(" a0")) < 10


@pytest.mark.parametrize("part", [-0.1, 1.5])
def test_the_part_with_easy_questions_is_a_part(part: float) -> None:
    with pytest.raises(ClaraError, match=rf"data\.init_args\.easy_until must be in \[0, 1\], got {part}"):
        SCPDataModule(easy_until=part)


def test_targets_are_drawn_by_their_shares() -> None:
    module = SCPDataModule(pair_share=0.5, all_pairs_share=0.3, paraphrase_share=0.2)
    counts = Counter(example.task for example in drawn(module, SCPExample("s", "doc", PAIRS, "other words")))
    shares = {task: count / 4000 for task, count in counts.items()}
    assert shares == pytest.approx({"question": 0.5, "all_pairs": 0.3, "paraphrase": 0.2}, abs=0.03)


def test_shares_need_not_sum_to_one() -> None:
    module = SCPDataModule(pair_share=3, all_pairs_share=1, paraphrase_share=0)
    counts = Counter(example.task for example in drawn(module, SCPExample("s", "doc", PAIRS, "other words")))
    assert counts["question"] / 4000 == pytest.approx(0.75, abs=0.03) and counts["paraphrase"] == 0


def test_every_pair_is_asked_alike() -> None:
    module = SCPDataModule(pair_share=1, all_pairs_share=0, paraphrase_share=0)
    counts = Counter((e.question, e.answer) for e in drawn(module, SCPExample("s", "doc", PAIRS)))
    assert set(counts) == {("one?", "1"), ("two?", "2"), ("three?", "3")}
    assert min(counts.values()) > 1200


def test_all_pairs_are_one_turn_and_the_paraphrase_another() -> None:
    row = SCPExample("s", "doc", PAIRS[:2], "other words")
    pairs = SCPDataModule(pair_share=0, all_pairs_share=1, paraphrase_share=0).train_example(row, random.Random(0))
    assert pairs == ReadingExample(("doc",), "all_pairs", "Question: one?\nAnswer: 1\nQuestion: two?\nAnswer: 2")
    tasks = {e.task: e for e in drawn(SCPDataModule(), row, 50)}
    assert tasks["paraphrase"] == ReadingExample(("doc",), "paraphrase", "other words")


@pytest.mark.parametrize(
    ("row", "tasks"),
    [
        (SCPExample("s", "doc", PAIRS, None), {"question", "all_pairs"}),
        (SCPExample("s", "doc", (), "other words"), {"paraphrase"}),
    ],
    ids=["no paraphrase", "no pairs"],
)
def test_a_row_gets_only_the_targets_that_it_has(row: SCPExample, tasks: set[str]) -> None:
    assert {example.task for example in drawn(SCPDataModule(), row, 100)} == tasks


def test_validation_asks_the_first_pair_of_each_row_that_has_one(tmp_path: Path) -> None:
    path = write(tmp_path / "scp.jsonl", [scp_row(0, pairs=2), scp_row(1, pairs=0), scp_row(2)])
    module = SCPDataModule(train=path, val=path, batch_size=2)
    module.setup("fit")
    batches = list(module.val_dataloader())
    assert [[e.documents for e in batch] for batch in batches] == [[("doc 0",), ("doc 2",)]]
    assert all((e.task, e.question, e.answer) == ("question", "q0", "a0") for e in batches[0])
    assert len(module.train_rows) == 3


def test_calibration_sees_every_document_and_question_of_training(tmp_path: Path) -> None:
    module = SCPDataModule(train=write(tmp_path / "scp.jsonl", [scp_row(0, pairs=2), scp_row(1)]))
    module.setup("fit")
    assert module.documents() == ["doc 0", "doc 1"]
    assert module.questions() == ["q0", "q1", "q0"]


def test_a_row_with_a_paraphrase_alone_needs_a_share_for_it(tmp_path: Path) -> None:
    path = write(tmp_path / "scp.jsonl", [scp_row(0), scp_row(1, pairs=0)])
    with pytest.raises(ClaraError, match=r"scp\.jsonl: row 's1': .* data\.init_args\.paraphrase_share is 0"):
        SCPDataModule(train=path, paraphrase_share=0).setup("fit")


@pytest.mark.parametrize("shares", [{"pair_share": -1}, {"pair_share": 0, "all_pairs_share": 0}])
def test_shares_that_leave_nothing_to_ask_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ClaraError, match=r"pair_share( and all_pairs_share)? must (be >= 0|not both be 0)"):
        SCPDataModule(**shares)


# --- instruction tuning ----------------------------------------------------------------------------------------------


def passages(gold: int, others: int) -> tuple[Passage, ...]:
    found = [Passage(f"other {n}", gold=False) for n in range(others)] + [
        Passage(f"gold {n}", gold=True, title="T") for n in range(gold)
    ]
    return tuple(found)


@pytest.mark.parametrize(("gold", "others", "k"), [(1, 6, 3), (2, 6, 3), (3, 1, 2), (1, 1, 5), (0, 4, 2), (2, 0, 2)])
def test_gold_passages_are_taken_first_and_shuffled_among_the_others(gold: int, others: int, k: int) -> None:
    module = InstructDataModule(documents_per_question=k)
    row = Question("q", "why?", ("a", "b"), passages(gold, others))
    examples = [module.train_example(row, random.Random(seed)) for seed in range(60)]
    for example in examples:
        assert len(set(example.documents)) == len(example.documents) == min(k, gold + others)
        assert sum("gold" in document for document in example.documents) == min(k, gold)
        assert (example.task, example.question, example.answer) == ("question", "why?", "a")
        assert example.references == ("a", "b")
        assert example.gold == tuple("gold" in document for document in example.documents)
    if 0 < gold < k and others:
        assert {e.documents[0].startswith("T\n gold") for e in examples} == {True, False}
    if others > k:
        assert len({frozenset(e.documents) for e in examples}) > 1


def test_instruction_tuning_needs_passages(tmp_path: Path) -> None:
    path = write(tmp_path / "qa.jsonl", [qa_row(0), qa_row(1, passages=0)])
    with pytest.raises(ClaraError, match=r"qa\.jsonl: question 'q1': passages: instruction tuning needs documents"):
        InstructDataModule(train=path).setup("fit")


def test_at_least_one_document_per_question() -> None:
    with pytest.raises(ClaraError, match=r"documents_per_question must be >= 1, got 0"):
        InstructDataModule(documents_per_question=0)


def test_documents_of_instruction_tuning_are_distinct(tmp_path: Path) -> None:
    module = InstructDataModule(train=write(tmp_path / "qa.jsonl", [qa_row(0), qa_row(1), qa_row(0)]))
    module.setup("fit")
    assert module.documents() == ["T\n text 0.0", "T\n text 0.1", "T\n text 1.0", "T\n text 1.1"]
    assert module.questions() == ["why 0?", "why 1?", "why 0?"]


# --- all -------------------------------------------------------------------------------------------------------------


def test_joint_training_gets_questions_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "qa.jsonl", [qa_row(n, passages=0) for n in range(5)])
    module = QADataModule(train=path, val=path, batch_size=2, max_val_rows=3)
    module.setup("fit")
    assert [[question.id for question in batch] for batch in module.val_dataloader()] == [["q0", "q1"], ["q2"]]
    assert len({question.id for batch in module.train_dataloader() for question in batch}) == 4
    assert module.documents() == []


@pytest.mark.parametrize(
    ("stage", "message"),
    [("fit", r"data\.init_args\.train is required"), ("validate", r"val is required"), ("test", r"val is required")],
)
def test_the_file_that_a_stage_needs_is_required(stage: str, message: str) -> None:
    with pytest.raises(ClaraError, match=message):
        QADataModule().setup(stage)


def test_training_without_a_validation_file_is_allowed(tmp_path: Path) -> None:
    module = QADataModule(train=write(tmp_path / "qa.jsonl", [qa_row(0)]))
    module.setup("fit")
    assert module.val_dataloader() == []


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ClaraError, match=r"empty\.jsonl: holds no rows"):
        QADataModule(train=str(tmp_path / "empty.jsonl")).setup("fit")


@pytest.mark.parametrize("module", [SCPDataModule, InstructDataModule, QADataModule])
@pytest.mark.parametrize("option", ["train", "val"])
def test_a_question_without_answers_is_refused_before_training(tmp_path: Path, module: Any, option: str) -> None:
    good, bad = write(tmp_path / "good.jsonl", [qa_row(0)]), write(tmp_path / "qa.jsonl", [qa_row(1) | {"answers": []}])
    with pytest.raises(ClaraError, match=r"qa\.jsonl:1: answers: question 'q1' has none: .* not learned from$"):
        module(**({"train": good, "val": good} | {option: bad})).setup("fit")


def test_bad_rows_are_refused_unless_they_are_allowed(tmp_path: Path) -> None:
    path = write(tmp_path / "qa.jsonl", [qa_row(0), {"id": "q1"}])
    with pytest.raises(ClaraError, match=r"qa\.jsonl:2"):
        QADataModule(train=path).setup("fit")
    module = QADataModule(train=path, skip_bad_rows=1)
    module.setup("fit")
    assert len(module.train_rows) == 1
