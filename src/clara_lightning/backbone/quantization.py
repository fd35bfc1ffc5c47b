"""Frozen weights in 8 or 4 bits, by libraries that are installed only where they are wanted."""

from __future__ import annotations

import importlib.util
from typing import Any, Literal

import torch
from transformers import BitsAndBytesConfig, TorchAoConfig

from clara_lightning.errors import ClaraError

Quantization = Literal["none", "int8", "nf4"]
SETTING = "model.init_args.backbone.quantization"


def quantization_config(kind: Quantization, *, dtype: torch.dtype) -> Any:
    """What transformers' ``from_pretrained`` takes as ``quantization_config``; ``None`` for ``none``.

    Args:
        kind: ``int8`` is LLM.int8 of bitsandbytes on CUDA and weight-only int8 of torchao elsewhere, ``nf4`` the four
            bits of QLoRA by bitsandbytes, on CUDA.
        dtype: what 4-bit layers compute in.

    Raises:
        ClaraError: the library is not installed, or there is no CUDA device for ``nf4``.
    """
    if kind == "none":
        return None
    on_cuda = torch.cuda.is_available()
    # On a CPU bitsandbytes 0.50 computes four bits forward, but hands no gradient to a layer's input: the compressor
    # would train on zeros.
    if kind == "nf4" and not on_cuda:
        raise ClaraError(f"{SETTING}: nf4 needs a CUDA device; int8 does not")
    _require("bitsandbytes" if on_cuda else "torchao", kind)
    if kind == "nf4":
        return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return BitsAndBytesConfig(load_in_8bit=True) if on_cuda else _torchao_int8()


def is_quantized(kind: Quantization) -> bool:
    """Whether weights are packed; such weights cannot be cut into shards."""
    return kind != "none"


def _require(library: str, kind: str) -> None:
    if importlib.util.find_spec(library) is None:
        install = 'pip install "clara-lightning[quantization]"'
        raise ClaraError(f"{SETTING}: {kind} needs {library} here: {install}")


def _torchao_int8() -> TorchAoConfig:
    from torchao.quantization import Int8WeightOnlyConfig

    return TorchAoConfig(Int8WeightOnlyConfig())
