"""HotpotQA and 2WikiMultiHopQA in the forms in which they are published."""

from __future__ import annotations

import json
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from clara_lightning.data.records import Passage, Question

CONTEXT = [
    ["Arthur's Magazine", ["It began in 1844.", " It ended in 1846."]],
    ["Radio City", ["A station.", ""]],
    ["First for Women", ["It began in 1989."]],
]
FACTS = [["Arthur's Magazine", 0], ["First for Women", 0], ["Arthur's Magazine", 1]]
PUBLISHED: dict[str, Any] = {
    **{"_id": "5a7a", "question": "Which began first?", "answer": "Arthur's Magazine", "type": "comparison"},
    **{"supporting_facts": FACTS, "context": CONTEXT, "level": "medium"},
}
QUESTION = Question(
    "5a7a",
    "Which began first?",
    ("Arthur's Magazine",),
    (
        Passage("It began in 1844. It ended in 1846.", True, title="Arthur's Magazine"),
        Passage("A station.", False, title="Radio City"),
        Passage("It began in 1989.", True, title="First for Women"),
    ),
)
COUNTS = {"rows_in": 1, "rows_out": 1, "questions": 1, "passages": 3, "gold": 2}


def hub_row() -> dict[str, Any]:
    """The row as the hub's copy has it: columns of lists."""
    facts, context = list(zip(*FACTS, strict=True)), list(zip(*CONTEXT, strict=True))
    columns = {
        "supporting_facts": {"title": list(facts[0]), "sent_id": list(facts[1])},
        "context": {"title": list(context[0]), "sentences": list(context[1])},
    }
    return {"id": "5a7a"} | {key: PUBLISHED[key] for key in ("question", "answer", "type")} | columns


@pytest.mark.parametrize("name", ["hotpotqa", "2wikimultihopqa"])
def test_the_published_list_becomes_questions_with_gold_passages(name: str, write: Any, convert: Any) -> None:
    assert convert(name, write("train.json", [PUBLISHED])) == ([QUESTION], COUNTS)


def test_columns_of_lists_in_jsonl_are_read(write: Any, convert: Any) -> None:
    assert convert("hotpotqa", write("hub.jsonl", hub_row())) == ([QUESTION], COUNTS)


def test_columns_of_lists_in_parquet_are_read(tmp_path: Any, convert: Any) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([hub_row()]), tmp_path / "hub.parquet")

    assert convert("hotpotqa", tmp_path / "hub.parquet") == ([QUESTION], COUNTS)


def test_lists_that_are_strings_of_json_are_read(write: Any, convert: Any) -> None:
    texts = {key: json.dumps(PUBLISHED[key]) for key in ("context", "supporting_facts")}

    assert convert("2wikimultihopqa", write("dev.jsonl", PUBLISHED | texts)) == ([QUESTION], COUNTS)


def test_paragraphs_without_text_and_gold_without_a_paragraph_are_counted(write: Any, convert: Any) -> None:
    context = [*CONTEXT[:2], ["First for Women", [" "]]]

    (question,), counts = convert("hotpotqa", write("wiki.json", [PUBLISHED | {"context": context}]))

    assert question.passages == QUESTION.passages[:2]
    assert counts["left_out"] == {"paragraphs without text": 1, "gold titles without a paragraph": 1}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"answer": None}, "answer: missing"),
        ({"context": [CONTEXT[0], ["Radio City"]]}, "context[1]: expected a pair of title and sentences, got a list"),
        ({"supporting_facts": {"title": ["A"], "sent_id": []}}, "supporting_facts: 1 of title, and 0 of sent_id"),
    ],
)
def test_a_bad_row_is_refused_with_row_and_field(write: Any, refuse: Any, change: dict[str, Any], problem: str) -> None:
    path = write("train.json", [PUBLISHED, PUBLISHED | change])

    assert refuse("hotpotqa", path).startswith(f"train.json: row 2: {problem}")
