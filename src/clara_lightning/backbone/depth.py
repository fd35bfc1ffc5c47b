"""A causal LM as deep as it has to be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from torch import nn
from transformers import PreTrainedModel

from clara_lightning.errors import ClaraError


class DecoderLayers(NamedTuple):
    """Where the decoder layers of a model are.

    Attributes:
        owner: the module that runs them.
        name: what it calls them.
        all: the layers, from the lowest.
    """

    owner: nn.Module
    name: str
    all: nn.ModuleList


def decoder_layers(model: PreTrainedModel) -> DecoderLayers:
    """The decoder layers of a causal LM.

    Raises:
        ClaraError: its family keeps them otherwise than in one list.
    """
    count = model.config.get_text_config().num_hidden_layers
    for owner in model.base_model.modules():
        for name, child in owner.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == count:
                return DecoderLayers(owner, name, child)
    raise ClaraError(f"model.init_args.memory_layer: {model.config.model_type} has no one list of layers: leave it out")


def check_depth(model: PreTrainedModel, depth: int | None) -> None:
    """Refuse more layers than there are.

    Raises:
        ClaraError: there are fewer, or they cannot be found.
    """
    if depth is not None and depth > (count := len(decoder_layers(model).all)):
        raise ClaraError(f"model.init_args.memory_layer must be <= {count}, the backbone's layers, got {depth}")


@contextmanager
def only_first(model: PreTrainedModel, depth: int | None) -> Iterator[None]:
    """Scope in which a forward of ``model`` runs its first ``depth`` layers, and what follows on the last of them."""
    if depth is None:
        yield
        return
    owner, name, layers = decoder_layers(model)
    setattr(owner, name, layers[:depth])
    try:
        yield
    finally:
        setattr(owner, name, layers)
