"""Which architectures can be a backbone: decided from the configuration, before any weight is read."""

from __future__ import annotations

import inspect
from typing import Any, NoReturn

import torch
from torch import nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
)

from clara_lightning.errors import ClaraError

NAME = "model.init_args.backbone.name"
# Recurrent families that pass the contract of tests/backbone/test_contract.py. The others of transformers were seen
# to read padding as text, or to take neither adapters nor memory.
RECURRENT = ("granitemoehybrid", "qwen3_5_text", "recurrent_gemma")
FAULTY = {
    "minimax": "answers depend on the padding of their batch",
    "xlnet": "it predicts tokens in another order than it reads them",
}


def check_config(config: PreTrainedConfig, *, name: str, attention: str, checkpointing: bool) -> None:
    """Refuse what transformers can load but what cannot compress, reason and answer here.

    Args:
        config: the model's own configuration.
        name: what the user called it.
        attention: the attention implementation asked for.
        checkpointing: whether activation checkpointing is asked for.

    Raises:
        ClaraError: one line that says why, and names the setting.
    """
    kind = config.model_type
    if config.is_encoder_decoder:
        _refuse(name, f"{kind} is an encoder with a decoder; a decoder-only causal LM is needed")
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        if "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {}):
            return  # code of the repository's own, which trust_remote_code decides about
        _refuse_wrapper(config, name)
        _refuse(name, f"transformers has no causal LM for {kind}")
    model_class: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    if model_class.config_class is type(config):
        _refuse_wrapper(config, name)
    text = config.get_text_config()
    _check_reading(text, name)
    _check_class(model_class, text.model_type, name=name, attention=attention, checkpointing=checkpointing)


def _refuse(name: str, reason: str) -> NoReturn:
    raise ClaraError(f"{NAME}: {name!r} cannot be a backbone: {reason}")


def _refuse_wrapper(config: PreTrainedConfig, name: str) -> None:
    """A model of images or sound around a text model: adapters would go into every part of it."""
    text = config.get_text_config()
    if text is not config:
        _refuse(name, f"{config.model_type} wraps a text model of type {text.model_type}; name a text-only model")
    if any(word in part for part in config.sub_configs for word in ("vision", "audio", "vq")):
        _refuse(name, f"{config.model_type} takes more than text; name a text-only model")


def _check_reading(config: PreTrainedConfig, name: str) -> None:
    """Each position must see those before it alone, and come from an embedding alone."""
    kind = config.model_type
    bidirectional = getattr(config, "use_bidirectional_attention", False) or not getattr(config, "is_causal", True)
    masked = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
    if masked or bidirectional:
        _refuse(name, f"{kind} reads in both directions (an encoder); a decoder-only causal LM is needed")
    if getattr(config, "hidden_size_per_layer_input", 0):
        _refuse(name, f"{kind} looks token ids up in every layer, and memory has none")
    if kind in FAULTY:
        _refuse(name, f"{kind}: {FAULTY[kind]}")


def _check_class(model_class: Any, kind: str, *, name: str, attention: str, checkpointing: bool) -> None:
    """What the family's class says about itself."""
    if model_class._is_stateful and kind not in RECURRENT:
        _refuse(name, f"{kind} is recurrent; of those only {', '.join(RECURRENT)} keep padding out of memory here")
    if "inputs_embeds" not in inspect.signature(model_class.prepare_inputs_for_generation).parameters:
        _refuse(name, f"{kind} cannot generate from embeddings, and memory is embeddings")
    if attention == "sdpa" and not model_class._supports_sdpa:
        raise ClaraError(f"model.init_args.backbone.attention: {kind} has no sdpa; set it to eager")
    if checkpointing and not model_class.supports_gradient_checkpointing:
        raise ClaraError(f"model.init_args.backbone.gradient_checkpointing: {kind} does not support it")


def check_parts(config: PreTrainedConfig, *, name: str, trust_remote_code: bool) -> None:
    """Build the model without weights, and look at its parts.

    Raises:
        ClaraError: it has no trunk below a head, or embeddings of another width than its last hidden states.
    """
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    head_weight = getattr(head, "weight", None)
    if head_weight is None or model.base_model is model or not isinstance(embeddings, nn.Embedding):
        _refuse(name, f"{config.model_type} is not built as embeddings, a trunk and a head")
    read, written = embeddings.weight.shape[1], head_weight.shape[1]
    if read != written:
        _refuse(name, f"its embeddings have {read} values, its last hidden states {written}; memory must be both")
