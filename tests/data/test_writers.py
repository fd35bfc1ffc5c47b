"""Written records read back as they were, and a file is there whole or not at all."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clara_lightning.data.readers import read_documents, read_questions, read_scp
from clara_lightning.data.records import Document, Passage, QAPair, Question, SCPExample
from clara_lightning.data.writers import remove_leftovers, replacing, writable, write_folder, write_jsonl
from clara_lightning.errors import ClaraError

ONE = Document("a", "text")

characters = st.characters(exclude_categories=["Cs"])
strings = st.text(characters, max_size=20)
texts = st.text(characters, min_size=1, max_size=20).filter(lambda text: not text.isspace())
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | strings
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3))
documents = st.builds(Document, texts, texts, strings, st.dictionaries(strings, values, max_size=3))
passages = st.builds(Passage, texts, st.booleans(), st.none() | texts, strings)
questions = st.builds(
    Question,
    texts,
    texts,
    st.lists(texts, max_size=3).map(tuple),
    st.lists(passages, max_size=3).map(tuple),
    st.lists(texts, max_size=3).map(tuple),
).filter(lambda question: bool(question.answers or question.gold_document_ids))
pairs = st.lists(st.builds(QAPair, texts, texts, st.sampled_from(["simple", "complex"])), max_size=3).map(tuple)
examples = st.builds(SCPExample, texts, texts, pairs, st.none() | texts, st.none() | texts).filter(
    lambda example: bool(example.pairs) or example.paraphrase is not None
)


@pytest.mark.parametrize(
    ("read", "record_lists"),
    [
        (read_documents, st.lists(documents, max_size=4, unique_by=lambda document: document.id)),
        (read_questions, st.lists(questions, max_size=4)),
        (read_scp, st.lists(examples, max_size=4)),
    ],
    ids=["documents", "questions", "scp"],
)
# The file of one example replaces that of the one before, so the shared folder does no harm.
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_written_reads_back_equal(
    tmp_path: Path, read: Callable[..., Iterator[Any]], record_lists: st.SearchStrategy[list[Any]], data: st.DataObject
) -> None:
    records = data.draw(record_lists)

    assert write_jsonl(tmp_path / "data.jsonl", records) == len(records)
    assert list(read(tmp_path / "data.jsonl")) == records


def test_empty_optional_fields_are_left_out(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "data.jsonl", [ONE, Question("q", "Q?", ("A",), (Passage("t", False),))])

    assert [json.loads(line) for line in (tmp_path / "data.jsonl").read_text().splitlines()] == [
        {"id": "a", "text": "text"},
        {"id": "q", "question": "Q?", "answers": ["A"], "passages": [{"text": "t", "gold": False}]},
    ]


def test_missing_folders_are_made(tmp_path: Path) -> None:
    assert write_jsonl(tmp_path / "new" / "data.jsonl", [ONE]) == 1


def test_a_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    def records() -> Iterator[Document]:
        yield Document("b", "new")
        raise RuntimeError("the teacher went away")

    write_jsonl(tmp_path / "data.jsonl", [ONE])
    with pytest.raises(RuntimeError, match="the teacher went away"):
        write_jsonl(tmp_path / "data.jsonl", records())

    assert list(read_documents(tmp_path / "data.jsonl")) == [ONE]
    assert os.listdir(tmp_path) == ["data.jsonl"]


def test_a_mistake_of_the_records_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    def records() -> Iterator[Document]:
        yield ONE
        raise ConnectionError("the teacher went away")

    with pytest.raises(ConnectionError, match="the teacher went away"):
        write_jsonl(tmp_path / "data.jsonl", records())


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (Document("a", "t", metadata={"day": datetime.date(2020, 1, 1)}), "Object of type date is not JSON serial"),
        (Document("a", "t", metadata={"x": float("nan")}), "Out of range float values are not JSON compliant"),
        (Document("a", "\ud800"), "surrogates not allowed"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_record(tmp_path: Path, record: Document, problem: str) -> None:
    with pytest.raises(ClaraError, match=rf"data\.jsonl: record 'a' cannot be written as JSON: .*{problem}"):
        write_jsonl(tmp_path / "data.jsonl", [record])


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ClaraError, match=r"data\.jsonl: cannot be written: (File exists|Not a directory)$"):
        write_jsonl(tmp_path / "file" / "data.jsonl", [ONE])


def test_a_folder_in_the_files_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").mkdir()

    with pytest.raises(ClaraError, match=r"data\.jsonl: cannot be written: Is a directory$"):
        write_jsonl(tmp_path / "data.jsonl", [ONE])


def test_a_name_that_could_not_be_read_again_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClaraError, match=r"data\.txt: expected a name that ends in \.jsonl$"):
        write_jsonl(tmp_path / "data.txt", [ONE])


def test_a_folder_gets_its_files_and_keeps_the_others(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "note.txt").write_text("mine")
    write_folder(tmp_path / "out", {"a.jsonl": [Document("a", "old")]})

    write_folder(tmp_path / "out", {"a.jsonl": [ONE], "b.jsonl": [ONE, ONE]})

    lengths = {path.name: len(path.read_text().splitlines()) for path in (tmp_path / "out").iterdir()}
    assert lengths == {"note.txt": 1, "a.jsonl": 1, "b.jsonl": 2}
    assert list(read_documents(tmp_path / "out" / "a.jsonl")) == [ONE]
    assert os.listdir(tmp_path) == ["out"]


def test_a_failure_in_the_last_file_of_a_folder_leaves_nothing(tmp_path: Path) -> None:
    def records() -> Iterator[Document]:
        yield ONE
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_folder(tmp_path / "out", {"a.jsonl": [ONE], "b.jsonl": records()})

    assert os.listdir(tmp_path) == []


def test_a_file_that_is_replaced_has_its_old_content_until_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "plan.json"
    with replacing(target) as file:
        file.write(b"old")

    with replacing(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"

    assert target.read_bytes() == b"new"
    assert os.listdir(target.parent) == ["plan.json"]


def test_what_goes_wrong_while_writing_is_one_line(tmp_path: Path) -> None:
    target = tmp_path / "plan.json"

    with (
        pytest.raises(ClaraError, match=r"plan\.json: cannot be written: No space"),
        replacing(target),
        writable(target),
    ):
        raise OSError(28, "No space left on device")

    assert os.listdir(tmp_path) == []


def test_leftovers_of_one_file_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".a[1].json.17.tmp", ".a[1].json.18.tmp", ".b.json.17.tmp", "a[1].json", ".a1.json.17.tmp"):
        (tmp_path / name).touch()

    remove_leftovers(tmp_path / "a[1].json")

    assert sorted(os.listdir(tmp_path)) == [".a1.json.17.tmp", ".b.json.17.tmp", "a[1].json"]
