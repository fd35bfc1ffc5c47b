"""Variants take turns; limits and tables are made of what was measured."""

from __future__ import annotations

import torch

CPU = torch.device("cpu")


def test_variants_take_turns_and_the_first_round_does_not_count() -> None:
    from benchmarks.timing import Rounds, take_turns

    calls: list[str] = []
    variants = {name: (lambda name=name: calls.append(name) or name) for name in ("one", "other")}
    turns = take_turns(variants, rounds=Rounds(0.0, least=2, most=2), device=CPU)

    assert calls == ["one", "other", "one", "other", "other", "one"]
    assert {name: len(seconds) for name, seconds in turns.seconds.items()} == {"one": 2, "other": 2}
    assert turns.first == {"one": "one", "other": "other"}


def test_as_many_rounds_as_fit_into_the_time() -> None:
    from benchmarks.timing import Rounds

    rounds = Rounds(60.0, least=2, most=9)

    assert [rounds.fitting(seconds) for seconds in (1.0, 15.0, 1000.0)] == [9, 4, 2]


def test_the_matrix_product_is_measured_beside_the_variants() -> None:
    from benchmarks.timing import Rounds, take_turns

    turns = take_turns({"one": int}, rounds=Rounds(0.0, least=1, most=1), device=CPU, dtype=torch.float32)

    assert turns.rate > 1e6


def test_a_row_knows_ratio_and_mfu() -> None:
    from benchmarks.results import Row

    row = Row("a", "", {"ours": [3.0, 2.0, 1.0], "plain": [6.0]}, tokens=1, flops=100, rate=200.0)

    assert (row.ratio, row.mfu) == (3.0, 0.25)
    assert Row.from_json(row.to_json()) == row
