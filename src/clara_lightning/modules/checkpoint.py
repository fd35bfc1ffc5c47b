"""Checkpoints that a run resumes from without a difference."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class StepCheckpoint(ModelCheckpoint):
    """``ModelCheckpoint`` that waits for a validation that is due at the checkpoint's step.

    Lightning writes the checkpoint first and takes the validation for done when it resumes there: a run that is killed
    in between would lose its figures. What is left of a checkpoint that waits is one that was due, and is written when
    the validation ends.
    """

    _waits = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """As Lightning, unless a validation comes first."""
        loop = trainer.fit_loop.epoch_loop
        self._waits = loop._should_check_val_fx(trainer.fit_loop._data_fetcher)  # type: ignore[arg-type]
        if not self._waits:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What was put off, and then as Lightning."""
        if self._waits:
            self._waits = False
            super().on_train_batch_end(trainer, pl_module, None, None, 0)
        super().on_validation_end(trainer, pl_module)
