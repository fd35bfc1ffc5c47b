"""A folder of one's own texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clara_lightning.data.records import Document


@pytest.fixture
def folder(write: Any, tmp_path: Path) -> Path:
    write("notes/b.txt", "# no heading here\r\n\r\nOne two three.")
    write("notes/a/deep.md", "```\n# a comment\n```\n\n## Deep C# ##\n\nFour five six. Seven eight.")
    write("notes/a/plain.MD", "No heading.")
    return tmp_path / "notes"


def test_files_become_passages_in_the_order_of_their_paths(folder: Path, convert: Any) -> None:
    documents, counts = convert("text", folder, "--max-words", 6)

    assert documents == [
        Document("a/deep.md#1", "```\n# a comment\n```", "Deep C#", {"source": "a/deep.md"}),
        Document("a/deep.md#2", "## Deep C# ##", "Deep C#", {"source": "a/deep.md"}),
        Document("a/deep.md#3", "Four five six. Seven eight.", "Deep C#", {"source": "a/deep.md"}),
        Document("a/plain.MD#1", "No heading.", "plain", {"source": "a/plain.MD"}),
        Document("b.txt#1", "# no heading here", "b", {"source": "b.txt"}),
        Document("b.txt#2", "One two three.", "b", {"source": "b.txt"}),
    ]
    assert counts == {"rows_in": 3, "rows_out": 6, "documents": 6}


def test_what_is_not_read_is_counted(folder: Path, write: Any, convert: Any, tmp_path: Path) -> None:
    write("notes/empty.txt", " \n")
    write("notes/picture.png", "x")
    write("secret/key.txt", "secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret" / "key.txt")
    (folder / "linked").symlink_to(tmp_path / "secret")

    documents, counts = convert("text", folder)

    assert not any("secret" in document.text for document in documents)
    assert counts["left_out"] == {"links": 2, "files of other kinds": 1, "files without text": 1}


def test_a_file_that_is_not_utf8_is_one_line_or_skipped(folder: Path, convert: Any, refuse: Any) -> None:
    (folder / "a" / "latin.txt").write_bytes(b"one\ncaf\xe9")

    assert refuse("text", folder) == "notes: file 2: a/latin.txt: not UTF-8: byte 0xe9 on line 2"
    assert convert("text", folder, "--skip-bad-rows", 1)[1]["left_out"] == {"bad rows": 1}


def test_out_may_lie_in_the_folder(folder: Path, clara: Any) -> None:
    outcome = clara("convert", "--from", "text", folder, folder / "documents.jsonl")

    assert outcome.out == (f"{folder}/documents.jsonl: 3 rows in, 3 rows out: documents 3; left out: nothing\n")


@pytest.mark.parametrize(
    ("words", "problem"), [((), "none: no such folder"), (("--max-words", 0), "--max-words must be >= 1, got 0")]
)
def test_a_wrong_folder_or_length_is_refused(refuse: Any, tmp_path: Path, words: Any, problem: str) -> None:
    assert refuse("text", tmp_path / "none", *words) == problem
