"""Documents of files and folders, and where they are cut."""
# ruff: noqa: RUF001 - marks of Chinese look like others

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara_lightning.data.records import Document
from clara_lightning.data.writers import write_jsonl
from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.passages import Source, count_words, cut_document, is_text_folder


def texts_of(text: str, max_words: int) -> list[str]:
    return [passage.text for passage in cut_document(Document("d", text), max_words=max_words)]


def test_a_document_that_fits_is_left_as_it_is() -> None:
    document = Document("d", " One  two.\n", "T", {"year": 1})

    assert list(cut_document(document, max_words=2)) == [document]


def test_passages_have_numbers_and_their_documents_title_and_metadata() -> None:
    assert list(cut_document(Document("d", "One two. Three four.", "T", {"year": 1}), max_words=2)) == [
        Document("d#1", "One two.", "T", {"year": 1}),
        Document("d#2", "Three four.", "T", {"year": 1}),
    ]


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        ("春天来了。花开了！你看见了吗？我看见。", ["春天来了。花开了！", "你看见了吗？我看见。"]),
        ("他说：「春天来了。」花开了！！很美", ["他说：「春天来了。」", "花开了！！很美"]),
        ("一二三四五，六七八九十，一二三四五。", ["一二三四五，", "六七八九十，", "一二三四五。"]),
        ("一二三四五六七八九十一二三四五六七八", ["一二三四五六七八九十", "一二三四五六七八"]),
        ("一二三四五。\n\n六七八。\n\n九十", ["一二三四五。\n\n六七八。", "九十"]),
        ("สวัสดีครับผม ยินดีต้อนรับ", ["สวัสดีครับ", "ผม", "ยินดีต้อน", "รับ"]),
        ("x" * 250, ["x" * 105, "x" * 105, "x" * 40]),
    ],
    ids=["sentences", "quotation", "clauses", "characters", "paragraphs", "thai", "no end"],
)
def test_text_without_spaces_is_cut_too(text: str, passages: list[str]) -> None:
    assert texts_of(text, max_words=7) == passages


pieces = st.lists(
    st.sampled_from(["word ", "end. ", "\n\n", "中文", "句子。", "！", "，", "ไทย", "x" * 40]), max_size=60
)


@given(pieces.map("".join), st.integers(4, 20))
def test_nothing_but_white_space_is_lost(text: str, max_words: int) -> None:
    passages = texts_of(text, max_words)

    assert "".join("".join(passages).split()) == "".join(text.split())
    if count_words(text) > max_words:
        assert all(passage.strip() == passage and passage for passage in passages)


@given(
    st.lists(st.sampled_from(["中文", "句子。", "，", "\n\n", "一" * 50]), max_size=60).map("".join), st.integers(1, 20)
)
def test_no_passage_is_too_long(text: str, max_words: int) -> None:
    assert all(count_words(passage) <= max_words for passage in texts_of(text, max(3, max_words)) if max_words >= 3)


def test_a_document_of_five_megabytes_is_cut() -> None:
    text = "".join(f"Sentence {number} says something about the river Nile.\n" for number in range(100_000))
    assert len(text) > 5_000_000

    passages = texts_of(text, max_words=180)

    assert " ".join(passages).split() == text.split()
    assert max(len(passage.split()) for passage in passages) <= 180
    assert len(passages) == -(-100_000 // 22)


def test_a_folder_gives_one_document_for_each_text_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.md").write_text("# Nile\n\nA river.\n", encoding="utf-8")
    (tmp_path / "c.txt").write_text("\n Another text.\n\nIts end.", encoding="utf-8")
    (tmp_path / "blank.txt").write_text(" \n")
    (tmp_path / "picture.png").touch()
    source = Source(str(tmp_path))

    assert list(source.documents()) == [
        Document("a/b.md", "# Nile\n\nA river.", "Nile", {"source": "a/b.md"}),
        Document("c.txt", "Another text.\n\nIts end.", "c", {"source": "c.txt"}),
    ]
    assert source.not_read == {"files of other kinds": 1, "files without text": 1}


def test_bad_files_of_a_folder_are_skipped_as_far_as_they_may_be(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"caf\xe9")
    (tmp_path / "good.txt").write_text("Some words.")

    assert [document.id for document in Source(str(tmp_path), 1).documents()] == ["good.txt"]
    with pytest.raises(ClaraError, match=r"file 1: bad\.txt: not UTF-8: byte 0xe9 on line 1$"):
        list(Source(str(tmp_path)).documents())


def test_a_folder_that_cannot_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)

    with pytest.raises(ClaraError, match=r": cannot be read: Permission denied$"):
        list(Source(str(tmp_path)).documents())


def test_files_are_read_as_documents(tmp_path: Path) -> None:
    documents = [Document("a", "Some text."), Document("b", "More text.")]
    write_jsonl(tmp_path / "documents.jsonl", documents)

    assert list(Source(str(tmp_path / "documents.jsonl")).documents()) == documents


def test_a_saved_data_set_is_no_folder_of_texts(tmp_path: Path) -> None:
    assert is_text_folder(tmp_path)
    (tmp_path / "state.json").touch()
    assert not is_text_folder(tmp_path)
    assert not is_text_folder(tmp_path / "none")
