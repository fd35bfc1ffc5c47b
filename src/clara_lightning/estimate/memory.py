"""Bytes on each device, by what holds them."""

from __future__ import annotations

from dataclasses import dataclass

from clara_lightning.estimate.devices import CUDA_CONTEXT_BYTES, NCCL_BYTES, Devices, resident_bytes
from clara_lightning.estimate.plan import Plan
from clara_lightning.estimate.skeleton import Skeleton

FLOAT32 = 4  # bytes of everything that is trained, and of what belongs to it
GATHERED_LAYERS = 2  # FSDP2 gathers the next layer while one is at work


@dataclass(frozen=True)
class Parameters:
    """Numbers of parameters.

    Attributes:
        frozen: of the backbone and of the adapters that do not train, with their memory tokens.
        trained: of the adapters that do, with their memory tokens and calibration.
        backbone: of the backbone alone.
        adapters: of each adapter.
        memory_tokens: of each adapter's memory tokens and calibration.
    """

    frozen: int
    trained: int
    backbone: int
    adapters: dict[str, int]
    memory_tokens: dict[str, int]


@dataclass(frozen=True)
class Memory:
    """Bytes on one device at the fullest moment of a step.

    Attributes:
        weights_bytes: the frozen backbone, or this device's shard of it.
        gathered_bytes: of other devices' shards, what is here at once; 0 where nothing is sharded.
        adapters_bytes: adapters, memory tokens and token counts, trained or not.
        gradients_bytes: gradients, and DDP's buckets for them.
        optimizer_bytes: the optimizer's state.
        activations_bytes: activations and temporary tensors, as configured.
        activations_with_checkpointing_bytes: with ``backbone.gradient_checkpointing``.
        activations_without_checkpointing_bytes: without.
        overhead_bytes: the framework's own: CUDA context, or Python and its libraries.
        total_bytes: all of it.
        available_bytes: memory of one device.
    """

    weights_bytes: int
    gathered_bytes: int
    adapters_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    activations_bytes: int
    activations_with_checkpointing_bytes: int
    activations_without_checkpointing_bytes: int
    overhead_bytes: int
    total_bytes: int
    available_bytes: int

    @property
    def margin_bytes(self) -> int:
        """What is left; negative where it does not fit."""
        return self.available_bytes - self.total_bytes

    @property
    def fits(self) -> bool:
        """Whether a device holds it."""
        return self.margin_bytes >= 0


def count_parameters(plan: Plan, skeleton: Skeleton) -> Parameters:
    """Count what trains and what does not."""
    adapters = {name: skeleton.adapter_size(name) for name in plan.adapters}
    heads = {name: skeleton.head_size(name) for name in plan.adapters if name in skeleton.heads}
    trained = sum(adapters[name] + heads.get(name, 0) for name in plan.trained)
    backbone = skeleton.frozen_size()
    frozen = backbone + sum(adapters.values()) + sum(heads.values()) - trained
    return Parameters(frozen, trained, backbone, adapters, heads)


def memory_of(
    plan: Plan, skeleton: Skeleton, devices: Devices, *, with_checkpointing: int, without_checkpointing: int
) -> Memory:
    """Add up one device's memory.

    Args:
        plan: the run.
        skeleton: its backbone.
        devices: where it runs.
        with_checkpointing: peak of the activations in bytes.
        without_checkpointing: likewise.
    """
    numbers = count_parameters(plan, skeleton)
    parts = devices.count if plan.strategy == "sharded" else 1
    itemsize = skeleton.settings.dtype.itemsize
    added = sum(numbers.adapters.values()) + sum(numbers.memory_tokens.values())
    gradients = numbers.trained * FLOAT32 // parts
    replicated = plan.strategy == "replicated" and devices.count > 1
    # torch's foreach optimizers, the default on CUDA, hold one temporary number for each trained one.
    temporary = numbers.trained * FLOAT32 // parts if devices.kind == "cuda" else 0
    kept = {True: max(with_checkpointing, temporary), False: max(without_checkpointing, temporary)}
    fixed = {
        "weights_bytes": numbers.backbone * itemsize // parts,
        "gathered_bytes": _gathered(skeleton, numbers) if parts > 1 else 0,
        "adapters_bytes": added * FLOAT32 // parts + skeleton.head_buffer_bytes(),
        "gradients_bytes": gradients * (2 if replicated else 1),
        "optimizer_bytes": numbers.trained * FLOAT32 * plan.moments // parts,
        "activations_bytes": kept[plan.backbone.gradient_checkpointing],
        "overhead_bytes": _overhead(devices),
    }
    return Memory(
        **fixed,
        activations_with_checkpointing_bytes=kept[True],
        activations_without_checkpointing_bytes=kept[False],
        total_bytes=sum(fixed.values()),
        available_bytes=devices.memory_bytes // (devices.count if devices.kind == "cpu" else 1),
    )


def _gathered(skeleton: Skeleton, numbers: Parameters) -> int:
    """The root group (embeddings, head, norm, memory tokens), which stays, and the layers that are there at once."""
    layers = skeleton.layer_sizes() or [numbers.backbone]
    itemsize = skeleton.settings.dtype.itemsize
    root = (numbers.backbone - sum(layers)) * itemsize + sum(numbers.memory_tokens.values()) * FLOAT32
    adapters = sum(numbers.adapters.values()) * FLOAT32 // len(layers)
    return root + GATHERED_LAYERS * (max(layers) * itemsize + adapters)


def _overhead(devices: Devices) -> int:
    if devices.kind == "cpu":
        return resident_bytes()
    return CUDA_CONTEXT_BYTES + (NCCL_BYTES if devices.count > 1 else 0)
