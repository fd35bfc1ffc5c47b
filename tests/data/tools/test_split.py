"""No document stands on two sides, and what is added leaves the rest where it was."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara_lightning.data.tools.groups import Groups, key, side_of
from clara_lightning.data.tools.split import split
from clara_lightning.errors import ClaraError

SIDES = ("train", "val", "test")


def sides(folder: Path) -> dict[str, str]:
    """The side of each row, by its id."""
    return {
        json.loads(line)["id"]: side
        for side in SIDES
        if (folder / f"{side}.jsonl").exists()
        for line in (folder / f"{side}.jsonl").read_bytes().splitlines()
    }


def many(question: Any, count: int) -> list[dict[str, Any]]:
    """Questions about fewer documents, some about two of them."""
    draw = random.Random(0)
    return [
        question(
            f"q{n}", *(f"text {each}" for each in draw.sample(range(n - n % 8, n - n % 8 + 8), draw.choice((1, 2))))
        )
        for n in range(count)
    ]


def test_rows_that_share_a_gold_passage_stay_together_also_by_way_of_others(
    write: Any, question: Any, tmp_path: Path
) -> None:
    rows = many(question, 400)

    found = split(write("qa.jsonl", rows), str(tmp_path / "out"), val=0.2, test=0.2)

    side = sides(tmp_path / "out")
    assert len(side) == sum(found.rows.values()) == 400
    of_text: dict[str, set[str]] = {}
    for row in rows:
        for passage in row["passages"]:
            of_text.setdefault(passage["text"], set()).add(side[row["id"]])
    assert all(len(each) == 1 for each in of_text.values())
    assert set(side.values()) == {*SIDES}


@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=3), max_size=12))
def test_groups_are_the_connected_parts(rows: list[list[int]]) -> None:
    groups = Groups()
    for row in rows:
        groups.join([b"%d" % each for each in row])

    # The reference: spread the least member over shared rows until nothing changes.
    least = {each: each for row in rows for each in row}
    for _ in least:
        for row in rows:
            for each in row:
                least[each] = min((least[other] for other in row), key=lambda n: b"%d" % n)
    assert {each: groups.root(b"%d" % each) for each in least} == {each: b"%d" % n for each, n in least.items()}


def test_the_order_of_the_rows_changes_nothing(write: Any, question: Any, tmp_path: Path) -> None:
    rows = many(question, 200)
    shuffled = random.Random(1).sample(rows, len(rows))

    split(write("a.jsonl", rows), str(tmp_path / "a"), val=0.2)
    split(write("b.jsonl", shuffled), str(tmp_path / "b"), val=0.2)

    assert sides(tmp_path / "a") == sides(tmp_path / "b")


def test_rows_added_later_leave_the_others_where_they_were(write: Any, question: Any, tmp_path: Path) -> None:
    rows = many(question, 400)
    split(write("a.jsonl", rows[:200]), str(tmp_path / "a"), val=0.2)
    split(write("b.jsonl", rows), str(tmp_path / "b"), val=0.2)
    before, after = sides(tmp_path / "a"), sides(tmp_path / "b")

    assert all(after[name] == side for name, side in before.items())


def test_a_row_that_joins_two_groups_moves_one_of_them_at_most(write: Any, question: Any, tmp_path: Path) -> None:
    rows = [question(f"q{n}", f"text {n}") for n in range(200)]
    split(write("a.jsonl", rows), str(tmp_path / "a"), val=0.5)
    before = sides(tmp_path / "a")
    one, other = (next(n for n in range(200) if before[f"q{n}"] == side) for side in ("train", "val"))

    split(write("b.jsonl", [*rows, question("new", f"text {one}", f"text {other}")]), str(tmp_path / "b"), val=0.5)

    after = sides(tmp_path / "b")
    assert after[f"q{one}"] == after[f"q{other}"] == after["new"]
    assert sum(after[name] != side for name, side in before.items()) == 1


def test_a_share_to_test_on_takes_nothing_from_the_one_to_validate_on(write: Any, tmp_path: Path) -> None:
    path = write("a.jsonl", [{"id": f"d{n}", "text": f"text {n}"} for n in range(2000)])
    split(path, str(tmp_path / "a"), val=0.1)
    split(path, str(tmp_path / "b"), val=0.1, test=0.3)
    before, after = sides(tmp_path / "a"), sides(tmp_path / "b")

    assert [name for name in before if before[name] == "val"] == [name for name in after if after[name] == "val"]
    shares = {side: sum(each == side for each in after.values()) / 2000 for side in SIDES}
    assert abs(shares["val"] - 0.1) < 0.03 and abs(shares["test"] - 0.3) < 0.04


def test_large_groups_fall_on_each_side_as_often_as_small_ones() -> None:
    fell = 0
    for number in range(400):
        groups = Groups()
        groups.join([key("document", f"{number}-{each}") for each in range(50)])
        fell += side_of(groups.root(key("document", f"{number}-0")), {"val": 0.2}, seed=0) == "val"

    assert 0.12 < fell / 400 < 0.28


def test_rows_of_one_document_stay_together_in_supervision_and_documents(
    write: Any, rows: Mapping[str, Any], tmp_path: Path
) -> None:
    scp = [rows["SCP"] | {"id": f"{n}-{k}", "document": f"text{' ' * (k + 1)}{n}"} for n in range(60) for k in range(3)]
    documents = [{"id": f"{n}-{k}", "title": "", "text": f"text {n}"} for n in range(60) for k in range(3)]

    for name, kept in (("scp", scp), ("documents", documents)):
        found = split(write(f"{name}.jsonl", kept), str(tmp_path / name), val=0.3)
        side = sides(tmp_path / name)
        assert all(side[f"{n}-0"] == side[f"{n}-1"] == side[f"{n}-2"] for n in range(60))
        assert (sum(found.groups.values()), found.largest) == (60, 3)
        assert {*side.values()} == {"train", "val"}


def test_gold_ids_hold_questions_together_too(write: Any, question: Any, tmp_path: Path) -> None:
    rows = [
        row
        for n in range(60)
        for row in (
            question(f"{n}-ids") | {"gold_ids": [f"d{n}"]},
            question(f"{n}-text", f"text {n}"),
            question(f"{n}-both", f"text {n}") | {"gold_ids": [f"d{n}"]},
        )
    ]

    found = split(write("qa.jsonl", rows), str(tmp_path / "out"), val=0.3)

    side = sides(tmp_path / "out")
    assert all(side[f"{n}-ids"] == side[f"{n}-text"] == side[f"{n}-both"] for n in range(60))
    assert (sum(found.groups.values()), found.largest, found.without) == (60, 3, 0)


def test_questions_without_gold_go_by_their_words(write: Any, question: Any, tmp_path: Path) -> None:
    rows = [question(f"q{n}", others=["one"]) for n in range(60)]

    found = split(write("qa.jsonl", [*rows, rows[0] | {"id": "again"}]), str(tmp_path / "out"), val=0.3)

    assert (found.without, sum(found.groups.values())) == (61, 60)
    assert sides(tmp_path / "out")["again"] == sides(tmp_path / "out")["q0"]


@pytest.mark.parametrize(("by", "groups"), [("document", 20), ("question", 10), ("id", 5)])
def test_what_may_not_stand_on_two_sides(
    write: Any, rows: Mapping[str, Any], tmp_path: Path, by: Any, groups: int
) -> None:
    given = [
        rows["SCP"] | {"id": str(n % 5), "document": f"text {n}", "pairs": [{"question": str(n % 10), "answer": "a"}]}
        for n in range(20)
    ]

    found = split(write("scp.jsonl", given), str(tmp_path / "out"), val=0.5, by=by)

    assert sum(found.groups.values()) == groups


def test_another_seed_is_another_split(write: Any, tmp_path: Path) -> None:
    path = write("a.jsonl", [{"id": f"d{n}", "text": f"text {n}"} for n in range(100)])
    for seed in (0, 1):
        split(path, str(tmp_path / str(seed)), val=0.3, seed=seed)

    assert sides(tmp_path / "0") != sides(tmp_path / "1")


def test_lines_are_carried_over_as_they_are_in_their_order(write: Any, tmp_path: Path) -> None:
    given = [f'{{ "id":"d{n}",  "text": "text {n}", "mine": [1.50] }}' for n in range(50)]

    split(write("a.jsonl", given), str(tmp_path / "out"), val=0.3)

    for side in ("train", "val"):
        found = (tmp_path / "out" / f"{side}.jsonl").read_text().splitlines()
        assert found == [line for line in given if line in found]


def test_every_form_is_split_alike(write: Any, form: str, tmp_path: Path) -> None:
    rows = [{"id": f"d{n}", "text": f"text {n}"} for n in range(30)]
    split(write(form, rows), str(tmp_path / "one"), val=0.3)
    split(write("same.jsonl", rows), str(tmp_path / "two"), val=0.3)

    assert sides(tmp_path / "one") == sides(tmp_path / "two")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val": 0}, "--val must be above 0 and below 1, got 0"),
        ({"val": 0.1, "test": -0.1}, "--test must be >= 0 and below 1, got -0.1"),
        ({"val": 0.6, "test": 0.5}, "--val and --test must leave something to train on, got 0.6 and 0.5"),
        ({"val": 0.001}, "--val 0.001: none of the 20 groups of rows that stay together falls there"),
        ({"val": 0.999}, "what is left to train on: none of the 20 groups"),
        ({"val": 0.3, "by": "question"}, r"a\.jsonl:1: --by question: the row is a document"),
    ],
)
def test_options_that_are_wrong_write_nothing(
    write: Any, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    path = write("a.jsonl", [{"id": f"d{n}", "text": f"text {n}"} for n in range(20)])

    with pytest.raises(ClaraError, match=message):
        split(path, str(tmp_path / "out"), **options)
    assert not (tmp_path / "out").exists()


def test_ids_that_are_made_of_a_place_are_nothing_to_go_by(write: Any, rows: Mapping[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ClaraError, match=r"a\.jsonl:1: --by id: the row has no id"):
        split(write("a.jsonl", [rows["reference question"]]), str(tmp_path / "out"), val=0.5, by="id")


def test_files_that_are_there_are_replaced_on_request_alone(write: Any, tmp_path: Path) -> None:
    path, out = write("a.jsonl", [{"id": f"d{n}", "text": f"text {n}"} for n in range(50)]), tmp_path / "out"
    split(path, str(out), val=0.3, test=0.2)

    with pytest.raises(ClaraError, match="is there already; --replace"):
        split(path, str(out), val=0.3)
    with pytest.raises(ClaraError, match=r"holds nothing but train\.jsonl and val\.jsonl"):  # a test.jsonl of before
        split(path, str(out), val=0.3, replace=True)
    assert split(path, str(out), val=0.1, test=0.2, replace=True).rows["val"] < 15
