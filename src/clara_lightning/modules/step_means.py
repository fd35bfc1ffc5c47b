"""Means over a whole optimizer step, however it is spread over batches and processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from clara_lightning.data.loading import Batch

if TYPE_CHECKING:
    from clara_lightning.modules.base import ClaraModule


class StepMeans:
    """Turns the sums of a batch into its part of the means over its step.

    The gradients of these parts, averaged over the batches of a step and over processes (as Lightning and DDP do), are
    those of one mean over all of the step's targets: however they are spread, each target weighs the same.

    Args:
        module: says what the terms of its loss are means over (``targets``); its trainer, how a step is spread.
    """

    def __init__(self, module: ClaraModule) -> None:
        self.module = module
        self._sums = torch.zeros(0)
        self._counts = torch.zeros(0)

    def add(self, sums: Sequence[Tensor], batch: Sequence[Any], batch_idx: int) -> list[Tensor]:
        """The batch's parts of the means, to be differentiated.

        Args:
            sums: the loss's terms, each summed over its targets, in the order of ``targets``.
            batch: the batch; of a :class:`~clara_lightning.data.loading.Batch` the whole step is known, any other
                counts as if all batches of the step had as many targets.
            batch_idx: its number in the epoch.
        """
        trainer, targets = self.module.trainer, self.module.targets
        parts: int = trainer.accumulate_grad_batches
        first = batch_idx % parts == 0
        if first:
            self._sums = torch.zeros(len(sums), device=self.module.device)
        if first or not isinstance(batch, Batch):
            own = targets(batch.step) if isinstance(batch, Batch) else [count * parts for count in targets(batch)]
            counts = move_data_to_device(torch.tensor(own), self.module.device)  # does not wait for the device
            self._counts = trainer.strategy.reduce(counts, reduce_op="sum")
        self._sums += torch.stack([total.detach().float() for total in sums])
        shares = self._counts / (parts * trainer.world_size)
        return [total / share for total, share in zip(sums, shares, strict=True)]

    def whole(self, batch_idx: int) -> Tensor | None:
        """The means over a step that is logged and all processes, on the CPU, after its last batch; else ``None``."""
        trainer = self.module.trainer
        ends = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        if not ends or not self.module.is_logged:
            return None
        sums: Tensor = trainer.strategy.reduce(self._sums.clone(), reduce_op="sum")
        return (sums / self._counts).cpu()
