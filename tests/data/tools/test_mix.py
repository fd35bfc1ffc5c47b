"""Shares, draws and bytes of a mixture."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara_lightning.data.readers import read_questions
from clara_lightning.data.tools.mix import _apportion, mix, parse_part
from clara_lightning.errors import ClaraError


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def mixed(out: Path, *given: str, **options: Any) -> list[tuple[int, int]]:
    found = mix([parse_part(each) for each in given], str(out), **options)
    return [(each.taken, each.rows) for each in found]


@pytest.fixture
def two(write: Any, question: Any) -> tuple[str, str]:
    return (
        write("a.jsonl", [question(f"a{n}", "x") | {"mine": n} for n in range(50)]),
        write("b.jsonl", [question(f"b{n}", "y") for n in range(12)]),
    )


def test_each_file_has_its_share_and_no_row_stands_twice(two: tuple[str, str], tmp_path: Path) -> None:
    a, b = two
    out = tmp_path / "out.jsonl"

    assert mixed(out, f"{a}:0.7", f"{b}:0.3") == [(28, 50), (12, 12)]

    found = lines(out)
    assert len(found) == len(set(found)) == 40
    assert set(found) <= set(lines(Path(a))) | set(lines(Path(b)))  # byte for byte, unknown keys too
    sides = [json.loads(line)["id"][0] for line in found]
    assert sides != sorted(sides) and Counter(sides) == {"a": 28, "b": 12}


@pytest.mark.parametrize("weights", [("7", "3"), ("0.7", "0.3"), ("1.4", "6/10")])
def test_weights_are_relative(two: tuple[str, str], tmp_path: Path, weights: Sequence[str]) -> None:
    parts = [f"{file}:{weight}" for file, weight in zip(two, weights, strict=True)]

    assert mixed(tmp_path / "out.jsonl", *parts) == [(28, 50), (12, 12)]


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(two: tuple[str, str], tmp_path: Path) -> None:
    parts = [f"{file}:1" for file in two]
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        mixed(tmp_path / f"{name}.jsonl", *parts, seed=seed)

    one, two_, three = ((tmp_path / f"{name}.jsonl").read_bytes() for name in ("one", "two", "three"))
    assert one == two_ != three
    assert {json.loads(line)["id"] for line in one.splitlines()} != {
        json.loads(line)["id"] for line in three.splitlines()
    }


def test_rows_beyond_a_file_are_its_rows_again_each_as_often(two: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"

    assert mixed(out, f"{two[0]}:1", f"{two[1]}:1", rows=60) == [(30, 50), (30, 12)]

    times = Counter(json.loads(line)["id"] for line in lines(out))
    assert {times[f"b{n}"] for n in range(12)} == {2, 3}
    assert {times[f"a{n}"] for n in range(50)} == {0, 1}


@given(st.lists(st.fractions(min_value="0.01", max_value=9), min_size=1, max_size=5), st.integers(1, 500))
def test_parts_add_up_and_none_is_off_by_one(weights: list[Any], total: int) -> None:
    shares = [weight / sum(weights) for weight in weights]

    numbers = _apportion(shares, total)

    assert sum(numbers) == total
    assert all(abs(number - share * total) < 1 for number, share in zip(numbers, shares, strict=True))


def test_every_form_is_read_and_written_as_lines(write: Any, form: str, question: Any, tmp_path: Path) -> None:
    given = [question(f"q{n}", "an\nold\u2028 x") | {"mine": n} for n in range(3)]
    out = tmp_path / "out.jsonl"

    mixed(out, f"{write(form, given)}:1", f"{write('other.jsonl', [question('z', 'y')])}:1", rows=4)

    found = {row.id: row for row in read_questions(out)}
    assert found["z"].passages[0].text == "y"
    expected = {row.id: row for row in read_questions(write("same.jsonl", given))}
    assert all(found[name] == expected[name] for name in found.keys() - {"z"})
    assert {json.loads(line).get("mine") for line in lines(out)} <= {None, 0, 1, 2}
    assert any("mine" in json.loads(line) for line in lines(out))


@pytest.mark.parametrize("given", ["a.jsonl", "a.jsonl:", ":1", "a.jsonl:0", "a.jsonl:-1", "a.jsonl:x", "a.jsonl:1/0"])
def test_a_part_without_a_weight_is_refused(given: str) -> None:
    with pytest.raises(ClaraError, match=r"expected FILE:WEIGHT with a weight above 0, as in a\.jsonl:0\.7, got"):
        parse_part(given)


def test_files_of_two_kinds_do_not_mix(write: Any, rows: Mapping[str, Any], tmp_path: Path) -> None:
    a, b = write("a.jsonl", [rows["question"]]), write("b.jsonl", [rows["SCP"]])

    with pytest.raises(ClaraError, match=r"b\.jsonl: holds supervision, and .*a\.jsonl questions: they do not mix"):
        mixed(tmp_path / "out.jsonl", f"{a}:1", f"{b}:1")


def test_supervision_of_the_reference_is_supervision(write: Any, rows: Mapping[str, Any], tmp_path: Path) -> None:
    a, b = write("a.jsonl", [rows["reference pretraining"]]), write("b.jsonl", [rows["SCP"]])

    assert mixed(tmp_path / "out.jsonl", f"{a}:1", f"{b}:1") == [(1, 1), (1, 1)]


def test_a_document_stands_once(write: Any, tmp_path: Path) -> None:
    a, b = write("a.jsonl", [{"id": "d", "text": "x"}]), write("b.jsonl", [{"id": "d", "text": "y"}])
    out = tmp_path / "out.jsonl"

    with pytest.raises(ClaraError, match=r"b\.jsonl:1: id: 'd' is the id of a document in .*a\.jsonl:1, too"):
        mixed(out, f"{a}:1", f"{b}:1")
    with pytest.raises(ClaraError, match=r"a\.jsonl:1: a document cannot stand twice"):
        mixed(out, f"{a}:1", rows=2)
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"rows": 0}, "--rows must be >= 1, got 0"), ({}, "is there already; --replace writes over it")],
)
def test_options_that_are_wrong(two: tuple[str, str], tmp_path: Path, options: dict[str, Any], message: str) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")

    with pytest.raises(ClaraError, match=message):
        mixed(out, f"{two[0]}:1", **options)
    assert out.read_text() == "mine"


def test_the_output_is_none_of_the_files_and_no_file_is_given_twice(two: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(ClaraError, match="OUT is what is read"):
        mixed(Path(two[0]), f"{two[0]}:1", replace=True)
    with pytest.raises(ClaraError, match="is given twice"):
        mixed(tmp_path / "out.jsonl", f"{two[0]}:1", f"{two[0]}:2")


def test_a_bad_row_and_an_empty_file_end_it(two: tuple[str, str], write: Any, tmp_path: Path) -> None:
    with pytest.raises(ClaraError, match=r"c\.jsonl:1: answers: missing"):
        mixed(tmp_path / "out.jsonl", f"{two[0]}:1", f"{write('c.jsonl', [{'id': 'x', 'question': 'y'}])}:1")
    with pytest.raises(ClaraError, match=r"d\.jsonl: holds no rows"):
        mixed(tmp_path / "out.jsonl", f"{two[0]}:1", f"{write('d.jsonl', [])}:1")


def test_a_table_that_holds_what_json_cannot_names_the_row(write: Any, tmp_path: Path) -> None:
    path = write("a.parquet", [{"id": "a", "text": "x", "day": datetime.date(2024, 1, 2)}])

    with pytest.raises(ClaraError, match=r"a\.parquet: row 1: cannot be written as JSON"):
        mixed(tmp_path / "out.jsonl", f"{path}:1")
