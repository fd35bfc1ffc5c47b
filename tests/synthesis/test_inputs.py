"""A changed file is seen, and an unchanged one is not read again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.inputs import fingerprint, is_unchanged


def test_the_same_bytes_are_unchanged_at_another_time_and_place(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("one")
    known = fingerprint(tmp_path / "a.jsonl")

    (tmp_path / "b.jsonl").write_text("one")
    os.utime(tmp_path / "b.jsonl", (1, 1))

    assert is_unchanged(tmp_path / "b.jsonl", known)


def test_other_bytes_are_a_change(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("one")
    known = fingerprint(tmp_path / "a.jsonl")

    (tmp_path / "a.jsonl").write_text("two")
    os.utime(tmp_path / "a.jsonl", (1, 1))

    assert not is_unchanged(tmp_path / "a.jsonl", known)


def test_an_untouched_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text("one")
    known = fingerprint(tmp_path / "a.jsonl")

    def refuse(*args: Any) -> None:
        raise AssertionError("read")

    monkeypatch.setattr("hashlib.file_digest", refuse)

    assert is_unchanged(tmp_path / "a.jsonl", known)


@pytest.mark.parametrize("change", ["content", "name", "more", "fewer"])
def test_a_folder_changes_with_any_of_its_files(tmp_path: Path, change: str) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    known = fingerprint(tmp_path)
    assert is_unchanged(tmp_path, known)

    if change == "content":
        (tmp_path / "deep" / "a.txt").write_text("longer")
    elif change == "name":
        (tmp_path / "b.txt").rename(tmp_path / "c.txt")
    elif change == "more":
        (tmp_path / "c.txt").touch()
    else:
        (tmp_path / "b.txt").unlink()

    assert not is_unchanged(tmp_path, known)


def test_links_in_a_folder_do_not_matter(tmp_path: Path) -> None:
    known = fingerprint(tmp_path)
    (tmp_path / "link.txt").symlink_to("nowhere")

    assert is_unchanged(tmp_path, known)


def test_a_data_set_on_the_hub_is_known_by_its_name() -> None:
    assert is_unchanged("hf://owner/name#train", fingerprint("hf://owner/name#train"))
    assert not is_unchanged("hf://owner/name#train", fingerprint("hf://owner/name#test"))


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ClaraError, match=r"none\.jsonl: no such file or directory$"):
        fingerprint(tmp_path / "none.jsonl")


def test_a_folder_that_cannot_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)

    with pytest.raises(ClaraError, match=r": cannot be read: Permission denied$"):
        fingerprint(tmp_path)
