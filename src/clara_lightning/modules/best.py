"""The best step of a run so far, by a figure that the configuration names."""

from __future__ import annotations

import json
import logging
import math
import shutil
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer

from clara_lightning.backbone.folder import IN_RUN, replace_folder, restore_folder
from clara_lightning.errors import ClaraError
from clara_lightning.modules.base import ClaraModule
from clara_lightning.modules.metrics_file import validated
from clara_lightning.modules.overview import validates

FOLDER = "best"
WORKING = f".{FOLDER}-new"
FIGURE = "figure.json"
CHECKPOINT = "best.ckpt"

MID_STEP_KEY = "clara_mid_step"

log = logging.getLogger(__name__)


class BestCheckpoint(Callback):
    """Keeps the step whose validation had the best figure; does nothing outside ``clara fit``.

    It is kept as ``checkpoints/best.ckpt`` and as the folder ``RUN/best`` with its adapters, for ``init_from``, and the
    figure. A later step must be better, not as good; nan is never better; a validation that does not measure the figure
    changes nothing. Every checkpoint knows the best so far, so a resumed run does too.

    Args:
        monitor: a figure of the validation, such as ``val/information_retained``; without one nothing is kept.
        mode: whether the highest figure is the best, or the lowest; required with ``monitor``.
    """

    def __init__(self, monitor: str | None = None, mode: Literal["max", "min"] | None = None) -> None:
        if monitor is not None and mode is None:
            raise ClaraError(f"best.mode is required with best.monitor {monitor}: max or min")
        self.monitor = monitor
        self.mode = mode
        self._best: float | None = None
        self._before: str | None = None  # another figure, of the run that is resumed

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tidy up what a kill left of a folder that was being replaced."""
        if self.monitor is None or not trainer.is_global_zero:
            return
        run = Path(trainer.default_root_dir)
        shutil.rmtree(run / WORKING, ignore_errors=True)
        restore_folder(run / FOLDER)
        if self._before is not None:
            log.warning("the best step by %s so far is forgotten: best.monitor is %s now", self._before, self.monitor)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the step if the figure of its validation is the best."""
        if self.monitor is None or trainer.state.fn != "fit" or not isinstance(pl_module, ClaraModule):
            return
        figures = validated(trainer)
        known = sorted({*figures, *pl_module.late_figures})
        if self.monitor not in known:
            raise ClaraError(f"best.monitor: validation measures no {self.monitor!r}, but {', '.join(known)}")
        if trainer.sanity_checking or self.monitor not in figures:
            return
        value = float(trainer.strategy.broadcast(figures[self.monitor]))
        if self._is_better(value):
            self._best = value
            self._keep(trainer, pl_module, value)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Mark a checkpoint of a validation that fell between two batches of one optimizer step."""
        if trainer.fit_loop.epoch_loop._should_accumulate():
            checkpoint[MID_STEP_KEY] = True

    def state_dict(self) -> dict[str, Any]:
        """The best so far; nothing before there is one."""
        return {} if self._best is None else {"monitor": self.monitor, "mode": self.mode, "value": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The best so far, if it is of the same figure."""
        if (state_dict["monitor"], state_dict["mode"]) == (self.monitor, self.mode):
            self._best = state_dict["value"]
        else:
            self._before = f"the {state_dict['mode']} of {state_dict['monitor']}"

    def in_effect(self) -> dict[str, str]:
        """What a run shows of it at its start."""
        if self.monitor is None:
            return {}
        return {"best": f"the step with the {'highest' if self.mode == 'max' else 'lowest'} {self.monitor} is kept"}

    def without_effect(self, trainer: Trainer) -> list[str]:
        """One line for each setting that changes nothing."""
        if self.monitor is None:
            return [f"best.mode {self.mode}: best.monitor is not given"] if self.mode else []
        return [] if validates(trainer) else ["best.monitor: there is no data.init_args.val to measure on"]

    def _is_better(self, value: float) -> bool:
        if math.isnan(value) or self._best is None:
            return not math.isnan(value)
        return value > self._best if self.mode == "max" else value < self._best

    def _keep(self, trainer: Trainer, module: ClaraModule, value: float) -> None:
        """Write adapters with their figure, all at once, and then the checkpoint.

        A run that is killed in between goes on from an earlier checkpoint, and comes by here again.
        """
        run, step = Path(trainer.default_root_dir), trainer.global_step
        working = run / WORKING
        if trainer.is_global_zero:
            shutil.rmtree(working, ignore_errors=True)
        module.save_adapters(working / IN_RUN, write=trainer.is_global_zero)
        if trainer.is_global_zero:
            figure = {"monitor": self.monitor, "mode": self.mode, "value": value, "step": step}
            (working / FIGURE).write_text(json.dumps(figure, indent=2) + "\n", encoding="utf-8")
            replace_folder(working, run / FOLDER)
            log.info("best so far: %s %.4f after %d steps, in %s", self.monitor, value, step, run / FOLDER)
        folder = getattr(trainer.checkpoint_callback, "dirpath", None) or run / "checkpoints"
        trainer.save_checkpoint(Path(folder) / CHECKPOINT, weights_only=False)
