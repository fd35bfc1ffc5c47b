"""What the readers accept, and the one line with which they refuse everything else."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.data.readers import read_documents, read_questions, read_scp
from clara_lightning.data.records import Document, Passage, QAPair, Question, SCPExample, content_id
from clara_lightning.errors import ClaraError

Reader = Callable[..., Iterator[Any]]

DOCUMENT: dict[str, Any] = {"id": "d1", "text": "Paris is the capital of France."}
QUESTION: dict[str, Any] = {"id": "q1", "question": "Capital of France?", "answers": ["Paris", "Paris, France"]}
SCP: dict[str, Any] = {"id": "s1", "document": "Paris.", "pairs": [{"question": "Q?", "answer": "A", "kind": "simple"}]}
GOLD: dict[str, Any] = {"text": "Paris is a city.", "gold": True}
UNSEARCHABLE = "empty list, and neither gold_ids nor a gold passage that could be searched for"
UNANSWERED = "answers: question 'q1' has none: it can be searched for, not learned from"


def write_lines(folder: Path, *rows: Any) -> Path:
    """A JSONL file of ``rows``; a string or bytes stands for itself."""
    path = folder / "data.jsonl"
    encoded = [json.dumps(row) if not isinstance(row, str | bytes) else row for row in rows]
    path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in encoded))
    return path


def refusal(reader: Reader, path: Path, **options: Any) -> str:
    """The message with which ``reader`` refuses ``path``, without the folder."""
    with pytest.raises(ClaraError) as caught:
        list(reader(path, **options))
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{path.parent}/")


def test_a_document_keeps_id_title_text_and_metadata(tmp_path: Path) -> None:
    row = DOCUMENT | {"title": "France", "metadata": {"source": "atlas", "year": 2020}}

    assert list(read_documents(write_lines(tmp_path, row))) == [
        Document(id="d1", text=DOCUMENT["text"], title="France", metadata={"source": "atlas", "year": 2020})
    ]


def test_null_stands_for_a_field_left_out(tmp_path: Path) -> None:
    path = write_lines(tmp_path, DOCUMENT | {"title": None, "metadata": None})

    assert list(read_documents(path)) == [Document(id="d1", text=DOCUMENT["text"])]


def test_unknown_keys_are_ignored(tmp_path: Path) -> None:
    assert len(list(read_documents(write_lines(tmp_path, DOCUMENT | {"source": "web", "embedding": [0.5]})))) == 1


def test_blank_lines_crlf_and_a_byte_order_mark_are_tolerated(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(DOCUMENT).encode() + b"\r\n\r\n  \n")

    assert [document.id for document in read_documents(path)] == ["d1"]


def test_a_question_keeps_answers_passages_and_gold_ids(tmp_path: Path) -> None:
    passages = [{"id": "p1", "title": "Paris", "text": "A city.", "gold": True}, {"text": "A river.", "gold": False}]

    assert list(read_questions(write_lines(tmp_path, QUESTION | {"passages": passages, "gold_ids": ["d1"]}))) == [
        Question(
            id="q1",
            question="Capital of France?",
            answers=("Paris", "Paris, France"),
            passages=(Passage("A city.", True, id="p1", title="Paris"), Passage("A river.", False)),
            gold_ids=("d1",),
        )
    ]


@pytest.mark.parametrize("gold", [{"gold_ids": ["d1"]}, {"passages": [GOLD]}], ids=["ids", "passage"])
def test_a_question_that_can_be_searched_for_needs_no_answer(tmp_path: Path, gold: dict[str, Any]) -> None:
    path = write_lines(tmp_path, QUESTION | {"answers": []} | gold)

    assert [question.answers for question in read_questions(path)] == [()]
    assert refusal(read_questions, path, require_answers=True) == f"data.jsonl:1: {UNANSWERED}"
    assert refusal(read_scp, path) == f"data.jsonl:1: {UNANSWERED}"


def test_an_scp_row_keeps_pairs_paraphrase_and_teacher(tmp_path: Path) -> None:
    pairs = [{"question": "Q?", "answer": "A", "kind": "complex"}, {"question": "R?", "answer": "B"}]

    assert list(read_scp(write_lines(tmp_path, SCP | {"pairs": pairs, "paraphrase": "P.", "teacher": "t"}))) == [
        SCPExample("s1", "Paris.", (QAPair("Q?", "A", "complex"), QAPair("R?", "B", "simple")), "P.", "t")
    ]


def test_questions_become_one_scp_example_for_each_gold_passage(tmp_path: Path) -> None:
    other = {"title": "Nile", "text": "A river.", "gold": True}
    path = write_lines(
        tmp_path,
        QUESTION | {"passages": [other | {"gold": False}, GOLD]},
        QUESTION | {"id": "q2", "question": "Longest river?", "answers": ["Nile"], "passages": [other]},
        QUESTION | {"id": "q3", "question": "What is Paris?", "answers": ["a city"], "passages": [GOLD]},
    )

    assert list(read_scp(path)) == [
        SCPExample(
            content_id("Paris is a city."),
            "Paris is a city.",
            (QAPair("Capital of France?", "Paris"), QAPair("What is Paris?", "a city")),
        ),
        SCPExample(content_id("Nile\n A river."), "Nile\n A river.", (QAPair("Longest river?", "Nile"),)),
    ]


def test_examples_of_questions_with_the_same_id_have_ids_of_their_own(tmp_path: Path) -> None:
    path = write_lines(tmp_path, *(QUESTION | {"passages": [GOLD | {"text": text}]} for text in ("one", "two")))

    assert len({example.id for example in read_scp(path)}) == 2


def test_a_question_with_several_gold_passages_is_a_complex_pair_of_each(tmp_path: Path) -> None:
    path = write_lines(tmp_path, QUESTION | {"passages": [GOLD, {"text": "France.", "gold": True}]})

    pair = QAPair("Capital of France?", "Paris", "complex")
    assert list(read_scp(path)) == [
        SCPExample(content_id("Paris is a city."), "Paris is a city.", (pair,)),
        SCPExample(content_id("France."), "France.", (pair,)),
    ]


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    assert list(read_documents(write_lines(tmp_path))) == []


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('{"id": "d2", "text": ', "not a JSON object on one line: Expecting value at column 22"),
        (b'{"id": "d2", "text": "caf\xe9"}', "not UTF-8: byte 0xe9 at column 26"),
        ('{"id": "d2", "text": "t", "metadata": {"x": NaN}}', "not JSON that can be read: NaN is no JSON value"),
        ('{"id": "d2", "text": "\\ud800"}', r"half of a surrogate pair ('\ud800') is no character"),
        ([1, 2], "the row: expected an object, got a list ([1, 2])"),
        ({"text": "t"}, "id: missing"),
        ({"id": "d2"}, "text: missing"),
        ({"id": "d2", "text": None}, "text: missing"),
        ({"id": 7, "text": "t"}, "id: expected a string, got a number (7)"),
        ({"id": "d2", "text": ["t"]}, "text: expected a string, got a list (['t'])"),
        ({"id": "d2", "text": " \n\t"}, "text: empty"),
        ({"id": " ", "text": "t"}, "id: empty"),
        ({"id": "d2", "text": "t", "title": True}, "title: expected a string, got a boolean (True)"),
        ({"id": "d2", "text": "t", "metadata": "m"}, "metadata: expected an object, got a string ('m')"),
        (DOCUMENT, "id: 'd1' is the id of an earlier document"),
    ],
)
def test_a_bad_document_is_refused_with_its_line_and_field(tmp_path: Path, row: Any, problem: str) -> None:
    assert refusal(read_documents, write_lines(tmp_path, DOCUMENT, row)) == f"data.jsonl:2: {problem}"


@pytest.mark.parametrize("bomb", ["[" * 200_000, '{"id": ' + "9" * 5000 + "}"], ids=["nesting", "digits"])
def test_json_that_python_cannot_hold_is_refused_as_a_bad_line(tmp_path: Path, bomb: str) -> None:
    assert refusal(read_documents, write_lines(tmp_path, bomb)).startswith("data.jsonl:1: not JSON that can be read: ")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": None}, "id: missing"),
        ({"question": "  "}, "question: empty"),
        ({"question": ["a", "b"]}, "question: expected a string, got a list (['a', 'b'])"),
        ({"answers": None}, "answers: missing"),
        ({"answers": []}, f"answers: {UNSEARCHABLE}"),
        ({"answers": [], "passages": [GOLD | {"gold": False}]}, f"answers: {UNSEARCHABLE}"),
        ({"answers": "Paris"}, "answers: expected a list, got a string ('Paris')"),
        ({"answers": ["Paris", ""]}, "answers[1]: empty"),
        ({"answers": [None]}, "answers[0]: expected a string, got null"),
        ({"passages": {"text": "t"}}, "passages: expected a list, got an object ({'text': 't'})"),
        ({"passages": ["t"]}, "passages[0]: expected an object, got a string ('t')"),
        ({"passages": [GOLD, {"text": "t"}]}, "passages[1].gold: missing"),
        ({"passages": [{"text": "t", "gold": 1}]}, "passages[0].gold: expected a boolean, got a number (1)"),
        ({"passages": [{"text": "", "gold": True}]}, "passages[0].text: empty"),
        ({"passages": [GOLD | {"id": 3}]}, "passages[0].id: expected a string, got a number (3)"),
        ({"gold_ids": "d1"}, "gold_ids: expected a list, got a string ('d1')"),
        ({"gold_ids": ["d1", 2]}, "gold_ids[1]: expected a string, got a number (2)"),
    ],
)
def test_a_bad_question_is_refused_with_its_line_and_field(tmp_path: Path, change: Any, problem: str) -> None:
    assert refusal(read_questions, write_lines(tmp_path, QUESTION | change)) == f"data.jsonl:1: {problem}"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (SCP | {"document": ""}, "document: empty"),
        (SCP | {"pairs": []}, "pairs: none, and no paraphrase either"),
        (SCP | {"pairs": "Q"}, "pairs: expected a list, got a string ('Q')"),
        (SCP | {"pairs": [{"question": "Q?"}]}, "pairs[0].answer: missing"),
        (
            SCP | {"pairs": [{"question": "Q?", "answer": "A", "kind": "hard"}]},
            """pairs[0].kind: expected "simple" or "complex", got a string ('hard')""",
        ),
        (SCP | {"paraphrase": " "}, "paraphrase: empty"),
        (DOCUMENT, "document: missing"),
        (
            QUESTION | {"passages": [GOLD | {"gold": False}]},
            "passages: none is marked gold, so there is no document to learn to compress",
        ),
    ],
)
def test_bad_supervision_is_refused_with_its_line_and_field(tmp_path: Path, row: Any, problem: str) -> None:
    assert refusal(read_scp, write_lines(tmp_path, row)) == f"data.jsonl:1: {problem}"


def test_a_long_value_is_shortened_in_the_message(tmp_path: Path) -> None:
    assert len(refusal(read_documents, write_lines(tmp_path, {"id": ["x\n" * 9999], "text": "t"}))) < 120


def test_skipped_rows_are_counted_and_the_first_is_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_lines(tmp_path, "{", DOCUMENT, DOCUMENT, DOCUMENT | {"id": "d2"})

    with caplog.at_level(logging.WARNING):
        documents = list(read_documents(path, skip_bad_rows=2))

    assert [document.id for document in documents] == ["d1", "d2"]
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{path}: skipped bad rows: 2; the first: {path}:1: not a JSON object")


def test_one_bad_row_more_than_allowed_is_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_lines(tmp_path, "{", DOCUMENT, {"id": "d2"})

    assert refusal(read_documents, path, skip_bad_rows=1) == "data.jsonl:3: text: missing"
    assert "skipped bad rows: 1" in caplog.text


def test_a_file_without_bad_rows_logs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    list(read_documents(write_lines(tmp_path, DOCUMENT), skip_bad_rows=3))

    assert not caplog.records


def test_skipping_questions_keeps_the_gathered_examples(tmp_path: Path) -> None:
    path = write_lines(tmp_path, QUESTION | {"passages": [GOLD]}, QUESTION)

    assert [example.document for example in read_scp(path, skip_bad_rows=1)] == ["Paris is a city."]


def test_a_negative_number_of_rows_to_skip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClaraError, match=re.escape("skip_bad_rows must be >= 0, got -1")):
        read_documents(write_lines(tmp_path, DOCUMENT), skip_bad_rows=-1)


def test_rows_are_read_only_when_they_are_asked_for(tmp_path: Path) -> None:
    documents = read_documents(write_lines(tmp_path, DOCUMENT, "{"))

    assert next(documents).id == "d1"
    with pytest.raises(ClaraError, match=r"data\.jsonl:2: "):
        next(documents)


def test_a_question_file_is_a_corpus_of_its_distinct_passages(tmp_path: Path) -> None:
    rows = [
        {"id": "1", "question": "Q?", "answers": ["a"], "passages": [{"id": "p", "text": "One.", "gold": True}]},
        {
            "id": "2",
            "question": "R?",
            "answers": ["b"],
            "passages": [{"id": "p", "text": "One.", "gold": False}, {"title": "T", "text": "Two.", "gold": True}],
        },
    ]
    path = tmp_path / "qa.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    documents = list(read_documents(path))

    assert documents == [Document("p", "One."), Document(content_id("T\n Two."), "Two.", "T")]
    assert list(read_questions(path))[1].gold_document_ids == (documents[1].id,)
