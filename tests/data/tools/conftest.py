"""Files of a few rows, in every form that rows come in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

Write = Callable[..., str]

DOCUMENT = {"id": "d", "title": "Kenya", "text": "Its capital is Nairobi."}
QUESTION = {
    "id": "q",
    "question": "What is the capital of Kenya?",
    "answers": ["Nairobi"],
    "passages": [
        {"title": "Kenya", "text": "Its capital is Nairobi.", "gold": True},
        {"title": "", "text": "Oslo is a town.", "gold": False},
    ],
}
SCP = {
    "id": "s",
    "document": "Kenya\n Its capital is Nairobi.",
    "pairs": [{"question": "What is the capital of Kenya?", "answer": "Nairobi", "kind": "simple"}],
    "paraphrase": "Nairobi is Kenya's capital.",
    "teacher": "hand",
}
REFERENCE_QUESTION = {"question": "Where?", "answer": "Here", "docs": ["It is here.", "It is there."], "pos_index": [0]}
REFERENCE_PAIRS = {"question": ["Where?", "When?"], "answers": ["here", "now"], "docs": ["It is here and now."]}

ROWS: dict[str, Mapping[str, Any]] = {
    "document": DOCUMENT,
    "question": QUESTION,
    "SCP": SCP,
    "reference question": REFERENCE_QUESTION,
    "reference pretraining": REFERENCE_PAIRS,
}
"""One row of every format."""
FORMS = ("rows.jsonl", "rows.jsonl.gz", "rows.json", "rows.parquet", "rows")
"""Names whose form is written accordingly; the last is a folder of ``datasets``."""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write(name, rows)``: a file in the form that its name says; rows may be text too. Returns its path."""

    def written(name: str, rows: Iterable[Mapping[str, Any] | str]) -> str:
        path, given = tmp_path / name, list(rows)
        lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in given)
        if name.endswith(".parquet"):
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(given), path)
        elif name.endswith(".json"):
            path.write_text(json.dumps(given, indent=1), encoding="utf-8")
        elif name.endswith(".gz"):
            path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
        elif "." not in name:
            datasets.Dataset.from_list(given).save_to_disk(str(path))
        else:
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return str(path)

    return written


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    """The name of a file in each form."""
    return str(request.param)


@pytest.fixture(scope="session")
def rows() -> dict[str, Mapping[str, Any]]:
    """One row of every format."""
    return ROWS


@pytest.fixture
def question() -> Callable[..., dict[str, Any]]:
    """``question(id, *gold, others=())``: a question whose gold passages have these texts."""

    def made(name: str, *gold: str, others: Iterable[str] = ()) -> dict[str, Any]:
        passages = [{"text": text, "gold": True} for text in gold] + [{"text": t, "gold": False} for t in others]
        return {"id": name, "question": f"{name}?", "answers": ["a"], "passages": passages}

    return made
