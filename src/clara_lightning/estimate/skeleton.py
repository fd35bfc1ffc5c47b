"""The backbone with its adapters on the meta device: every parameter has a shape, none has a value."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from peft import PeftModel
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM, PreTrainedConfig

from clara_lightning.backbone.adapters import (
    COMPRESSOR,
    QUERY_REASONER,
    LoraSettings,
    adapter_parameters,
    add_adapters,
)
from clara_lightning.backbone.backbone import embedding_table
from clara_lightning.backbone.depth import check_depth
from clara_lightning.backbone.memory import MemoryConfig, MemoryHead
from clara_lightning.errors import ClaraError


@dataclass(frozen=True)
class SkeletonSettings:
    """What decides every shape.

    Attributes:
        architecture: the backbone's configuration.
        dtype: of the frozen weights.
        attention: attention implementation.
        lora: settings of every adapter.
        memory: kind and size of the memory.
        adapters: which adapters exist.
    """

    architecture: PreTrainedConfig
    dtype: torch.dtype
    attention: str
    lora: LoraSettings
    memory: MemoryConfig
    adapters: Sequence[str]

    @property
    def num_layers(self) -> int:
        """Decoder layers."""
        return int(self.architecture.get_text_config().num_hidden_layers)

    def with_layers(self, count: int, *, depth: int | None = None) -> SkeletonSettings:
        """The same with fewer decoder layers, and memory taken behind ``depth`` of them."""
        config = copy.deepcopy(self.architecture)
        text = config.get_text_config()
        text.num_hidden_layers = count
        if getattr(text, "layer_types", None):
            text.layer_types = text.layer_types[:count]
        memory = replace(self.memory, layer=depth)
        return SkeletonSettings(config, self.dtype, self.attention, self.lora, memory, self.adapters)


class Skeleton:
    """A causal LM with LoRA on the meta device, and the memory heads beside it, all without values."""

    def __init__(self, settings: SkeletonSettings) -> None:
        self.settings = settings
        try:
            with torch.device("meta"):
                model = AutoModelForCausalLM.from_config(
                    settings.architecture,
                    dtype=settings.dtype,
                    attn_implementation="eager" if settings.attention == "eager" else "sdpa",
                )
                check_depth(model, settings.memory.layer)
                self.lm: PeftModel = add_adapters(
                    model, names=settings.adapters, settings=settings.lora, depth=settings.memory.layer
                )
        except (ValueError, ImportError) as error:  # no causal LM, or target_modules that this backbone does not have
            raise ClaraError(f"model.init_args.backbone: {' '.join(str(error).split())[:300]}") from error
        self.model = model
        self.vocab_size, self.hidden_size = embedding_table(model).weight.shape
        self.mode = FakeTensorMode()
        with self.mode:
            self.heads = {
                name: MemoryHead(
                    settings.memory if name == COMPRESSOR else settings.memory.of_questions,
                    embedding_mean_D=torch.zeros(self.hidden_size),
                    embedding_std_D=torch.zeros(self.hidden_size),
                    vocab_size=self.vocab_size,
                )
                for name in (COMPRESSOR, QUERY_REASONER)
                if name in settings.adapters
            }

    def adapter_size(self, name: str) -> int:
        """Parameters of one adapter, its memory tokens and calibration not counted."""
        return sum(value.numel() for _, value in adapter_parameters(self.lm, name))

    def head_size(self, name: str) -> int:
        """Parameters of an adapter's memory tokens and calibration; 0 where it has none."""
        return sum(value.numel() for value in self.heads[name].parameters()) if name in self.heads else 0

    def head_buffer_bytes(self) -> int:
        """Bytes of the heads' token counts and calibration, which are not trained."""
        buffers = [value for head in self.heads.values() for value in head.buffers()]
        return sum(value.numel() * value.element_size() for value in buffers)

    def frozen_size(self) -> int:
        """Parameters of the backbone itself."""
        return sum(value.numel() for name, value in self.model.named_parameters() if "lora_" not in name)

    def layer_sizes(self) -> list[int]:
        """Backbone parameters of each decoder layer: what FSDP2 shards as one group."""
        names = set(self.model._no_split_modules or ())
        layers = [module for module in self.model.modules() if type(module).__name__ in names]
        return [_size(layer) for layer in layers]

    def become_fake(self) -> None:
        """Put fake CPU tensors in the place of the meta ones: operations then choose kernels as they do on a device."""
        with self.mode:
            for module in self.lm.modules():
                for name, value in module._parameters.items():
                    if value is not None:
                        empty = torch.empty(value.shape, dtype=value.dtype)
                        module._parameters[name] = nn.Parameter(empty, requires_grad=False)
                for name, buffer in module._buffers.items():
                    if buffer is not None:
                        module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)


def _size(module: nn.Module) -> int:
    return sum(value.numel() for name, value in module.named_parameters() if "lora_" not in name)
