"""A signal that asks a run to stop: it finishes its step, saves, and goes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)

log = logging.getLogger(__name__)


class Preemption(Callback):
    """On SIGTERM or SIGUSR1 in ``clara fit``: end the optimizer step in work, write ``last.ckpt``, exit with 143.

    ``--ckpt_path last`` then goes on at the next step. One process that gets the signal is enough: after each step
    all of them compare. Lightning's own handlers are replaced while training runs: for SIGTERM it leaves without
    saving, and for SLURM's signal it saves in the middle of whatever runs.

    Args:
        requeue: put the SLURM job back into the queue (``scontrol requeue``); nothing happens outside of SLURM.
    """

    def __init__(self, *, requeue: bool = True) -> None:
        self.requeue = requeue
        self._received: int | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._last_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over."""
        self._last_step = trainer.global_step
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After an optimizer step: save and leave, if any process was asked to."""
        if trainer.global_step == self._last_step:
            return  # gradients of half a step cannot be saved
        self._last_step = trainer.global_step
        asked = self._received or 0
        if trainer.world_size > 1:
            received = torch.tensor(asked, device=trainer.strategy.root_device)
            asked = int(trainer.strategy.reduce(received, reduce_op="max"))
        if not asked:
            return
        folder = getattr(trainer.checkpoint_callback, "dirpath", None) or trainer.default_root_dir
        path = Path(folder) / "last.ckpt"
        trainer.save_checkpoint(path)
        if trainer.is_global_zero:
            name = signal.Signals(asked).name
            log.info("%s: saved step %d in %s; --ckpt_path last goes on", name, trainer.global_step, path)
            self._put_back()
        raise SystemExit(128 + signal.SIGTERM)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back."""
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received = number

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _put_back(self) -> None:
        job = os.environ.get("SLURM_JOB_ID")
        if not (self.requeue and job):
            return
        result = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
        if result.returncode:
            log.warning("scontrol requeue %s failed: %s", job, result.stderr.strip())
