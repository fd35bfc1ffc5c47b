"""``metrics.csv``: every logged step of a run, also across kills and resumes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

Row = dict[str, str]


class MetricsFile(Callback):
    """Keeps ``RUN/metrics.csv``: epoch, step and what was logged, one row a step; does nothing outside ``clara fit``.

    Lightning's ``CSVLogger`` deletes the file when a run is resumed, holds back up to 100 rows, and gets a step's row
    after the step's checkpoint is written, so a kill in between would leave a hole. Here a row is on disk before the
    checkpoint of its step, and a resumed run takes up the file at its own step.

    Args:
        name: name of the file inside the run folder.
    """

    def __init__(self, name: str = "metrics.csv") -> None:
        self.name = name
        self._rows: list[Row] = []
        self._columns: list[str] = []
        self._last_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the rows of the steps that are done, and no others."""
        path = self.path(trainer)
        self._last_step = trainer.global_step
        rows = read_rows(path) if self._last_step and path.is_file() else []
        self._rows = [row for row in rows if int(row["step"]) < self._last_step]
        self._columns = _columns(self._rows)
        if trainer.is_global_zero:
            self._write(path)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write what a step of training logged."""
        done = trainer.global_step != self._last_step  # a batch that only accumulates gradients is no step
        self._last_step = trainer.global_step
        if done and is_due(trainer, trainer.global_step):
            self._add(trainer, {name: float(value) for name, value in trainer.callback_metrics.items()}, "train/")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what a validation during training logged."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._add(trainer, validated(trainer), "val/")

    def _add(self, trainer: Trainer, logged: dict[str, float], prefix: str) -> None:
        # Reading the metrics may reduce them over processes: every process reads, the first writes.
        values = {name: repr(value) for name, value in sorted(logged.items()) if name.startswith(prefix)}
        if not values or not trainer.is_global_zero:
            return
        row = {"epoch": str(trainer.current_epoch), "step": str(trainer.global_step - 1), **values}
        self._rows.append(row)
        path = self.path(trainer)
        if not row.keys() <= set(self._columns):
            self._columns = _columns(self._rows)
            self._write(path)
            return
        with path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self._columns, lineterminator="\n").writerow(row)

    def _write(self, path: Path) -> None:
        """Write the whole file by rename: at the start, and for a new column."""
        path.parent.mkdir(parents=True, exist_ok=True)
        working = path.with_name(f".{path.name}.tmp")
        with working.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self._columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)
        working.replace(path)

    def path(self, trainer: Trainer) -> Path:
        """Where the file of a run is."""
        return Path(trainer.default_root_dir) / self.name


def is_due(trainer: Trainer, number: int) -> bool:
    """Whether the figures of an optimizer step are logged.

    Args:
        trainer: runs it.
        number: of the step in the run, from 1.
    """
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by a connector, unseen by mypy
    return bool(every) and number % every == 0


def validated(trainer: Trainer) -> dict[str, float]:
    """What the validation that has just ended logged; every process must call this.

    ``trainer.callback_metrics`` keeps what earlier validations logged too: a figure that not every validation measures
    would pass for one of this step.
    """
    results = trainer.fit_loop.epoch_loop.val_loop._results
    return {name: float(value) for name, value in results.metrics(on_step=False)["callback"].items()}


def _columns(rows: list[Row]) -> list[str]:
    names = sorted({name for row in rows for name in row} - {"epoch", "step"})
    return ["epoch", "step", *names]


def read_rows(path: Path) -> list[Row]:
    """Complete rows; a line that a kill cut short is left out."""
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1].splitlines()
    return [{name: value for name, value in row.items() if value} for row in csv.DictReader(whole)]
