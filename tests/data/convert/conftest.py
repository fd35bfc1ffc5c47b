"""Conversions as a user types them; what they write is read back and written again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.data.readers import read_documents, read_questions, read_scp
from clara_lightning.data.writers import write_jsonl

READERS: dict[str, Callable[..., Iterator[Any]]] = {
    "documents": read_documents,
    "questions": read_questions,
    "examples": read_scp,
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A file in the test's folder: JSON, JSONL of several rows, or text as it is."""

    def write(name: str, *rows: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = len(rows) == 1 and isinstance(rows[0], str)
        text = rows[0] if plain else "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def convert(clara: Any, tmp_path: Path) -> Callable[..., tuple[list[Any], dict[str, Any]]]:
    """``clara convert`` to one file: its records, and the counts that are not zero."""

    def convert(name: str, source: Path, *options: object) -> tuple[list[Any], dict[str, Any]]:
        out = tmp_path / "out" / "data.jsonl"
        outcome = clara("convert", "--from", name, source, out, "--json", "--replace", *options)
        assert outcome.code == 0, outcome.err
        counts = {key: value for key, value in json.loads(outcome.out).items() if value}
        (kind,) = READERS.keys() & counts.keys()
        records = list(READERS[kind](out))
        assert len(records) == counts["rows_out"] == counts[kind]
        write_jsonl(tmp_path / "again.jsonl", records)
        assert (tmp_path / "again.jsonl").read_bytes() == out.read_bytes()
        return records, counts

    return convert


@pytest.fixture
def refuse(clara: Any, tmp_path: Path) -> Callable[..., str]:
    """The line with which a conversion is refused, without the test's folder; nothing is written."""

    def refuse(name: str, source: Path, *options: object) -> str:
        out = tmp_path / "refused.jsonl"
        mistake: str = clara("convert", "--from", name, source, out, *options).mistake
        assert not out.exists()
        return mistake.replace(f"{tmp_path}/", "")

    return refuse
