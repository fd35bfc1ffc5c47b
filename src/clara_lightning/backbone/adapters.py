"""Named LoRA adapters on one causal LM, and the only place where the active one changes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from clara_lightning.backbone.depth import decoder_layers
from clara_lightning.backbone.lora import LoraLinear
from clara_lightning.errors import ClaraError

COMPRESSOR = "compressor"
GENERATOR = "generator"
QUERY_REASONER = "query_reasoner"
ALL_LINEAR = "all-linear"


@dataclass(frozen=True)
class LoraSettings:
    """LoRA of every adapter (paper, appendix: rank 16, alpha 32, dropout 0.1, all linear layers).

    Args:
        rank: rank of the update.
        alpha: the update is scaled by ``alpha / rank``.
        dropout: on the adapter's input, in training.
        target_modules: names of the layers to adapt, or ``all-linear`` (every linear layer below the LM head).
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.1
    target_modules: str | list[str] = ALL_LINEAR

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ClaraError(f"model.init_args.lora.rank must be >= 1, got {self.rank}")
        if not 0.0 <= self.dropout < 1.0:
            raise ClaraError(f"model.init_args.lora.dropout must be in [0, 1), got {self.dropout}")

    def to_peft(self, model: PreTrainedModel, *, depth: int | None = None) -> LoraConfig:
        """The same settings as PEFT's own configuration, with ``all-linear`` resolved for ``model``.

        ``depth`` leaves the adapter out of all but the first so many decoder layers.

        PEFT's own ``all-linear`` would also adapt linear layers inside the head, which compression never runs, and
        the fused experts of some mixtures, which take no dropout.
        """
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=self._targets(model, depth),
            task_type="CAUSAL_LM",
        )
        config._register_custom_module({nn.Linear: LoraLinear})
        return config

    def _targets(self, model: PreTrainedModel, depth: int | None) -> str | list[str]:
        if depth is None:
            return linear_layers(model) if self.target_modules == ALL_LINEAR else self.target_modules
        layers = decoder_layers(model)
        inside = {id(module) for layer in layers.all[:depth] for module in layer.modules()}
        wanted = None if self.target_modules == ALL_LINEAR else self.target_modules
        return [
            name
            for name in linear_layers(model)
            if id(model.get_submodule(name)) in inside and (wanted is None or name.rpartition(".")[2] in wanted)
        ]


def add_adapters(
    model: PreTrainedModel, *, names: Sequence[str], settings: LoraSettings, depth: int | None = None
) -> PeftModel:
    """Put one fresh LoRA adapter per name into ``model`` (in place) and freeze everything else.

    All but the generator, which reads with the whole backbone, are left out of the layers above ``depth``.

    The adapters' weights are float32 whatever the backbone's dtype is: a bfloat16 weight of size 0.02 cannot take an
    update below 1e-4.

    Raises:
        ClaraError: PEFT cannot adapt these layers, or there are none of these names.
    """
    first, *others = names
    configs = {name: settings.to_peft(model, depth=None if name == GENERATOR else depth) for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 reads a property that transformers 5 renamed
        try:
            peft_model = get_peft_model(model, configs[first], adapter_name=first)
        except ValueError as error:
            reason = " ".join(str(error).split())[:300]
            given = f"dropout {settings.dropout}, target_modules {settings.target_modules}"
            raise ClaraError(
                f"model.init_args.lora: {model.config.model_type} does not take {given}: {reason}"
            ) from error
        for name in others:
            peft_model.add_adapter(name, configs[name])
    set_trainable(peft_model, ())
    return peft_model


def linear_layers(model: PreTrainedModel) -> list[str]:
    """Full names of the linear layers of ``model``'s trunk, fused ones and GPT-2's ``Conv1D`` among them.

    Left out are the routers of Llama 4, linear layers that return more than one tensor.
    """
    trunk = set(model.base_model.modules())
    return [
        name
        for name, module in model.named_modules()
        if module in trunk
        and isinstance(module, (nn.Linear, Conv1D))
        and module is not model.get_output_embeddings()
        and not type(module).__name__.endswith("Router")
    ]


def adapted_names(model: nn.Module) -> list[str]:
    """What the layers that carry adapters are called within theirs (``q_proj``), each once, sorted."""
    layers = (name for name, module in model.named_modules() if isinstance(module, BaseTunerLayer))
    return sorted({name.rpartition(".")[2] for name in layers} - {"base_layer"})  # PEFT nests those of experts


def lora_layers(model: nn.Module) -> list[BaseTunerLayer]:
    """Every layer of ``model`` that carries adapters."""
    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]


def adapter_parameters(model: nn.Module, name: str) -> Iterator[tuple[str, nn.Parameter]]:
    """Name and value of each parameter of the adapter ``name``."""
    mark = f".{name}."
    return ((key, value) for key, value in model.named_parameters() if "lora_" in key and mark in key)


def set_trainable(model: nn.Module, names: Iterable[str]) -> None:
    """Let exactly the adapters in ``names`` take gradients; every other parameter of ``model`` is frozen."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name in names:
        for _, parameter in adapter_parameters(model, name):
            parameter.requires_grad_(True)


@torch.no_grad()
def copy_adapter(model: nn.Module, *, source: str, target: str) -> None:
    """Give the adapter ``target`` the weights of the adapter ``source``."""
    values = {key.replace(f".{source}.", f".{target}."): value for key, value in adapter_parameters(model, source)}
    for key, parameter in adapter_parameters(model, target):
        parameter.copy_(values[key])


@contextmanager
def use_adapter(layers: Sequence[BaseTunerLayer], name: str | None) -> Iterator[None]:
    """Run the block with the adapter ``name`` active (``None``: the bare backbone), and restore what was before.

    PEFT's own ``set_adapter`` also turns ``requires_grad`` off for every other adapter, so a step that uses two loses
    the gradient of one. Here only the two fields that the layers' ``forward`` reads are set (peft 0.21,
    ``BaseTunerLayer``), which neither touches a parameter nor depends on who is trained, and costs microseconds: it
    can be entered again for each layer that activation checkpointing recomputes.

    Args:
        layers: the result of :func:`lora_layers`.
        name: an adapter that exists in every layer, or ``None``.
    """
    before = [(layer._active_adapter, layer._disable_adapters) for layer in layers]
    try:
        for layer in layers:
            layer._disable_adapters = name is None
            if name is not None:
                layer._active_adapter = [name]
        yield
    finally:
        for layer, (active, disabled) in zip(layers, before, strict=True):
            layer._active_adapter = active
            layer._disable_adapters = disabled


def active_adapter(layers: Sequence[BaseTunerLayer]) -> str | None:
    """The adapter that a forward would use now, or ``None`` where adapters are off."""
    if not layers or layers[0]._disable_adapters:
        return None
    active = layers[0].active_adapters
    return active[0] if active else None
