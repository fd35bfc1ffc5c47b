"""The study's rows and its data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from benchmarks.recipes.__main__ import HERE, Row
from benchmarks.recipes.split import ASKED, DEV, HELD_OUT, TRAIN, TRAINED, is_held_out, write_split

from clara_lightning.cli.main import main
from clara_lightning.errors import ClaraError

ROWS = sorted(path.stem for path in (HERE / "rows").glob("*.yaml"))


def test_a_row_is_named_after_what_it_is() -> None:
    assert Row(("words", "quick"), 16, 15, 2).name == "words+quick-l16-15min-seed2"
    assert Row((), 64, 60, 0).name == "published-l64-60min-seed0"


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
