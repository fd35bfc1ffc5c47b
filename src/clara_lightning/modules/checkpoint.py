"""Checkpoints that a run resumes from without a difference."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class StepCheckpoint(ModelCheckpoint):
    """``ModelCheckpoint`` that waits for a validation that is due at the checkpoint's step, and keeps the last step.

    Lightning writes the checkpoint first and takes the validation for done when it resumes there: a run that is killed
    in between would lose its figures. What is left of a checkpoint that waits is one that was due, and is written when
    the validation ends.

    A run's last step is saved whether or not it is a multiple of ``every_n_train_steps``: Lightning leaves it out, and
    a finished run would train its last steps again when it is resumed.
    """

    _waits = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """As Lightning, unless a validation comes first."""
        loop = trainer.fit_loop.epoch_loop
        self._waits = loop._should_check_val_fx(trainer.fit_loop._data_fetcher)  # type: ignore[arg-type]
        if not self._waits:
            self._save_due(trainer, pl_module, outputs, batch, batch_idx)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What was put off, and then as Lightning."""
        if self._waits:
            self._waits = False
            self._save_due(trainer, pl_module, None, None, 0)
        super().on_validation_end(trainer, pl_module)

    def _save_due(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self.save_last and is_last_step(trainer) and self._last_global_step_saved != trainer.global_step:
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))


def is_last_step(trainer: Trainer) -> bool:
    """Whether training ends with the step that was just done."""
    if 0 <= trainer.max_steps <= trainer.global_step:
        return True
    epochs = trainer.max_epochs
    last_epoch = epochs is not None and 0 <= epochs <= trainer.current_epoch + 1
    return last_epoch and trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
