"""The best step of a run, through the command line: which it is, what is kept of it, and what a kill leaves."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from clara_lightning.backbone.folder import restore_folder

LEARNING = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", 0.01)
OFTEN = ("--trainer.val_check_interval", 2)  # validations after 2, 4, 6 and 8 steps, epochs of 4
KILLER = """
import os, signal
from lightning.pytorch import Callback

class KillAt(Callback):
    def __init__(self, hook: str, step: int) -> None:
        def kill(trainer, *args, **kwargs):
            if trainer.global_step == step:
                os.kill(os.getpid(), signal.SIGKILL)
        setattr(self, hook, kill)
"""


def best(monitor: str, mode: str) -> tuple[object, ...]:
    return ("--best.monitor", monitor, "--best.mode", mode)


def curve(run: Path, name: str) -> dict[int, float]:
    """A figure by the number of steps that were done."""
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return {int(row["step"]) + 1: float(row[name]) for row in csv.DictReader(file) if row[name]}


def figure(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "best" / "figure.json").read_text(encoding="utf-8"))
    return found


def assert_whole(run: Path) -> None:
    """Checkpoint, adapters and figure are of one step, and nothing else is there."""
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    heads = load_file(run / "best" / "adapters" / "memory_tokens.safetensors")
    generator = load_file(run / "best" / "adapters" / "generator" / "adapter_model.safetensors")
    state = checkpoint["state_dict"]
    assert checkpoint["global_step"] == figure(run)["step"]
    assert all(torch.equal(value, state[f"backbone.heads.{name}"]) for name, value in heads.items())
    assert all(
        torch.equal(value, state["backbone.lm." + name.replace(".weight", ".generator.weight")])
        for name, value in generator.items()
    )
    assert {path.name for path in (run / "best").iterdir()} == {"adapters", "figure.json"}
    assert not list(run.glob(".*"))


@pytest.fixture(scope="module")
def lowest(commands: Any, run_here: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that keeps its lowest loss."""
    run = tmp_path_factory.mktemp("lowest") / "run"
    assert run_here(*commands.fit_compressor(run, *LEARNING, *OFTEN, *best("val/loss", "min"))) == 0
    return run


def test_the_lowest_figure_is_kept_with_its_step(lowest: Path) -> None:
    losses = curve(lowest, "val/loss")
    step = min(losses, key=lambda step: losses[step])

    assert len(losses) == 4
    assert figure(lowest) == {"monitor": "val/loss", "mode": "min", "value": losses[step], "step": step}
    assert_whole(lowest)


def test_the_highest_figure_is_kept_though_later_steps_are_lower(commands: Any, clara: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"

    outcome = clara(*commands.fit_compressor(run, *LEARNING, *OFTEN, *best("val/loss", "max")))

    losses = curve(run, "val/loss")
    assert outcome.code == 0
    assert figure(run)["value"] == max(losses.values()) == losses[figure(run)["step"]]
    assert figure(run)["step"] < 8
    assert f"best so far: val/loss {losses[2]:.4f} after 2 steps, in {run / 'best'}" in outcome.err
    assert "the step with the highest val/loss is kept" in outcome.err
    assert_whole(run)


def test_the_folder_of_the_best_step_is_where_a_next_stage_may_start(
    commands: Any, clara: Any, lowest: Path, tmp_path: Path
) -> None:
    outcome = clara(*commands.fit_joint(tmp_path / "run", lowest / "best", "--trainer.max_steps", 1))

    assert outcome.code == 0
    assert f"{lowest / 'best' / 'adapters'} (SalientCompressor): loaded compressor, generator" in outcome.err


def test_a_run_goes_on_from_its_best_checkpoint(
    commands: Any, clara: Any, lowest: Path, bytes_of: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    highest = (*LEARNING, *OFTEN, *best("val/loss", "max"))
    assert clara(*commands.fit_compressor(run, *highest)).code == 0
    assert figure(run)["step"] < 8

    again = clara(*commands.fit_compressor(run, *highest, "--ckpt_path", run / "checkpoints" / "best.ckpt"))

    assert again.code == 0, again.err
    assert curve(run, "val/loss") == curve(lowest, "val/loss")
    assert curve(run, "train/loss") == curve(lowest, "train/loss")
    found, expected = (bytes_of(each / "adapters") for each in (run, lowest))
    assert found.pop("README.md") != expected.pop("README.md")  # each names the best step by its own figure
    assert found == expected


def test_a_best_step_between_two_batches_of_a_step_is_for_its_weights_alone(
    commands: Any, clara: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    halves = ("--trainer.accumulate_grad_batches", 2, "--trainer.val_check_interval", 1, "--trainer.max_steps", 1)
    fit = commands.fit_compressor(run, *LEARNING, *halves, *best("val/ce_memory", "max"))
    assert clara(*fit).code == 0
    assert figure(run)["step"] == 0  # after one of two batches, with the weights of the start
    assert_whole(run)
    checkpoint = run / "checkpoints" / "best.ckpt"

    refused = clara(*fit, "--ckpt_path", checkpoint)

    assert refused.mistake == (
        f"--ckpt_path: {checkpoint} was saved between two batches of one optimizer step, and does not hold their "
        "gradients; go on from last, or set model.init_args.init_from to the adapters beside its figure"
    )
    assert clara("validate", *fit[1:], "--ckpt_path", checkpoint).code == 0
    assert clara(*fit, "--ckpt_path", "last").code == 0


@pytest.mark.parametrize(
    ("hook", "step"),
    [
        pytest.param("on_train_batch_start", 7, id="between two validations", marks=pytest.mark.slow),
        pytest.param("on_save_checkpoint", 4, id="with the folder written and the checkpoint not"),
    ],
)
def test_a_killed_run_keeps_the_best_so_far(
    hook: str, step: int, commands: Any, start_clara: Any, finish: Any, bytes_of: Any, lowest: Path, tmp_path: Path
) -> None:
    (tmp_path / "killer.py").write_text(KILLER, encoding="utf-8")
    run = tmp_path / "run"
    fit = commands.fit_compressor(run, *LEARNING, *OFTEN, *best("val/loss", "min"))
    kill = ("--trainer.callbacks", "killer.KillAt", "--trainer.callbacks.hook", hook)
    killed = finish(start_clara(*fit, *kill, "--trainer.callbacks.step", step, path=tmp_path))
    assert killed.code == -signal.SIGKILL, killed.err
    assert figure(run)["value"] == curve(run, "val/loss")[figure(run)["step"]]

    resumed = finish(start_clara(*fit, "--ckpt_path", "last"))

    assert resumed.code == 0, resumed.err
    assert bytes_of(run / "best") == bytes_of(lowest / "best")
    assert bytes_of(run / "adapters") == bytes_of(lowest / "adapters")
    assert (run / "metrics.csv").read_bytes() == (lowest / "metrics.csv").read_bytes()
    assert_whole(run)


def test_a_worse_step_after_a_resume_does_not_take_the_place_of_the_best(
    commands: Any, clara: Any, bytes_of: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fit = commands.fit_compressor(run, *LEARNING, *OFTEN, *best("val/loss", "max"))
    assert clara(*fit, "--trainer.max_steps", 4).code == 0
    before = bytes_of(run / "best")

    assert clara(*fit, "--ckpt_path", "last").code == 0

    assert len(curve(run, "val/loss")) == 4
    assert bytes_of(run / "best") == before


def test_a_resumed_run_with_another_figure_forgets_the_best_and_says_so(
    commands: Any, clara: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fit = commands.fit_compressor(run, *LEARNING, *OFTEN)
    assert clara(*fit, *best("val/loss", "max"), "--trainer.max_steps", 4).code == 0

    outcome = clara(*fit, *best("val/ce_none", "min"), "--ckpt_path", "last")

    assert outcome.code == 0
    assert "the best step by the max of val/loss so far is forgotten: best.monitor is val/ce_none now" in outcome.err
    assert figure(run)["monitor"] == "val/ce_none"


def test_a_figure_of_an_epochs_end_is_compared_there_alone(commands: Any, clara: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"

    outcome = clara(*commands.fit_compressor(run, *LEARNING, *OFTEN, *best("val/em", "max")))

    assert outcome.code == 0, outcome.err
    assert figure(run)["step"] == 4  # not 2, where nothing is answered, and not 8, which is no better
    assert_whole(run)


def test_nan_is_never_the_best(commands: Any, clara: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    unknown = (*best("val/information_retained", "max"), "--trainer.max_steps", 4)

    assert clara(*commands.fit_compressor(run, *unknown)).code == 0

    assert [str(value) for value in curve(run, "val/information_retained").values()] == ["nan"]
    assert not (run / "best").exists() and not (run / "checkpoints" / "best.ckpt").exists()


@pytest.mark.parametrize("sanity", [0, 1])
def test_a_figure_that_does_not_exist_ends_the_run_at_its_first_validation(
    sanity: int, commands: Any, clara: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fit = commands.fit_compressor(run, *OFTEN, *best("val/recall", "max"), "--trainer.num_sanity_val_steps", sanity)

    outcome = clara(*fit)

    assert outcome.code == 2
    mistake = outcome.err.splitlines()[-1]
    assert mistake.startswith("clara: best.monitor: validation measures no 'val/recall', but val/answer_words, val/ce_")
    assert all(name in mistake for name in ("val/em", "val/information_retained", "val/recall@1"))
    assert not sanity or not list(run.glob("checkpoints/*"))
    assert not (run / "best").exists()


def test_a_monitor_without_a_mode_is_refused(commands: Any, clara: Any, tmp_path: Path) -> None:
    refused = clara(*commands.fit_compressor(tmp_path / "run", "--best.monitor", "val/loss"))

    assert refused.mistake == "best.mode is required with best.monitor val/loss: max or min"
    assert not (tmp_path / "run").exists()


def test_settings_of_the_best_that_change_nothing_are_named(commands: Any, clara: Any, tmp_path: Path) -> None:
    short = ("--trainer.max_steps", 1)
    mode = clara(*commands.fit_compressor(tmp_path / "one", *short, "--best.mode", "max"))
    unseen = (*best("val/loss", "min"), "--data.val", "null", *OFTEN)
    blind = clara(*commands.fit_compressor(tmp_path / "two", *short, *unseen))

    assert "without effect: best.mode max: best.monitor is not given" in mode.err
    for name in ("best.monitor", "trainer.val_check_interval"):
        assert f"without effect: {name}: there is no data.init_args.val to measure on" in blind.err


def test_without_a_monitor_a_run_keeps_nothing_of_the_kind(compressor_run: Path) -> None:
    checkpoint = torch.load(compressor_run / "checkpoints" / "last.ckpt", weights_only=True)

    assert not (compressor_run / "best").exists()
    assert [path.name for path in (compressor_run / "checkpoints").glob("best*")] == []
    assert not [name for name in checkpoint["callbacks"] if "Best" in name]


def test_a_folder_that_a_kill_left_between_its_two_names_is_put_back(tmp_path: Path) -> None:
    target, old = tmp_path / "best", tmp_path / ".best-old-best-new"
    old.mkdir()
    (old / "figure.json").write_text("{}", encoding="utf-8")

    restore_folder(target)
    assert (target / "figure.json").is_file() and not old.exists()

    old.mkdir()
    restore_folder(target)
    assert (target / "figure.json").is_file() and not old.exists()
