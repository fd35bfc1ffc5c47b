"""The study's rows and its data."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from benchmarks.recipes import __main__ as recipes
from benchmarks.recipes import reader, untrained
from benchmarks.recipes.__main__ import HERE, REFERENCE, Row
from benchmarks.recipes.__main__ import main as run_from_command_line
from benchmarks.recipes.split import ASKED, DEV, HELD_OUT, TRAIN, TRAINED, is_held_out, write_split
from benchmarks.recipes.tables import draw_curves, screens, tables
from benchmarks.recipes.untrained import best_windows

from benchmarks import study
from clara_lightning.cli.main import main
from clara_lightning.corpus.manifest import write_json
from clara_lightning.errors import ClaraError

ROWS = sorted(path.stem for path in (HERE / "rows").glob("*.yaml"))


def test_a_row_is_named_after_what_it_is() -> None:
    assert Row(("words", "quick"), 16, 15, 2).name == "words+quick-l16-15min-seed2"
    assert Row((), 64, 60, 0).name == "published-l64-60min-seed0"
    assert Row((), 64, 5, 0, screen=True).name == "published-l64-5min-seed0-screen"


def test_an_unknown_row_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ClaraError, match=r"'word' is no row: choose among .*words"):
        Row(("word",), 16, 15, 0)


def test_the_last_overlay_says_how_many_batches_a_step_has() -> None:
    assert Row((), 16, 15, 0).accumulate == 16
    assert Row(("quick",), 16, 15, 0).accumulate == 1
    assert Row(("quick", "batch32"), 16, 15, 0).accumulate == 4


@pytest.mark.parametrize("name", ROWS)
def test_each_overlay_says_what_it_is(name: str) -> None:
    text = (HERE / "rows" / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert set(yaml.safe_load(text)) <= {"model", "data", "trainer"}


def test_clara_fit_takes_all_overlays(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    row = Row(tuple(ROWS), 64, 1, 3)
    with pytest.raises(SystemExit, match="0"):
        main([*row.fit(tmp_path / "run", tmp_path, steps=7, validate_every=2), "--print_config"])
    found = yaml.safe_load(capsys.readouterr().out)
    assert found["model"]["init_args"]["nested"] == [4, 8, 16, 32, 64]
    assert found["model"]["init_args"]["optimizer"]["init_args"]["betas"] == [0.9, 0.95]
    assert (found["trainer"]["max_steps"], found["seed_everything"]) == (7, 3)


def row_of(name: str, number: int, text: str, gold: int = 1) -> str:
    passages = [{"text": text, "gold": n < gold} for n in range(2)]
    return json.dumps({"id": f"{number}", "question": f"{name} {number}?", "answers": ["a"], "passages": passages})


def test_what_is_measured_shares_nothing_with_what_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLARA_DATA", str(tmp_path))
    (tmp_path / "train").mkdir()
    for name in (*TRAINED, HELD_OUT):
        lines = [row_of(name, number, f"{name} text {number // 4}") for number in range(400)]
        lines.append(row_of(name, 1000, "two golds", gold=2))
        (tmp_path / "train" / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")

    write_split(tmp_path / "out")

    train, dev, asked = (
        [json.loads(line) for line in (tmp_path / "out" / name).read_text(encoding="utf-8").splitlines()]
        for name in (TRAIN, DEV, ASKED)
    )
    assert not {row["id"] for row in train} & {row["id"] for row in dev}
    assert not {row["passages"][0]["text"] for row in train} & {row["passages"][0]["text"] for row in dev}
    assert {row["id"].partition("/")[0] for row in train} == set(TRAINED)
    assert sum(row["id"].startswith(HELD_OUT) for row in dev) == 400
    assert all(len(row["passages"]) == 1 for row in [*train, *dev])
    assert asked == dev[: len(asked)]
    held_out = [row for row in dev if not row["id"].startswith(HELD_OUT)]
    assert len(held_out) == sum(is_held_out(f"{name}/{number}") for name in TRAINED for number in range(400))


def test_without_the_data_the_setting_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLARA_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ClaraError, match=r"CLARA_DATA: .*nowhere/train holds no mlqa_en_dev\.jsonl"):
        write_split(tmp_path / "out")


def result_of(seed: int, retained: float, *, overlays: tuple[str, ...] = ("words",), minutes: float = 15) -> Any:
    value = {"value": retained, "low": retained - 0.1, "high": retained + 0.1}
    figures = dict.fromkeys(("em", "f1", "cover_em", "cross_entropy", "information_retained"), value)
    measured = {"16": dict.fromkeys(("none", "another", "gold_memory", "gold_text"), figures)}
    return {
        **{"overlays": list(overlays), "length": 16, "minutes": minutes, "seed": seed, "steps": 100},
        **{"step_seconds": 0.5, "curve": [{"step": 9, "val/information_retained": retained}], "measured": measured},
    }


def test_the_best_recipe_stands_first_with_its_seeds_together(tmp_path: Path) -> None:
    results = [result_of(0, 0.1, overlays=()), result_of(0, 0.3), result_of(1, 0.5), result_of(0, 0.9, minutes=60)]
    lines = tables(results).splitlines()
    assert lines[0] == "### 60 minutes, 16x: 16 memory tokens for 256"
    rows = [line for line in lines if line.startswith(("| words", "| published"))]
    assert rows[0].startswith("| words | 1 | 100 | 0.50 | 0.900 [0.80, 1.00] |")
    assert rows[1].startswith("| words | 2 | 100 | 0.50 | 0.400 (0.300 to 0.500) |")
    assert rows[2].startswith("| published | 1 |")
    draw_curves(results, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5000


def test_a_screened_row_stands_apart_with_what_it_retained_at_each_length() -> None:
    losses = {"val/ce_none": 3.0, "val/ce_text": 1.0, "val/ce_memory": 1.8}
    nested = {"val/information_retained": 0.6, "val/information_retained_16": 0.2, "val/ce_memory_16": 2.6}
    ends = [nested, {"val/information_retained": 0.7}]
    results = [
        result_of(0, 0.0, overlays=(name,)) | {"length": 64, "measured": {}, "curve": [{}, end | losses]}
        for name, end in zip(("nested", "single"), ends, strict=True)
    ]
    lines = screens([*results, result_of(0, 0.9)]).splitlines()
    assert lines[0] == "### 15 minutes, screened on 128 rows"
    assert lines[4] == "| nested | 0 | 100 | 0.50 | 0.600 |  | 0.200 |  |  | 3.00 | 1.00 | 1.80 | 2.60 |"
    assert lines[5] == "| single | 0 | 100 | 0.50 | 0.700 |  |  |  |  | 3.00 | 1.00 | 1.80 |  |"
    assert "screened" not in tables([*results, result_of(0, 0.9)])


def test_a_rows_pace_is_measured_once_beside_the_reference_and_in_its_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces, ran = tmp_path / "paces.json", []
    write_json(paces, {REFERENCE.pace_name: 0.5})
    monkeypatch.setattr(recipes, "PACES", paces)
    monkeypatch.setattr(study, "clara", lambda *words: ran.append(words))
    seconds = {True: [9.0, 9.0, 9.0, 2.0, 2.0], False: [9.0, 9.0, 9.0, 1.0, 1.0]}  # the first are not counted

    class Events:
        def __init__(self, run: str) -> None:
            self.values = seconds[REFERENCE.pace_name in run]

        def Reload(self) -> Events:
            return self

        def Scalars(self, name: str) -> list[SimpleNamespace]:
            assert name == "train/step_seconds"
            return [SimpleNamespace(value=value) for value in self.values]

    monkeypatch.setattr(study, "EventAccumulator", Events)
    row = Row((), 16, 60, 3)
    assert row.accumulate == 16
    for _ in range(2):
        assert recipes._pace(row, tmp_path, tmp_path) == pytest.approx(16 * 1.0 / 2.0 * 0.5)
    assert len(ran) == 2
    assert json.loads(paces.read_text(encoding="utf-8")) == {REFERENCE.pace_name: 0.5, "published-l16": 4.0}


def test_an_overlay_that_changes_no_steps_cost_takes_no_pace_of_its_own() -> None:
    row = Row(("learned", "quick", "lr1e-3", "easy"), 64, 5, 0)
    assert row.pace_name == "learned+quick+easy-l64"  # easy documents may be short ones
    assert row.name == "learned+quick+lr1e-3+easy-l64-5min-seed0"
    # It sets the learning rate too, and much besides.
    assert Row(("quick",), 64, 5, 0).pace_name == "quick-l64"


def test_the_best_windows_do_not_overlap_and_a_short_text_is_one_window() -> None:
    assert best_windows([0.0, 1.0, 0.0, 0.0, 3.0, 0.0], 2) == [-1.0, -1.0, -2.0, 0.0, 0.0, -2.0]
    assert best_windows([1.0, 2.0], 4) == [0.0, 0.0]
    assert best_windows([], 4) == []


def test_an_unknown_choice_of_tokens_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        reader.main(["the best"])
    assert "'the best' is no choice of tokens: take one of rarest tokens, " in capsys.readouterr().err


@pytest.mark.parametrize("command", [lambda out: untrained.main(out), lambda out: reader.main(["first tokens", *out])])
def test_commands_name_the_data_that_is_missing(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLARA_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match="2"):
        command(["--out", str(tmp_path / "out")])
    assert ": CLARA_DATA: " in capsys.readouterr().err


def test_a_mistake_in_the_command_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        run_from_command_line(["word", "--out", str(tmp_path)])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("python -m benchmarks.recipes: 'word' is no row: choose among ")
