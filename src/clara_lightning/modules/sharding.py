"""FSDP2: each process holds a part of every layer's weights, and gathers a layer when it is its turn."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy, Strategy
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import full
from clara_lightning.errors import ClaraError


class ShardedStrategy(ModelParallelStrategy):
    """Lightning's ``ModelParallelStrategy`` for training adapters on a frozen backbone that is cut into shards.

    - All processes share the data; there is no tensor parallelism.
    - A checkpoint is one file with the full tensors of what is trained, as every other strategy writes it: it is
      resumed with any number of processes. (Lightning's own would gather the whole backbone, and its sharded form
      cannot load a subset.)

    Args:
        process_group_backend: ``nccl`` or ``gloo``; by default what fits the device.
        timeout_minutes: after which a process that waits for the others gives up.
    """

    def __init__(self, process_group_backend: str | None = None, timeout_minutes: float = 30.0) -> None:
        super().__init__(
            tensor_parallel_size=1,
            save_distributed_checkpoint=False,
            process_group_backend=process_group_backend,
            timeout=timedelta(minutes=timeout_minutes),
        )

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Lightning hands the optimizer's state to :meth:`load_optimizer_state_dict`."""
        return True

    def setup_environment(self) -> None:
        """Data parallel over all processes."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Full tensors of what the module keeps in a checkpoint; every process takes part."""
        module: Any = self.lightning_module
        state = module.state_dict()
        return {name: full(state[name]).cpu() for name in module.own_state()}

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The optimizer's state in full tensors; every process takes part."""
        plain: Optimizer = getattr(optimizer, "optimizer", optimizer)
        state = plain.state_dict()
        moments = {
            number: {key: full(value) for key, value in entry.items()} for number, entry in state["state"].items()
        }
        return state | {"state": moments}

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any | None = None
    ) -> None:
        """The first process writes the file."""
        Strategy.save_checkpoint(self, checkpoint, filepath, storage_options)

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """Every process reads the file."""
        return Strategy.load_checkpoint(self, checkpoint_path, weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Each process takes its part of every tensor."""
        assert self.lightning_module is not None
        own = dict(self.lightning_module.named_parameters()) | dict(self.lightning_module.named_buffers())
        with torch.no_grad():
            for name, value in checkpoint["state_dict"].items():
                own[name].copy_(_like(value, own[name]))

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Each process takes its part of every moment."""
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            moments = {
                number: {key: _like(value, parameters[number]) for key, value in entry.items()}
                for number, entry in saved["state"].items()
            }
            optimizer.load_state_dict(saved | {"state": moments})


def shard(backbone: ClaraBackbone, mesh: DeviceMesh) -> None:
    """Cut the backbone into shards over ``mesh``: each layer on its own, everything else together.

    Raises:
        ClaraError: the backbone does not say which of its modules is a layer.
    """
    names = set(backbone.causal_lm._no_split_modules or ())
    layers = [module for module in backbone.causal_lm.modules() if type(module).__name__ in names]
    if not layers:
        raise ClaraError("trainer.strategy: this backbone does not name its layers, so it cannot be cut into shards")
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(backbone, mesh=mesh)
    for entrance in ("read", "memory_logits", "calibrate", "answer_loss", "generate"):
        register_fsdp_forward_method(backbone, entrance)


def own_part(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _like(value: Any, parameter: Tensor) -> Any:
    """This process's part of a full tensor, where ``parameter`` is in parts and of the same shape."""
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
