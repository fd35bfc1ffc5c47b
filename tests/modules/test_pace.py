"""How fast a training runs and how long it waits for data; what is measured here are clocks that the tests turn."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from clara_lightning.data.loading import BatchLoader
from clara_lightning.errors import ClaraError
from clara_lightning.modules.pace import Pace


class Run:
    """A training whose time is made: each batch takes ``wait`` seconds to come and ``work`` seconds to be worked on."""

    def __init__(self, pace: Pace, monkeypatch: pytest.MonkeyPatch, *, every: int = 2, accumulate: int = 1) -> None:
        self.pace = pace
        self.now = 1000.0
        self.accumulate = accumulate
        self.batches = 0
        self.loader = BatchLoader(range(8), lambda row, draw: row, batch_size=1)
        self.logged: list[tuple[int, dict[str, float]]] = []
        logger = SimpleNamespace(log_metrics=lambda figures, step: self.logged.append((step, figures)))
        self.trainer: Any = SimpleNamespace(
            global_step=0,
            log_every_n_steps=every,
            loggers=[logger],
            train_dataloader=self.loader,
            is_global_zero=True,
        )
        monkeypatch.setattr("clara_lightning.modules.pace.perf_counter", lambda: self.now)
        pace.on_train_start(self.trainer, None)

    def go_on(self, batches: int, *, wait: float, work: float) -> None:
        for _ in range(batches):
            self.loader.seconds_waited = wait
            self.now += wait
            self.pace.on_train_batch_start(self.trainer, None, None, 0)
            self.now += work
            self.batches += 1
            self.trainer.global_step = self.batches // self.accumulate
            self.pace.on_train_batch_end(self.trainer, None, None, None, 0)

    def validate(self, seconds: float) -> None:
        self.pace.on_validation_start(self.trainer, None)
        self.now += seconds
        self.pace.on_validation_end(self.trainer, None)


def test_seconds_of_a_step_and_share_of_the_wait_are_those_since_the_last_log(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(Pace(), monkeypatch)

    run.go_on(2, wait=1.0, work=3.0)
    run.go_on(2, wait=0.0, work=5.0)

    assert run.logged == [
        (1, {"train/step_seconds": 4.0, "train/data_wait": 0.25}),
        (3, {"train/step_seconds": 5.0, "train/data_wait": 0.0}),
    ]


def test_a_step_of_accumulated_batches_is_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(Pace(), monkeypatch, every=1, accumulate=2)
    run.go_on(4, wait=1.0, work=1.0)
    assert run.logged == [(step, {"train/step_seconds": 4.0, "train/data_wait": 0.5}) for step in (0, 1)]


def test_validations_are_no_part_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(Pace(), monkeypatch)
    run.go_on(1, wait=1.0, work=3.0)
    run.validate(1e6)
    run.go_on(1, wait=1.0, work=3.0)
    assert run.logged == [(1, {"train/step_seconds": 4.0, "train/data_wait": 0.25})]


def test_a_loader_that_does_not_know_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(Pace(), monkeypatch)
    run.trainer.train_dataloader = [1, 2, 3]
    run.go_on(2, wait=1.0, work=3.0)
    assert run.logged == [(1, {"train/step_seconds": 4.0})]


def test_a_long_wait_is_warned_of_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    run = Run(Pace(max_wait=0.3), monkeypatch)

    run.go_on(49, wait=1.0, work=1.0)
    assert not caplog.records
    run.go_on(200, wait=1.0, work=1.0)

    assert caplog.messages == [
        "50% of the time of 50 steps was spent waiting for batches: raise data.init_args.num_workers, so that more of "
        "them are made while steps run"
    ]


@pytest.mark.parametrize(("max_wait", "wait"), [(0.25, 0.25), (1.0, 10.0)])
def test_a_wait_that_is_allowed_is_not_warned_of(
    max_wait: float, wait: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Run(Pace(max_wait=max_wait), monkeypatch).go_on(100, wait=wait, work=0.75)
    assert not caplog.records


def test_the_end_says_how_it_went(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run = Run(Pace(), monkeypatch)
    run.go_on(8, wait=0.1, work=1.9)
    run.validate(100.0)

    run.pace.on_train_end(run.trainer, None)  # type: ignore[arg-type]

    assert caplog.messages == [
        "8 steps of 2 seconds each, validations apart; 5% of the time was spent waiting for batches"
    ]


def test_a_share_that_cannot_be_is_refused() -> None:
    with pytest.raises(ClaraError, match=r"pace\.max_wait must be between 0 and 1, got 1\.5"):
        Pace(max_wait=1.5)


def test_a_run_logs_its_pace_for_tensorboard_and_not_in_its_table(compressor_run: Path) -> None:
    events = EventAccumulator(str(compressor_run)).Reload()

    waits, seconds = events.Scalars("train/data_wait"), events.Scalars("train/step_seconds")

    assert [wait.step for wait in waits] == [each.step for each in seconds] == list(range(8))
    assert all(0 <= wait.value <= 1 for wait in waits) and all(each.value > 0 for each in seconds)
    assert "train/loss" in (header := (compressor_run / "metrics.csv").read_text(encoding="utf-8").splitlines()[0])
    assert "data_wait" not in header and "seconds" not in header


def test_the_seconds_of_a_resumed_run_go_on_from_its_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Run(Pace(), monkeypatch)
    first.go_on(2, wait=1.0, work=3.0)
    first.pace.on_validation_start(first.trainer, None)
    first.now += 1e6
    state = first.pace.state_dict()  # of a checkpoint that is written during a validation
    first.pace.on_validation_end(first.trainer, None)
    first.go_on(1, wait=1.0, work=3.0)  # thrown away by a kill
    resumed = Pace()
    resumed.load_state_dict(state)
    assert state == {"seconds": 8.0} == resumed.state_dict()
    second = Run(resumed, monkeypatch)
    second.go_on(1, wait=1.0, work=3.0)
    assert resumed.seconds == 12.0
    resumed.on_train_end(second.trainer, None)  # type: ignore[arg-type]
    second.now += 1e6
    assert resumed.seconds == 12.0


def test_a_clock_that_never_ran_shows_nothing() -> None:
    assert Pace().seconds == 0.0
