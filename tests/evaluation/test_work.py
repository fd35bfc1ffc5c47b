"""Batches that are done once and remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clara_lightning.evaluation.processes import Processes
from clara_lightning.evaluation.work import Journal, Work, in_batches

ALONE = Processes()


def journal(folder: Path, **identity: Any) -> Journal:
    return Journal(folder, {"data": "a"} | identity, ALONE)


def squares(folder: Path, done: list[int], **identity: Any) -> list[Any]:
    def do(batch: list[int]) -> list[Any]:
        done.extend(batch)
        return [number / 3 for number in batch]

    return Work(journal(folder, **identity), ALONE).run("thirds", [[1, 2], [3], [4, 5]], do)


def test_results_stand_in_the_order_of_the_batches(tmp_path: Path) -> None:
    assert squares(tmp_path, []) == [1 / 3, 2 / 3, 1.0, 4 / 3, 5 / 3]


def test_what_is_done_is_not_done_again_and_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    first, again = [], []  # type: ignore[var-annotated]

    assert squares(tmp_path, first) == squares(tmp_path, again)
    assert (first, again) == ([1, 2, 3, 4, 5], [])


def test_a_run_that_was_killed_goes_on_behind_its_last_whole_line(tmp_path: Path) -> None:
    squares(tmp_path, [])
    (path,) = tmp_path.iterdir()
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole[: whole.rindex("thirds/2") + 12], encoding="utf-8")
    done: list[int] = []

    assert squares(tmp_path, done) == [1 / 3, 2 / 3, 1.0, 4 / 3, 5 / 3]
    assert done == [4, 5]


def test_another_evaluation_in_the_same_folder_starts_anew(tmp_path: Path) -> None:
    squares(tmp_path, [])
    done: list[int] = []

    squares(tmp_path, done, data="b")

    assert done == [1, 2, 3, 4, 5]


def test_a_finished_evaluation_leaves_no_journal(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    kept.add("a", 1)

    kept.remove()

    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_batch_is_not_remembered(tmp_path: Path) -> None:
    def do(batch: int) -> list[int]:
        if batch == 1:
            raise KeyboardInterrupt
        return [batch]

    with pytest.raises(KeyboardInterrupt):
        Work(journal(tmp_path), ALONE).run("work", [0, 1], do)

    found = journal(tmp_path)
    assert "work/0" in found and "work/1" not in found


def test_batches_hold_items_of_similar_length_each_once() -> None:
    batches = in_batches([5, 1, 9, 2, 9], 2)

    assert batches == [[2, 4], [0, 3], [1]]


def test_no_items_give_no_batches() -> None:
    assert in_batches([], 4) == []
