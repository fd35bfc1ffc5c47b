"""Combinations that would train something else than what was asked for."""

from __future__ import annotations

from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy, Strategy

from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.backbone.quantization import is_quantized
from clara_lightning.errors import ClaraError
from clara_lightning.modules.sharding import ShardedStrategy


def refuse_sharding(strategy: Strategy, config: BackboneConfig) -> None:
    """Refuse Lightning's own sharding strategies, for which no stage cuts its model, and packed weights in shards."""
    if isinstance(strategy, ShardedStrategy):
        refuse_packed_shards(config.quantization, packed=is_quantized(config.quantization))
    if isinstance(strategy, (FSDPStrategy, ModelParallelStrategy)) and not isinstance(strategy, ShardedStrategy):
        raise ClaraError(
            f"trainer.strategy: {type(strategy).__name__} is not supported: it saves the frozen backbone with every "
            "checkpoint; clara_lightning.ShardedStrategy (configs/hardware/fsdp.yaml) shards and does not"
        )


def refuse_packed_shards(quantization: str, *, packed: bool) -> None:
    """Refuse 8 and 4 bit weights in shards, asked for or such as a checkpoint comes with."""
    if packed:
        raise ClaraError(
            f"model.init_args.backbone.quantization {quantization}: packed weights come out wrong of shards; "
            "use trainer.strategy ddp, or weights that are not packed"
        )


def refuse_low_precision(precision: str) -> None:
    """Adapters must stay float32: in bfloat16 a weight of 0.02 cannot take an update below 1e-4."""
    if precision.endswith("-true") and not precision.startswith(("32", "64")):
        raise ClaraError(
            f"trainer.precision {precision} would round the adapters; leave it at 32-true "
            "and set model.init_args.backbone.dtype, which rounds the frozen weights only"
        )
