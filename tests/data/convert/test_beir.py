"""BEIR folders: a corpus and its judged queries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.data.readers import read_documents, read_questions
from clara_lightning.data.records import Document, Question
from clara_lightning.data.writers import write_jsonl

CORPUS = [
    {"_id": "d1", "title": "Albert", "text": "He was a physicist.", "metadata": {"year": 1905}},
    {"_id": "d2", "title": "A title alone", "text": "", "metadata": {}},
    {"_id": "d3", "title": "", "text": "No title."},
    {"_id": "d4", "title": "", "text": " "},
]
QUERIES = [{"_id": name, "text": f"What is {name}?", "metadata": {}} for name in ("q1", "q2", "q3", "q4")]
TEST = [
    ("q1", "d1", 1),
    ("q1", "d3", 2),
    ("q1", "d2", 0),
    ("q2", "d2", 1),
    ("q2", "d9", 1),
    ("q3", "d4", 1),
    ("q9", "d1", 1),
]


@pytest.fixture
def source(write: Any, tmp_path: Path) -> Path:
    write("beir/corpus.jsonl", *CORPUS)
    write("beir/queries.jsonl", *QUERIES)
    write("beir/qrels/test.tsv", judgements(*TEST))
    write("beir/qrels/dev.tsv", judgements(("q4", "d1", 1)))
    return tmp_path / "beir"


def judgements(*rows: tuple[str, str, object]) -> str:
    return "query-id\tcorpus-id\tscore\n" + "".join("\t".join(map(str, row)) + "\n" for row in rows)


def test_corpus_and_judged_queries_become_documents_and_questions(source: Path, clara: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"

    outcome = clara("convert", "--from", "beir", source, out, "--json")

    documents, questions = list(read_documents(out / "documents.jsonl")), list(read_questions(out / "questions.jsonl"))
    assert documents == [
        Document("d1", "He was a physicist.", "Albert", {"year": 1905}),
        Document("d2", "A title alone"),
        Document("d3", "No title."),
    ]
    assert questions == [
        Question("q1", "What is q1?", (), gold_ids=("d1", "d3")),
        Question("q2", "What is q2?", (), gold_ids=("d2",)),
    ]
    assert json.loads(outcome.out) == {
        **{
            "rows_in": 4 + 4 + 7,
            "rows_out": 5,
            "documents": 3,
            "questions": 2,
            "examples": 0,
            "passages": 0,
            "gold": 3,
        },
        "left_out": {
            "judgements that deny relevance": 1,
            "documents without text": 1,
            "relevant documents that the corpus lacks": 2,  # d9 of q2, and d4 of q3, which has no text
            "queries without a relevant document": 2,
            "judged queries that are not in queries.jsonl": 1,
        },
    }
    for name, records in (("documents", documents), ("questions", questions)):
        write_jsonl(tmp_path / "again.jsonl", records)
        assert (tmp_path / "again.jsonl").read_bytes() == (out / f"{name}.jsonl").read_bytes()


def test_a_split_chooses_the_judgements(source: Path, clara: Any, tmp_path: Path) -> None:
    assert clara("convert", "--from", "beir", source, tmp_path / "out", "--split", "dev").code == 0

    assert [question.id for question in read_questions(tmp_path / "out" / "questions.jsonl")] == ["q4"]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (
            "qrels/test.tsv",
            judgements(("q1", "d1", "high")),
            "qrels/test.tsv:2: score: expected a whole number, got 'high'",
        ),
        ("corpus.jsonl", json.dumps(CORPUS[0]) + "\n{}", "corpus.jsonl:2: _id: missing"),
        ("queries.jsonl", '{"_id": "q1"}', "queries.jsonl:1: text: missing"),
    ],
)
def test_a_mistake_in_any_file_leaves_no_folder(
    source: Path, write: Any, refuse: Any, tmp_path: Path, name: str, content: str, problem: str
) -> None:
    write(f"beir/{name}", content)

    assert refuse("beir", source) == f"beir/{problem}"
    assert {path.name for path in tmp_path.iterdir()} == {"beir"}


def test_a_split_that_is_not_there_is_refused_with_those_that_are(source: Path, refuse: Any) -> None:
    problem = "beir/qrels/train.tsv: no such file; --split takes one of those that are there: dev, test"

    assert refuse("beir", source, "--split", "train") == problem


def test_replacing_keeps_a_folder_that_holds_something_else(source: Path, clara: Any, tmp_path: Path) -> None:
    args = ("convert", "--from", "beir", source, tmp_path / "out")
    assert clara(*args).code == 0
    assert "is there already; --replace writes over it" in clara(*args).mistake
    assert clara(*args, "--replace").code == 0

    (tmp_path / "out" / "notes.txt").write_text("mine")

    assert clara(*args, "--replace").mistake.endswith(
        "--replace writes over a folder that holds nothing but documents.jsonl and questions.jsonl, and this is none"
    )
