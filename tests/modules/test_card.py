"""The model card that a run writes."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

LEARNING = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", 0.01)


def card(run: Path, folder: str = "adapters") -> str:
    return (run / folder / "README.md").read_text(encoding="utf-8")


def cells(text: str, name: str) -> list[str]:
    """The cells of the first row that begins with a name."""
    row = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


def without_seconds(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("| seconds of training")]


def metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_figures_are_those_of_the_metrics(compressor_run: Path) -> None:
    last = [row for row in metrics(compressor_run) if row["val/loss"]][-1]
    text = card(compressor_run)
    for name in ("loss", "ce_none", "ce_another", "ce_memory", "ce_text", "f1", "mrr", "recall@1"):
        assert cells(text, name.replace("_", "\\_"))[1:3] == [f"{float(last[f'val/{name}']):.4f}", "8"]


def test_the_data_is_told_by_name_rows_and_checksum(compressor_run: Path, commands: Any) -> None:
    digest = hashlib.sha256(commands.files.scp.read_bytes()).hexdigest()
    assert cells(card(compressor_run), "training") == ["training", "scp.jsonl", "16", digest[:16]]
    assert cells(card(compressor_run), "validation") == ["validation", "scp.jsonl", "4", digest[:16]]
    assert cells(card(compressor_run), "rows read")[1].startswith("32, ")


def test_no_place_of_this_machine_is_told(
    compressor_run: Path, joint_run: Path, commands: Any, tiny_model_folder: Path
) -> None:
    for run in (compressor_run, joint_run):
        for place in (run.parent, commands.files.scp.parent, tiny_model_folder.parent, Path.home()):
            assert f"{place}/" not in card(run)


def test_a_later_stage_names_the_fingerprint_that_it_started_from(compressor_run: Path, joint_run: Path) -> None:
    own = cells(card(compressor_run), "fingerprint")[1]
    assert cells(card(joint_run), "started from")[1] == f"adapters with fingerprint {own}"


def seconds(checkpoint: Path) -> float:
    found: float = torch.load(checkpoint, weights_only=True)["callbacks"]["Pace"]["seconds"]
    return found


def test_a_run_that_goes_on_from_a_checkpoint_has_the_card_of_an_undisturbed_one(
    commands: Any, clara: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    options = (*LEARNING, "--card.license", "apache-2.0", "--card.data_license", "Made up for a test.")
    best = ("--best.monitor", "val/loss", "--best.mode", "max", "--trainer.val_check_interval", 2)
    fit = commands.fit_compressor(run, *options, *best)
    assert clara(*fit).code == 0
    undisturbed, earlier = card(run), run / "checkpoints" / "best.ckpt"
    assert "license: apache-2.0" in undisturbed.splitlines() and "Made up for a test." in undisturbed
    assert torch.load(earlier, weights_only=True)["global_step"] < 8
    before = seconds(earlier)

    assert clara(*fit, "--ckpt_path", earlier).code == 0

    assert without_seconds(card(run)) == without_seconds(undisturbed)
    assert 0 < before < seconds(run / "checkpoints" / "last.ckpt")


def test_the_best_step_has_its_own_card_and_every_card_names_the_best(
    commands: Any, clara: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    best = ("--best.monitor", "val/loss", "--best.mode", "max", "--trainer.val_check_interval", 2)
    assert clara(*commands.fit_compressor(run, *LEARNING, *best)).code == 0
    figure = json.loads((run / "best" / "figure.json").read_text(encoding="utf-8"))
    line = f"The highest loss of the run: {figure['value']:.4f} after {figure['step']} steps."
    assert figure["step"] < 8
    assert line in card(run) and line in card(run, "best/adapters")
    assert cells(card(run, "best/adapters"), "steps") == ["steps", str(figure["step"])]
    assert cells(card(run), "steps") == ["steps", "8"]


@pytest.mark.parametrize(
    "options", [("--trainer.limit_val_batches", 1), ("--trainer.limit_val_batches", 0.25)], ids=["batches", "a share"]
)
def test_only_rows_that_were_validated_count(
    options: tuple[object, ...], commands: Any, clara: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fit = commands.fit_compressor(run, "--data.max_val_rows", 16, "--trainer.max_epochs", 1, *options)
    assert clara(*fit).code == 0
    assert cells(card(run), "validation")[2] == "4"


def test_a_license_that_is_none_of_the_hubs_is_refused(commands: Any, clara: Any, tmp_path: Path) -> None:
    refused = clara(*commands.fit_compressor(tmp_path / "run", "--card.license", "MIT License"))
    assert refused.mistake == "card.license must be an identifier of the Hub, as apache-2.0 or other, got 'MIT License'"
    assert not (tmp_path / "run").exists()
