"""The limit: floating-point operations that a path cannot do without, for real tokens alone.

A matrix product of a layer with n inputs and m outputs takes 2nm operations a token. Counted are

- every linear layer of the trunk: forward, and where something is trained the gradient of its input; frozen weights
  get none;
- LoRA: forward, the gradient of its input, and of its weights;
- causal attention: each token with itself and those before it, forward, and twice that backward;
- the LM head at the positions whose next token counts, forward and, where something is trained, the gradient of its
  input.

Norms, activations, softmax, the optimizer and everything else that is no matrix product count nothing, and neither does
padding. Divided by the rate of a large matrix product this is a time that no program goes below.

The layers are those of the model itself. A mixture of experts would be counted as if each token went through all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from clara_lightning.backbone.adapters import linear_layers


class Pass(NamedTuple):
    """Texts that go through the trunk.

    Attributes:
        lengths: real tokens of each text, memory tokens among them.
        known: first tokens of each text that were read before, and only have to be attended to.
        head: positions at which the LM head runs, over all texts.
        trained: whether a gradient goes back.
    """

    lengths: Sequence[int]
    known: int = 0
    head: int = 0
    trained: bool = False

    @property
    def tokens(self) -> int:
        """Tokens that have to be read."""
        return sum(self.lengths) - self.known * len(self.lengths)

    @property
    def pairs(self) -> int:
        """Pairs of such a token with itself or one before it."""
        return sum(_pairs(length) - _pairs(self.known) for length in self.lengths)


@dataclass(frozen=True)
class Layers:
    """Operations of a model's parts, each for one token.

    Attributes:
        linear: forward, of all linear layers of the trunk.
        lora: forward, of one adapter's layers.
        head: forward, of the LM head.
        attention: forward, of all layers' attention between one token and one other (scores and mixture).
    """

    linear: int
    lora: int
    head: int
    attention: int

    @classmethod
    def of(cls, model: PreTrainedModel, *, rank: int) -> Layers:
        """Walk through a model without adapters.

        Args:
            model: the causal LM; only shapes are looked at, so it may have no values (device ``meta``).
            rank: of the adapters, which every linear layer of the trunk carries.
        """
        shapes = [model.get_parameter(f"{name}.weight").shape for name in linear_layers(model)]
        head = cast(nn.Linear, model.get_output_embeddings()).weight.shape
        config = model.config.get_text_config()
        heads = config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        return cls(
            linear=sum(2 * one * other for one, other in shapes),
            lora=sum(2 * rank * (one + other) for one, other in shapes),
            head=2 * head[0] * head[1],
            attention=config.num_hidden_layers * heads * 2 * 2 * width,
        )

    @classmethod
    def of_config(cls, config: PreTrainedConfig, *, rank: int) -> Layers:
        """Of the model that a configuration describes; it is built without values."""
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        return cls.of(model, rank=rank)

    def flops(self, passes: Sequence[Pass]) -> int:
        """Operations of some passes in all."""
        return sum(self._flops(part) for part in passes)

    def _flops(self, part: Pass) -> int:
        linear, lora = part.tokens * self.linear, part.tokens * self.lora
        attention, head = part.pairs * self.attention, part.head * self.head
        if not part.trained:
            return linear + lora + attention + head
        return 2 * linear + 3 * lora + 3 * attention + 2 * head


def _pairs(length: int) -> int:
    return length * (length + 1) // 2
