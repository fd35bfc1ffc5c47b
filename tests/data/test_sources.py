"""Where a corpus may lie: folders, texts, patterns; and the one line about what cannot be read."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from clara_lightning.data.readers import read_documents
from clara_lightning.data.records import Document
from clara_lightning.data.sources import is_local
from clara_lightning.errors import ClaraError


def rows(*names: str) -> list[dict[str, Any]]:
    return [{"id": name, "text": f"text of {name}"} for name in names]


def write_rows(path: Path, *names: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows(*names)), path)
        return path
    content = "".join(json.dumps(row) + "\n" for row in rows(*names)).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def ids(path: Path | str, **options: Any) -> list[str]:
    return [document.id for document in read_documents(path, **options)]


def refusal(path: Path | str, **options: Any) -> str:
    with pytest.raises(ClaraError) as caught:
        list(read_documents(path, **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    write(folder / "b.txt", "# no heading here\r\nOne.")
    write(folder / "a" / "deep.md", b"\xef\xbb\xbf```\n# a comment\n```\n## Deep C# ##\nTwo.\n")
    write(folder / "a-b.TXT.gz", gzip.compress(b"Three."))
    return folder


# --- texts ----------------------------------------------------------------------------------------------------------


def test_a_folder_of_texts_is_a_document_for_each_in_the_order_of_their_paths(notes: Path) -> None:
    assert list(read_documents(notes)) == [
        Document("a/deep.md", "```\n# a comment\n```\n## Deep C# ##\nTwo.\n", "Deep C#", {"source": "a/deep.md"}),
        Document("a-b.TXT.gz", "Three.", "a-b", {"source": "a-b.TXT.gz"}),
        Document("b.txt", "# no heading here\nOne.", "b", {"source": "b.txt"}),
    ]


def test_a_pattern_gives_texts_the_ids_that_they_have_in_the_folder(notes: Path) -> None:
    assert ids(f"{notes}/**/*.[mtT]*") == ids(notes)
    assert ids(f"{notes}/a/*.md") == ["deep.md"]


def test_a_single_text_is_a_corpus_of_one(notes: Path) -> None:
    assert ids(notes / "b.txt") == ["b.txt"]


def test_a_text_that_is_not_utf8_is_named_by_file_and_line(notes: Path) -> None:
    bad = write(notes / "a" / "latin.txt", b"\xef\xbb\xbfone\r\nand caf\xe9\nthree")

    assert refusal(notes) == f"{bad}:2: not UTF-8: byte 0xe9 at column 8"
    assert len(ids(notes, skip_bad_rows=1)) == 3


def test_a_text_without_any_is_a_bad_row(notes: Path) -> None:
    assert refusal(write(notes / "empty.md", " \n")) == f"{notes / 'empty.md'}:1: text: empty"


def test_a_broken_compressed_text_is_one_line(notes: Path) -> None:
    bad = write(notes / "c.txt.gz", gzip.compress(b"text" * 999)[:20])

    assert refusal(notes).startswith(f"{bad}: cannot be read: ")


def test_a_name_that_is_not_utf8_becomes_an_id_that_can_be_stored(tmp_path: Path) -> None:
    (Path(tmp_path) / "caf\udce9.txt").write_text("text")

    (document,) = read_documents(tmp_path)
    assert (document.id, document.title) == ("caf�.txt", "caf�")


# --- rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/*", "/*/*", "/**/part*"], ids=["folder", "folders", "files", "any depth"])
def test_files_of_rows_are_read_in_the_order_of_their_paths(tmp_path: Path, path: str) -> None:
    write_rows(tmp_path / "wiki" / "b" / "part-1.jsonl", "d", "e")
    write_rows(tmp_path / "wiki" / "a" / "part-2.parquet", "b", "c")
    write_rows(tmp_path / "wiki" / "a" / "part-1.jsonl.gz", "a")

    if path == "/*":
        assert "no file matches (but 2 folders: name their files)" in refusal(f"{tmp_path}/wiki/*")
    else:
        assert ids(f"{tmp_path}/wiki{path}") == ["a", "b", "c", "d", "e"]


def test_saved_datasets_count_as_files(tmp_path: Path) -> None:
    for name in ("y", "x"):
        datasets.Dataset.from_list(rows(name)).save_to_disk(tmp_path / "sets" / name)

    assert ids(tmp_path / "sets") == ids(f"{tmp_path}/sets/*") == ["x", "y"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    write_rows(tmp_path / "a[1].jsonl", "a")
    write_rows(tmp_path / "a1.jsonl", "b")

    assert ids(tmp_path / "a[1].jsonl") == ["a"]


def test_ids_must_differ_between_files_too(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", "x", "y")
    write_rows(tmp_path / "b.parquet", "z", "x")

    assert refusal(tmp_path) == f"{tmp_path / 'b.parquet'}: row 2: id: 'x' is the id of an earlier document"


def test_bad_rows_of_all_files_are_counted_together(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "a.jsonl", b'{"id": "a", "text": "t"}\n{\n')
    write(tmp_path / "b.jsonl", b'{"id": "caf\xe9", "text": "t"}\n{"id": "b", "text": "t"}\n')
    pattern = f"{tmp_path}/*.jsonl"

    assert ids(pattern, skip_bad_rows=2) == ["a", "b"]
    assert f"{pattern}: skipped bad rows: 2; the first: {tmp_path}/a.jsonl:2: not a JSON object" in caplog.text
    assert refusal(pattern, skip_bad_rows=1) == f"{tmp_path}/b.jsonl:1: not UTF-8: byte 0xe9 at column 12"


def test_files_are_opened_one_after_the_other(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", "a")
    write(tmp_path / "b.parquet", b"no table")
    documents = read_documents(tmp_path)

    assert next(documents).id == "a"
    with pytest.raises(ClaraError, match=r"b\.parquet: cannot be read"):
        next(documents)


# --- what is refused ------------------------------------------------------------------------------------------------


def test_a_pattern_that_matches_nothing_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ClaraError, match=r"/\*\.jsonl: no file matches$"):
        read_documents(f"{tmp_path}/*.jsonl")


def test_a_folder_without_documents_says_what_it_looked_for(tmp_path: Path) -> None:
    write(tmp_path / "picture.png", "x")

    message = refusal(tmp_path)
    assert message.startswith(f"{tmp_path}: a folder that holds no documents: it is no saved dataset, and has no files")
    assert message.endswith(".jsonl, .json, .parquet, .md or .txt (left out: files of other kinds 1)")


def test_texts_and_rows_together_are_refused_with_a_way_out(tmp_path: Path) -> None:
    text = write(tmp_path / "data" / "README.md", "About the data.")
    first = write_rows(tmp_path / "data" / "wiki" / "a.jsonl", "a")

    for path in (f"{tmp_path}/data", f"{tmp_path}/data/**"):
        if path.endswith("**"):
            (tmp_path / "data" / "wiki" / "b.jsonl").unlink(missing_ok=True)
        assert refusal(path) == (
            f"{path}: texts (the first of 1 is {text}) and files of rows (the first of 1 is {first}): "
            f"choose one kind by a pattern such as {tmp_path}/data/**/*.jsonl"
        )
    assert ids(f"{tmp_path}/data/**/*.jsonl") == ["a"]


def test_another_kind_of_file_is_left_out_of_a_folder_and_refused_in_a_pattern(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_rows(tmp_path / "a.jsonl", "a")
    write(tmp_path / "z.csv", "id,text")

    with caplog.at_level(logging.WARNING):
        assert ids(tmp_path) == ["a"]
    assert f"{tmp_path}: left out: files of other kinds 1" in caplog.text
    assert f"{tmp_path}/z.csv: unknown suffix; expected " in refusal(f"{tmp_path}/*")


def test_links_are_followed_where_a_pattern_names_them_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_rows(tmp_path / "elsewhere" / "secret.jsonl", "secret")
    write_rows(tmp_path / "data" / "a.jsonl", "a")
    (tmp_path / "data" / "b.jsonl").symlink_to(tmp_path / "elsewhere" / "secret.jsonl")
    (tmp_path / "data" / "folder").symlink_to(tmp_path / "elsewhere")

    assert ids(tmp_path / "data") == ["a"]
    assert "left out: links 2" in caplog.text
    assert ids(f"{tmp_path}/data/*.jsonl") == ["a", "secret"]


def test_a_link_that_leads_nowhere_is_one_line(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", "a")
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "gone.jsonl")

    assert refusal(f"{tmp_path}/*.jsonl") == f"{tmp_path}/b.jsonl: no such file or directory"


def test_whether_a_corpus_is_here_is_known_without_reading_it(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", "no JSON")

    assert is_local(tmp_path) and is_local(f"{tmp_path}/*.jsonl")
    assert not is_local(f"{tmp_path}/*.parquet") and not is_local("hf://owner/name#train")
