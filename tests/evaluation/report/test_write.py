"""The report folder: which files, in which order, with which records."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.evaluation.report import write
from clara_lightning.evaluation.report.pictures import NAMES
from clara_lightning.evaluation.results import Results

TEXTS = {"predictions.jsonl", "rankings.jsonl", "report.md", "report.html", "cost.json", "results.json"}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_folder_holds_these_files_and_no_working_file(evaluated: Any, tmp_path: Path) -> None:
    folder = evaluated.write(tmp_path / "new" / "report")
    pictures = {f"{name}.png" for name in NAMES}
    assert {path.name for path in folder.iterdir()} == TEXTS | {"paraphrases.jsonl"} | pictures


def test_every_picture_of_the_markdown_lies_beside_it(evaluated: Any, tmp_path: Path) -> None:
    text = (evaluated.write(tmp_path) / "report.md").read_text(encoding="utf-8")
    assert all(f"]({name}.png)" in text and (tmp_path / f"{name}.png").is_file() for name in NAMES)


def test_results_come_last_and_are_gone_while_others_are_written(
    evaluated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated.write(tmp_path)
    seen = []
    real = Path.replace

    def watched(self: Path, target: Path) -> Path:
        seen.append((target.name, (tmp_path / "results.json").exists()))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    evaluated.write(tmp_path)
    assert seen[-1][0] == "results.json" and {name for name, _ in seen} >= TEXTS
    assert not any(complete for _, complete in seen)


def test_a_report_that_breaks_off_has_no_results(
    evaluated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated.write(tmp_path)

    def broken(page: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(write, "_write", lambda path, content: broken(path))
    with pytest.raises(OSError, match="disk full"):
        evaluated.write(tmp_path)
    assert not (tmp_path / "results.json").exists()


def test_what_an_earlier_report_had_and_this_one_has_not_is_removed(evaluated: Any, tmp_path: Path) -> None:
    evaluated.write(tmp_path)
    (tmp_path / "mine.txt").write_text("kept")
    evaluated.without_search().write(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == TEXTS | {"mine.txt", "answers_f1.png", "answers_cross_entropy.png", "compression.png"}


def test_the_same_data_make_the_same_bytes(evaluated: Any, tmp_path: Path) -> None:
    first, second = evaluated.write(tmp_path / "a"), evaluated.write(tmp_path / "b")
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_documents_of_a_line_are_objects(evaluated: Any, tmp_path: Path) -> None:
    evaluated.write(tmp_path)
    predictions = {line["condition"]: line for line in lines(tmp_path / "predictions.jsonl") if line["id"] == "q3"}
    assert predictions["none"]["documents"] == []
    assert predictions["gold_memory"]["documents"] == [{"id": "d3", "score": None}]
    assert predictions["retrieved_memory"]["documents"] == [{"id": "d3", "score": 0.83}, {"id": "d7", "score": 0.5}]
    (ranking,) = lines(tmp_path / "rankings.jsonl")
    assert ranking["documents"] == [{"id": "d0", "score": 0.83}, {"id": "d7", "score": 0.5}]
    assert ranking["gold_ranks"] == [1, None] and ranking["ranked"] == 100


def test_every_record_is_one_line_whatever_is_in_it(evaluated: Any, tmp_path: Path) -> None:
    evaluated.with_text("two\nlines | é\u2028 \x00").write(tmp_path)
    raw = (tmp_path / "predictions.jsonl").read_bytes().split(b"\n")
    assert len(raw) == len(evaluated.predictions) + 1 and raw[-1] == b""
    assert json.loads(raw[0])["prediction"] == "two\nlines | é\u2028 \x00"


def test_a_number_that_is_not_defined_is_null(evaluated: Any, tmp_path: Path) -> None:
    broken = [replace(evaluated.predictions[0], nll=math.nan), *evaluated.predictions[1:]]
    replace(evaluated, predictions=broken).write(tmp_path)
    assert lines(tmp_path / "predictions.jsonl")[0]["nll"] is None


def test_results_are_read_back_as_they_were(evaluated: Any, tmp_path: Path) -> None:
    evaluated.write(tmp_path)
    back = Results.from_json(json.loads((tmp_path / "results.json").read_text(encoding="utf-8")))
    assert back.to_json() == evaluated.results.to_json()
    assert math.isnan(back.answers["none"]["compression_rate"].value)


def test_costs_are_apart_from_the_results(evaluated: Any, tmp_path: Path) -> None:
    evaluated.write(tmp_path)
    costs = json.loads((tmp_path / "cost.json").read_text(encoding="utf-8"))
    assert costs["steps"]["compress"] == {"items": 256, "milliseconds": 41.3, "peak_bytes": 912 * 2**20}
    slower = replace(evaluated, costs=replace(evaluated.costs, seconds=99.0, device="cuda"))
    before = (tmp_path / "results.json").read_bytes()
    assert (slower.write(tmp_path / "slow") / "results.json").read_bytes() == before
