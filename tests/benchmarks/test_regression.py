"""What fell by more than the tolerance is said, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def write(path: Path, *, ours: float, plain: float = 4.0, key: str = "a") -> Path:
    """Figures of one row."""
    from benchmarks.results import Report, Row

    row = Row(key, "a step", {"ours": [ours], "plain": [plain]}, tokens=10, flops=100, rate=1000.0)
    path.write_text(json.dumps(Report("here", [], [row]).to_json()))
    return path


def compare(folder: Path, expected: dict[str, Any], found: dict[str, Any], *words: str) -> int:
    from benchmarks.regression import main

    one, other = write(folder / "expected.json", **expected), write(folder / "found.json", **found)
    return main(["--expected", str(one), "--fresh", str(other), *words])


def test_a_slower_path_of_ours_is_said_with_both_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(tmp_path, {"ours": 1.0}, {"ours": 2.0}) == 1

    lines = capsys.readouterr().out.splitlines()
    assert "FELL a: ratio 4, now 2 (-50%)" in lines
    assert "FELL a: mfu 0.1, now 0.05 (-50%)" in lines


def test_within_the_tolerance_nothing_fell(tmp_path: Path) -> None:
    assert compare(tmp_path, {"ours": 1.0}, {"ours": 1.1}) == 0
    assert compare(tmp_path, {"ours": 1.0}, {"ours": 1.1}, "--tolerance", "0.05") == 1


def test_what_became_faster_did_not_fall(tmp_path: Path) -> None:
    assert compare(tmp_path, {"ours": 1.0}, {"ours": 0.5}) == 0


def test_runs_without_a_common_row_cannot_be_compared(tmp_path: Path) -> None:
    assert compare(tmp_path, {"ours": 1.0}, {"ours": 1.0, "key": "d"}) == 2


def test_a_file_without_figures_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.regression import main

    file = tmp_path / "other.json"
    file.write_text("{}")

    assert main(["--expected", str(file), "--fresh", str(file)]) == 2
    assert str(file) in capsys.readouterr().err
