"""The hand-over: adapters on disk whenever a checkpoint is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from clara_lightning.backbone.folder import IN_RUN
from clara_lightning.modules.base import ClaraModule


class AdapterExporter(Callback):
    """Keeps ``RUN/adapters`` at the state of the newest checkpoint; does nothing outside ``clara fit``.

    Args:
        folder: name of the adapter folder inside the run folder.
    """

    def __init__(self, folder: str = IN_RUN) -> None:
        self.folder = folder

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write the adapters beside the checkpoint."""
        self._export(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the adapters of the last step."""
        self._export(trainer, pl_module)

    def _export(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if isinstance(pl_module, ClaraModule):
            pl_module.save_adapters(Path(trainer.default_root_dir) / self.folder, write=trainer.is_global_zero)
