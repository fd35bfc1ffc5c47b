"""Stage 3 before its first step, and where its retrieval collapses."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from clara_lightning.errors import ClaraError
from clara_lightning.modules.joint import JointRAGModule
from clara_lightning.modules.watch import Watch, expectation
from clara_lightning.objectives.estimators import Contrastive, StraightThrough

BEST = ("--best.monitor", "val/recall@2", "--best.mode", "max")
SPOILER = """
import torch
from lightning.pytorch import Callback

class Spoil(Callback):
    def on_train_batch_end(self, trainer, pl_module, *args):
        for name, parameter in pl_module.named_parameters():
            if "lora_B.query_reasoner" in name:
                torch.nn.init.normal_(parameter, std=10.0)
"""
CONTRASTIVE = '[{"class_path": "clara_lightning.Contrastive"}]'
CONTRAST = ("--model.estimators", CONTRASTIVE, "--model.train_generator", "false", "--model.temperature", 0.5)
START = ("--watch.start", "true")


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for path in sorted(folder.rglob("*.safetensors")):
        found |= {f"{path.parent.name}/{name}": value for name, value in load_file(path).items()}
    return found


def same(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.fixture(scope="module")
def plain(
    commands: Any, undropped: Path, run_here: Callable[..., int], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run that is not measured at its start."""
    run = tmp_path_factory.mktemp("plain") / "run"
    assert run_here(*commands.fit_joint(run, undropped, *BEST)) == 0
    return run


def test_the_start_is_measured_as_every_validation_and_moves_nothing(
    commands: Any, clara: Any, undropped: Path, plain: Path, tmp_path: Path
) -> None:
    still = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", 0.0)
    assert clara(*commands.fit_joint(tmp_path / "still", undropped, *START, *still)).code == 0
    outcome = clara(*commands.fit_joint(tmp_path / "run", undropped, *START, *BEST))
    assert outcome.code == 0 and "before training: recall@2 0." in outcome.err

    first, *others = rows(tmp_path / "run")
    assert others == rows(plain)
    begin, *_, end = (row for row in rows(tmp_path / "still") if "val/loss" in row)
    assert begin.pop("step") == first.pop("step") == "-1" and begin == first
    assert {name: float(end[name]) for name in begin if name != "epoch"} == pytest.approx(
        {name: float(value) for name, value in begin.items() if name != "epoch"}, nan_ok=True
    )
    assert {"val/f1", "val/success_rate", "val/score_spread", "val/recall@2"} <= first.keys()
    assert same(tmp_path / "run" / "adapters", plain / "adapters")


def test_a_collapse_ends_the_run_with_the_adapters_of_its_start(
    commands: Any, start_clara: Any, clara: Any, undropped: Path, tmp_path: Path
) -> None:
    warm = (*CONTRAST, "--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", 0.01)
    assert clara(*commands.fit_joint(tmp_path / "warm", undropped, *warm, "--trainer.max_epochs", 4)).code == 0
    (tmp_path / "spoiler.py").write_text(SPOILER, encoding="utf-8")
    run = tmp_path / "run"
    watched = (*START, *BEST, "--watch.min_recall", 1.0, "--trainer.val_check_interval", 1)
    fit = commands.fit_joint(run, tmp_path / "warm", *watched, "--trainer.callbacks", "spoiler.Spoil")

    running = start_clara(*fit, path=tmp_path)
    _, errors = running.communicate(timeout=240)

    assert running.returncode == 2, errors
    steps = 1 + max(int(row["step"]) for row in rows(run))
    mistake = errors.strip().splitlines()[-1]
    assert f"watch: retrieval collapsed after {steps} steps (val/recall@2 " in mistake and steps < 4
    assert mistake.endswith(f"the run ends; the last good adapters are in {run / 'best'}")
    assert same(run / "adapters", run / "best" / "adapters")
    assert not same(run / "adapters" / "query_reasoner", undropped / "compressor")


def test_figures_that_are_not_watched_end_nothing(commands: Any, clara: Any, undropped: Path, tmp_path: Path) -> None:
    blind = ("--watch.min_recall", "null", "--watch.max_top_share", "null")
    assert clara(*commands.fit_joint(tmp_path / "run", undropped, *START, *blind)).code == 0


def test_a_resumed_run_compares_with_its_own_start(commands: Any, clara: Any, undropped: Path, tmp_path: Path) -> None:
    fit = commands.fit_joint(tmp_path / "run", undropped, *START)
    assert clara(*fit, "--trainer.max_steps", 2).code == 0

    outcome = clara(*fit, "--ckpt_path", "last")

    assert outcome.code == 0 and "before training" not in outcome.err
    first, *_ = rows(tmp_path / "run")
    watch = Watch()
    watch.load_state_dict(torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt")["callbacks"]["Watch"])
    assert {name: repr(value) for name, value in watch.state_dict()["first"].items()} == {
        name: value for name, value in first.items() if name.startswith("val/")
    }


@pytest.mark.parametrize(
    ("first", "now", "collapsed"),
    [
        ({"val/recall@2": 0.8}, {"val/recall@2": 0.41}, False),
        ({"val/recall@2": 0.8}, {"val/recall@2": 0.39}, True),
        ({"val/recall@2": float("nan")}, {"val/recall@2": float("nan")}, False),
        ({"val/top_share": 0.2}, {"val/top_share": 0.51}, True),
        ({"val/top_share": 0.3}, {"val/top_share": 0.51}, False),  # it is not twice as much
        ({"val/top_share": 0.1}, {"val/top_share": 0.49}, False),
    ],
)
def test_what_is_a_collapse(first: dict[str, float], now: dict[str, float], collapsed: bool) -> None:
    watch = Watch()
    watch.load_state_dict({"first": first})
    found = watch._collapse(now, top_k=2)
    assert (found is not None) == collapsed
    if found:
        ((name, value),) = now.items()
        assert found == f"{name} {first[name]:.3f} -> {value:.3f}"


@pytest.mark.parametrize(
    ("figures", "estimators", "level"),
    [
        ({"val/recall@2": 0.9, "val/success_rate": 0.3}, [StraightThrough()], logging.INFO),
        ({"val/recall@2": 0.3, "val/success_rate": 0.9}, [StraightThrough()], logging.WARNING),
        ({"val/recall@2": 0.3, "val/success_rate": 0.9}, [StraightThrough(), Contrastive()], logging.INFO),
        ({"val/recall@2": float("nan"), "val/success_rate": 0.9}, [StraightThrough()], logging.INFO),
        ({"val/recall@2": float("nan"), "val/success_rate": 0.3}, [StraightThrough()], logging.WARNING),
    ],
)
def test_a_weak_start_is_said_where_the_answers_loss_alone_teaches(
    figures: dict[str, float], estimators: list[Any], level: int, undropped: Path
) -> None:
    module = JointRAGModule(init_from=str(undropped), top_k=2, estimators=estimators)
    found, text = expectation(figures, module)
    assert found == level
    assert ("configs/retrieval.yaml" in text) == (level == logging.WARNING)


@pytest.mark.parametrize("settings", [{"min_recall": 0.0}, {"min_recall": 1.5}, {"max_top_share": -1.0}])
def test_a_share_out_of_range_is_refused(settings: dict[str, float]) -> None:
    ((name, value),) = settings.items()
    with pytest.raises(ClaraError, match=f"watch.{name} must be above 0 and at most 1, got {value}"):
        Watch(**settings)


def test_a_start_that_cannot_be_measured_is_named(commands: Any, clara: Any, tmp_path: Path) -> None:
    outcome = clara(*commands.fit_compressor(tmp_path / "run"), *START, "--trainer.max_steps", 1)
    assert outcome.code == 0 and "without effect: watch.start: this stage is not JointRAGModule" in outcome.err
