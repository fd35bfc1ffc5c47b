"""The places rows come from: JSONL, compressed JSONL, Parquet, saved datasets, the hub."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from clara_lightning.data.readers import read_documents, read_questions
from clara_lightning.data.records import Document, Passage, Question
from clara_lightning.data.rows import open_rows
from clara_lightning.errors import ClaraError

ROWS: list[dict[str, Any]] = [
    {"id": "a", "text": "one", "title": "A", "metadata": {"n": 1}},
    {"id": "b", "text": "two", "title": None, "metadata": {"n": 2}},
]
DOCUMENTS = [Document("a", "one", "A", {"n": 1}), Document("b", "two", "", {"n": 2})]
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: bytes(pyarrow.compress(content, codec="zstd", asbytes=True)),
}
QUESTION = {"id": "q", "question": "Q?", "answers": ["A"], "passages": [{"title": "T", "text": "t", "gold": True}]}


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    path = tmp_path / "data.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize("name", ["data.jsonl", "data.json"])
@pytest.mark.parametrize("suffix", COMPRESS)
def test_json_lines_are_read_plain_and_compressed(tmp_path: Path, name: str, suffix: str) -> None:
    content = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    (tmp_path / f"{name}{suffix}").write_bytes(COMPRESS[suffix](content))

    assert list(read_documents(tmp_path / f"{name}{suffix}")) == DOCUMENTS


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_json_file_may_be_one_list(tmp_path: Path, suffix: str) -> None:
    content = b"\xef\xbb\xbf\n" + json.dumps(ROWS, indent=1).encode()
    (tmp_path / f"data.json{suffix}").write_bytes(COMPRESS[suffix](content))

    assert list(read_documents(tmp_path / f"data.json{suffix}")) == DOCUMENTS


@pytest.mark.parametrize("suffix", [suffix for suffix in COMPRESS if suffix])
def test_a_file_of_several_compressed_parts_is_read_to_its_end(tmp_path: Path, suffix: str) -> None:
    parts = (COMPRESS[suffix](json.dumps(row).encode() + b"\n") for row in ROWS)
    (tmp_path / f"data.jsonl{suffix}").write_bytes(b"".join(parts))

    assert list(read_documents(tmp_path / f"data.jsonl{suffix}")) == DOCUMENTS


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ('{"id":\n "c" "d"}', r"not a JSON object: Expecting ',' delimiter at line 2, column 6$"),
        ("7", r"the row: expected an object, got a number \(7\)$"),
        ('{"id": "c"}', r"text: missing$"),
    ],
)
def test_a_bad_element_of_a_list_is_one_bad_row(tmp_path: Path, bad: str, problem: str) -> None:
    (tmp_path / "data.json").write_text(f"[{json.dumps(ROWS[0])},\n{bad},\n{json.dumps(ROWS[1])}]")

    with pytest.raises(ClaraError, match=rf"data\.json: row 2: {problem}"):
        list(read_documents(tmp_path / "data.json"))
    assert list(read_documents(tmp_path / "data.json", skip_bad_rows=1)) == DOCUMENTS


def test_a_parquet_file_is_read(parquet: Path) -> None:
    assert list(read_documents(str(parquet))) == DOCUMENTS


def test_a_parquet_file_longer_than_a_batch_keeps_its_order_and_row_numbers(tmp_path: Path) -> None:
    rows = [{"id": str(number), "text": "t" if number != 700 else " "} for number in range(1, 1001)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "long.parquet")
    documents = read_documents(tmp_path / "long.parquet")

    assert [next(documents).id for _ in range(699)] == [str(number) for number in range(1, 700)]
    with pytest.raises(ClaraError, match=r"long\.parquet: row 700: text: empty$"):
        next(documents)


def test_nested_passages_are_read_from_parquet(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([QUESTION]), tmp_path / "qa.parquet")

    assert list(read_questions(tmp_path / "qa.parquet")) == [
        Question("q", "Q?", ("A",), (Passage("t", True, title="T"),))
    ]


def test_a_saved_dataset_is_read_and_its_format_does_not_matter(tmp_path: Path) -> None:
    datasets.Dataset.from_list(ROWS).with_format("numpy").save_to_disk(tmp_path / "saved")

    assert list(read_documents(tmp_path / "saved")) == DOCUMENTS


def test_a_bad_row_of_a_saved_dataset_is_named_by_its_number(tmp_path: Path) -> None:
    datasets.Dataset.from_list([ROWS[0], ROWS[0]]).save_to_disk(tmp_path / "saved")

    with pytest.raises(ClaraError, match=r"saved: row 2: id: 'a' is the id of an earlier document$"):
        list(read_documents(tmp_path / "saved"))


def test_a_dataset_with_splits_asks_for_one_of_them(tmp_path: Path) -> None:
    saved = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict(train=saved, test=saved).save_to_disk(tmp_path / "saved")

    with pytest.raises(
        ClaraError, match=r"saved: a dataset with several splits; name one of them: \S*/test, \S*/train$"
    ):
        read_documents(tmp_path / "saved")
    assert list(read_documents(tmp_path / "saved" / "train")) == DOCUMENTS


def test_a_hub_dataset_is_streamed_with_its_config_and_split(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*args: Any, **options: Any) -> list[dict[str, Any]]:
        assert (args, options) == (("owner/name", "config"), {"split": "train", "streaming": True})
        return ROWS

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)

    assert list(read_documents("hf://owner/name:config#train")) == DOCUMENTS
    assert list(read_documents(Path("hf://owner/name:config#train"))) == DOCUMENTS


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*args: Any, **options: Any) -> None:
        raise ConnectionError("Couldn't reach it\non the Hub")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)

    with pytest.raises(ClaraError, match=r"^hf://o/n#train: cannot be read: Couldn't reach it on the Hub$"):
        list(read_documents("hf://o/n#train"))


@pytest.mark.parametrize("name", ["hf://name#train", "hf://owner/name", "hf://owner/name:#train"])
def test_a_malformed_hub_name_is_refused_without_the_network(name: str) -> None:
    with pytest.raises(ClaraError, match=re.escape(f"{name}: expected hf://owner/name#split or")):
        read_documents(name)


def test_a_missing_file_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ClaraError, match=r"none\.jsonl: no such file or directory$"):
        read_documents(tmp_path / "none.jsonl")


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClaraError, match=r": a directory, but no dataset that datasets\.save_to_disk wrote$"):
        read_questions(tmp_path)


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "data.csv").touch()

    with pytest.raises(ClaraError, match=r"data\.csv: unknown suffix; expected \.jsonl or \.json .*, or \.parquet$"):
        read_documents(tmp_path / "data.csv")


@pytest.mark.parametrize("name", ["data.parquet", *(f"data.jsonl{suffix}" for suffix in COMPRESS if suffix)])
@pytest.mark.parametrize("keep", [0.5, 0.0], ids=["cut", "foreign"])
def test_a_broken_file_is_one_line(tmp_path: Path, parquet: Path, name: str, keep: float) -> None:
    compress = COMPRESS[name.removeprefix("data.jsonl")] if name != "data.parquet" else lambda _: parquet.read_bytes()
    whole = compress(json.dumps(ROWS[0]).encode() * 99)
    (tmp_path / name).write_bytes(whole[: int(len(whole) * keep)] or b"something else")

    with pytest.raises(ClaraError, match=rf"{name}: cannot be read: .+") as caught:
        list(read_documents(tmp_path / name, skip_bad_rows=99))
    assert "\n" not in str(caught.value)


def test_a_broken_saved_dataset_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")

    with pytest.raises(ClaraError, match=r": cannot be read: .+"):
        list(read_documents(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").touch(mode=0o000)

    with pytest.raises(ClaraError, match=r"data\.jsonl: cannot be read: Permission denied$"):
        list(read_documents(tmp_path / "data.jsonl"))


def test_json_lines_need_neither_pyarrow_nor_datasets() -> None:
    code = "import sys, clara_lightning.data.readers; print({'pyarrow', 'datasets', 'torch'} & set(sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_all_columns_of_a_table_are_read_on_request(tmp_path: Path, parquet: Path) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "saved"))

    for path in (parquet, tmp_path / "saved"):
        assert [dict(row) for _, row in open_rows(path, columns=None).rows] == ROWS
        assert [dict(row) for _, row in open_rows(path, columns=frozenset({"id"})).rows] == [{"id": "a"}, {"id": "b"}]
