"""A killed ``clara fit`` that is resumed ends as if nothing had happened."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LEARNING = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", 0.01)  # so that every step differs

KILLER = """
import os, signal
from lightning.pytorch import Callback

class KillAt(Callback):
    def __init__(self, hook: str, step: int) -> None:
        def kill(trainer, *args, **kwargs):
            if trainer.global_step == step:
                os.kill(os.getpid(), signal.SIGKILL)
        setattr(self, hook, kill)

class TermAt(Callback):  # tells one of two processes
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer, *args):
        if trainer.global_step == self.step and trainer.global_rank == trainer.world_size - 1:
            os.kill(os.getpid(), signal.SIGTERM)
"""


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def undisturbed(commands: Any, run_here: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    assert run_here(*commands.fit_compressor(run, *LEARNING)) == 0
    return run


@pytest.mark.parametrize(
    ("hook", "step"),
    [
        pytest.param("on_train_batch_start", 3, id="in the middle of an epoch"),
        pytest.param("on_validation_batch_start", 4, id="in the validation after an epoch, which has a checkpoint"),
        pytest.param("on_train_batch_start", 5, id="in the second epoch", marks=pytest.mark.slow),
        pytest.param("on_fit_end", 8, id="after the last step", marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_and_resumed_has_the_metrics_and_the_adapters_of_an_undisturbed_run(
    hook: str,
    step: int,
    commands: Any,
    clara: Any,
    start_clara: Any,
    bytes_of: Any,
    undisturbed: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "killer.py").write_text(KILLER, encoding="utf-8")
    run = tmp_path / "run"
    fit = commands.fit_compressor(run, *LEARNING)
    killer = ("--trainer.callbacks", "killer.KillAt", "--trainer.callbacks.hook", hook)
    killed = start_clara(*fit, *killer, "--trainer.callbacks.step", step, path=tmp_path)
    _, errors = killed.communicate(timeout=240)
    assert killed.returncode == -signal.SIGKILL, errors
    assert rows_of(run) == rows_of(undisturbed)[: len(rows_of(run))]

    assert clara(*fit, "--ckpt_path", "last").code == 0

    assert rows_of(run) == rows_of(undisturbed)
    assert bytes_of(run / "adapters") == bytes_of(undisturbed / "adapters")


TWO = ("--trainer.devices", 2, "--data.batch_size", 2, "--trainer.strategy")
WORKERS, PARTS = ("--data.num_workers", 2), ("--trainer.accumulate_grad_batches", 2)
SPREADS: dict[str, tuple[object, ...]] = {
    "with two data workers and gradients accumulated": ("--data.batch_size", 2, *PARTS, *WORKERS),
    "on two processes": (*TWO, "ddp"),
    "on two processes, with two data workers": (*TWO, "ddp", *WORKERS),
    "in shards, with a fused optimizer": (*TWO, "sharded", "--model.optimizer.fused", "true"),
}


@pytest.mark.parametrize(
    "spread",
    [pytest.param(name, marks=pytest.mark.slow) if "on two processes" in name else name for name in SPREADS],
)
def test_a_killed_run_resumes_exactly(
    spread: str, commands: Any, start_clara: Any, finish: Any, bytes_of: Any, tmp_path: Path
) -> None:
    (tmp_path / "killer.py").write_text(KILLER, encoding="utf-8")
    options = (*LEARNING, *SPREADS[spread], "--data.max_val_rows", 5)
    whole, run = tmp_path / "whole", tmp_path / "run"
    kill = ("--trainer.callbacks", "killer.KillAt", "--trainer.callbacks.hook", "on_train_batch_start")
    kill += ("--trainer.callbacks.step", 3)
    undisturbed = start_clara(*commands.fit_compressor(whole, *options))
    killed = finish(start_clara(*commands.fit_compressor(run, *options), *kill, path=tmp_path))
    assert killed.code == -signal.SIGKILL, killed.err

    resumed = finish(start_clara(*commands.fit_compressor(run, *options), "--ckpt_path", "last"))

    assert resumed.code == 0, resumed.err
    outcome = finish(undisturbed)
    assert outcome.code == 0, outcome.err
    assert rows_of(run) == rows_of(whole)
    assert bytes_of(run / "adapters") == bytes_of(whole / "adapters")


@pytest.mark.parametrize(
    ("end", "code"),
    [
        pytest.param(
            ("killer.KillAt", "--trainer.callbacks.hook", "on_train_batch_start"),
            -signal.SIGKILL,
            id="killed",
            marks=pytest.mark.slow,
        ),
        pytest.param(("killer.TermAt",), 128 + signal.SIGTERM, id="preempted"),
    ],
)
def test_a_run_that_reads_memory_ahead_resumes_exactly(
    end: tuple[object, ...],
    code: int,
    commands: Any,
    start_clara: Any,
    finish: Any,
    bytes_of: Any,
    compressor: Path,
    store: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "killer.py").write_text(KILLER, encoding="utf-8")
    whole, run = tmp_path / "whole", tmp_path / "run"
    options = (*LEARNING, "--model.store", store)
    stop = ("--trainer.callbacks", *end, "--trainer.callbacks.step", 2)
    undisturbed = start_clara(*commands.fit_joint(whole, compressor, *options))
    stopped = finish(start_clara(*commands.fit_joint(run, compressor, *options), *stop, path=tmp_path))
    assert stopped.code == code, stopped.err

    resumed = finish(start_clara(*commands.fit_joint(run, compressor, *options), "--ckpt_path", "last"))

    assert resumed.code == 0, resumed.err
    assert finish(undisturbed).code == 0
    assert rows_of(run) == rows_of(whole)
    assert bytes_of(run / "adapters") == bytes_of(whole / "adapters")


def test_sigterm_saves_the_step_in_work_and_leaves(
    commands: Any, start_clara: Any, finish: Any, tmp_path: Path
) -> None:
    (tmp_path / "killer.py").write_text(KILLER, encoding="utf-8")
    whole, run = tmp_path / "whole", tmp_path / "run"
    spread = ("--trainer.devices", 2, "--data.batch_size", 1, "--trainer.strategy", "ddp", *PARTS)
    rarely = (*LEARNING, *spread, "--data.max_val_rows", 5, "--checkpoint.every_n_train_steps", 100)
    terminate = ("--trainer.callbacks", "killer.TermAt", "--trainer.callbacks.step", 2)
    undisturbed = start_clara(*commands.fit_compressor(whole, *rarely))

    stopped = finish(start_clara(*commands.fit_compressor(run, *rarely), *terminate, path=tmp_path))

    assert stopped.code == 128 + signal.SIGTERM, stopped.err
    assert f"SIGTERM: saved step 3 in {run / 'checkpoints' / 'last.ckpt'}; --ckpt_path last goes on" in stopped.err
    assert "Traceback" not in stopped.err
    assert [row["step"] for row in rows_of(run)] == ["0", "1", "2"]
    resumed = finish(start_clara(*commands.fit_compressor(run, *rarely), "--ckpt_path", "last"))
    assert resumed.code == 0, resumed.err
    assert finish(undisturbed).code == 0
    assert rows_of(run) == rows_of(whole)


def test_a_preempted_slurm_job_goes_back_into_the_queue(
    commands: Any, start_clara: Any, finish: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "killer.py").write_text(KILLER, encoding="utf-8")
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n', encoding="utf-8")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "1234")
    terminate = ("--trainer.callbacks", "killer.TermAt", "--trainer.callbacks.step", 1)

    stopped = finish(start_clara(*commands.fit_compressor(tmp_path / "run"), *terminate, path=tmp_path))

    assert stopped.code == 128 + signal.SIGTERM, stopped.err
    assert (tmp_path / "called").read_text(encoding="utf-8") == "requeue 1234\n"


def test_a_finished_run_says_that_it_is_finished(commands: Any, clara: Any, undisturbed: Path, bytes_of: Any) -> None:
    before = bytes_of(undisturbed / "adapters")

    again = clara(*commands.fit_compressor(undisturbed, *LEARNING), "--ckpt_path", "last")

    assert again.code == 0
    assert "finished: step 8 was its last one" in again.err
    assert bytes_of(undisturbed / "adapters") == before


@pytest.mark.parametrize(
    "length",
    [("--trainer.max_steps", 3), ("--trainer.max_epochs", 1, "--checkpoint.every_n_train_steps", 3)],
    ids=["the last step is in the middle of an epoch", "it ends an epoch"],
)
def test_the_last_step_is_saved_also_where_no_checkpoint_is_due(
    length: tuple[object, ...], commands: Any, clara: Any, tmp_path: Path, bytes_of: Any
) -> None:
    run, options = tmp_path / "run", (*LEARNING, *length)
    assert clara(*commands.fit_compressor(run, *options)).code == 0
    before = bytes_of(run / "adapters")

    outcome = clara(*commands.fit_compressor(run, *options), "--ckpt_path", "last")

    assert "is finished" in outcome.err
    assert bytes_of(run / "adapters") == before


def test_a_run_killed_at_any_moment_keeps_every_step_once(
    commands: Any, clara: Any, start_clara: Any, kill_when: Any, undisturbed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fit = commands.fit_compressor(run, *LEARNING)
    kill_when(start_clara(*fit), (run / "checkpoints" / "last.ckpt").exists)

    assert clara(*fit, "--ckpt_path", "last").code == 0

    assert rows_of(run) == rows_of(undisturbed)


def test_resume_of_a_run_that_never_began_starts_it(commands: Any, clara: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"

    assert clara(*commands.fit_compressor(run, "--trainer.max_steps", 1), "--ckpt_path", "last").code == 0

    assert (run / "adapters" / "clara.yaml").is_file()


def test_a_folder_that_holds_a_run_is_refused_without_ckpt_path(
    commands: Any, clara: Any, compressor_run: Path, bytes_of: Any
) -> None:
    before = bytes_of(compressor_run)

    refused = clara(*commands.fit_compressor(compressor_run))

    assert "already holds a run" in refused.mistake and "--ckpt_path last" in refused.mistake
    assert bytes_of(compressor_run) == before


def test_a_checkpoint_of_another_stage_is_refused(
    commands: Any, clara: Any, compressor_run: Path, compressor: Path, bytes_of: Any, tmp_path: Path
) -> None:
    before, run = bytes_of(compressor_run), tmp_path / "run"
    checkpoint = compressor_run / "checkpoints" / "last.ckpt"

    refused = clara(*commands.fit_joint(run, compressor), "--ckpt_path", checkpoint)

    assert refused.mistake == (
        "--ckpt_path: the checkpoint is of SalientCompressor, this run trains JointRAGModule; "
        "to start from an earlier stage set model.init_args.init_from to its adapter folder"
    )
    assert bytes_of(compressor_run) == before
    assert not run.exists()


def test_a_last_checkpoint_that_a_kill_cut_short_is_passed_over(
    commands: Any, clara: Any, undisturbed: Path, compressor_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert clara(*commands.fit_compressor(run, *LEARNING, "--trainer.max_steps", 4)).code == 0
    last = run / "checkpoints" / "last.ckpt"
    os.truncate(last, last.stat().st_size // 2)

    resumed = clara(*commands.fit_compressor(run, *LEARNING), "--ckpt_path", "last")

    assert resumed.code == 0
    assert f"{last} is no checkpoint" in resumed.err
    assert [row["step"] for row in rows_of(run)] == [row["step"] for row in rows_of(undisturbed)]
