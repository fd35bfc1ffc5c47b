"""Frozen weights in 8 bits: nearly the same memory and loss; adapters stay float32, and get gradient."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, LoraSettings, adapter_parameters
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.loading import BackboneConfig, load_pretrained
from clara_lightning.backbone.memory import MemoryConfig
from clara_lightning.backbone.quantization import is_quantized, quantization_config
from clara_lightning.data.prompts import MEMORY, PromptTemplate
from clara_lightning.errors import ClaraError

has_torchao = importlib.util.find_spec("torchao") is not None
needs_torchao = pytest.mark.skipif(
    not has_torchao or torch.cuda.is_available(), reason="int8 without CUDA needs torchao, which is not installed here"
)


def load(folder: Path, **settings: Any) -> ClaraBackbone:
    model, tokenizer = load_pretrained(BackboneConfig(name=str(folder), dtype="float32", **settings))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        backbone = ClaraBackbone(
            model,
            tokenizer,
            memory=MemoryConfig(tokens=4, document_tokens=32),
            lora=LoraSettings(rank=2, dropout=0.0),
            prompt=PromptTemplate(),
        )
    return backbone.eval()


# --- refusals -------------------------------------------------------------------------------------------------------


def hide(monkeypatch: pytest.MonkeyPatch, *, cuda: bool) -> None:
    """A machine without the libraries."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


@pytest.mark.parametrize(
    ("kind", "cuda", "library"),
    [("int8", False, "torchao"), ("int8", True, "bitsandbytes"), ("nf4", True, "bitsandbytes")],
)
def test_a_missing_library_is_named_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, kind: Any, cuda: bool, library: str
) -> None:
    hide(monkeypatch, cuda=cuda)
    with pytest.raises(ClaraError) as caught:
        quantization_config(kind, dtype=torch.float32)
    install = 'pip install "clara-lightning[quantization]"'
    assert str(caught.value) == f"model.init_args.backbone.quantization: {kind} needs {library} here: {install}"


def test_four_bits_without_cuda_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ClaraError, match=r"^model\.init_args\.backbone\.quantization: nf4 needs a CUDA device"):
        quantization_config("nf4", dtype=torch.float32)


def test_a_missing_library_is_found_out_before_weights_are_read(
    monkeypatch: pytest.MonkeyPatch, tiny_model_folder: Path
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ClaraError, match="nf4 needs a CUDA device"):
        load_pretrained(BackboneConfig(name=str(tiny_model_folder), quantization="nf4"))


def test_weights_as_they_are_need_no_library() -> None:
    assert quantization_config("none", dtype=torch.float32) is None
    assert (is_quantized("none"), is_quantized("int8"), is_quantized("nf4")) == (False, True, True)


def test_a_backbone_says_whether_it_is_quantized(tiny_backbone: Callable[..., ClaraBackbone]) -> None:
    assert not tiny_backbone(fresh=True).is_quantized


# --- int8 -----------------------------------------------------------------------------------------------------------


@needs_torchao
def test_layers_are_int8_and_embeddings_head_and_adapters_are_not(tiny_model_folder: Path) -> None:
    backbone = load(tiny_model_folder, quantization="int8")
    assert backbone.is_quantized
    assert {type(layer.base_layer.weight).__name__ for layer in backbone._layers} == {"Int8Tensor"}
    assert type(backbone.causal_lm.get_input_embeddings().weight) is torch.nn.Parameter
    for name in (COMPRESSOR, GENERATOR):
        assert {value.dtype for _, value in adapter_parameters(backbone.lm, name)} == {torch.float32}


@needs_torchao
def test_memory_and_loss_are_nearly_those_of_whole_weights(tiny_model_folder: Path, documents: list[str]) -> None:
    whole, packed = load(tiny_model_folder), load(tiny_model_folder, quantization="int8")
    prompts = [whole.prompts.ask("Where?", (MEMORY,), answer=f"place {n}") for n in range(len(documents))]
    memories, losses = [], []
    for backbone in (whole, packed):
        backbone.calibrate(documents)
        with torch.no_grad():
            memories.append(backbone.compress(documents))
            losses.append(float(backbone.answer_loss(prompts, memories[-1]).mean))
    assert float((memories[1] - memories[0]).norm() / memories[0].norm()) < 0.02
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@needs_torchao
@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_adapter_gets_gradient_through_packed_weights(
    tiny_model_folder: Path, documents: list[str], checkpointing: bool
) -> None:
    backbone = load(tiny_model_folder, quantization="int8")
    if checkpointing:
        backbone._enable_gradient_checkpointing()
    backbone.train_only((COMPRESSOR, GENERATOR))
    backbone.train()
    prompts = [backbone.prompts.ask("Where?", (MEMORY,), answer=f"place {n}") for n in range(len(documents))]
    backbone.answer_loss(prompts, backbone.compress(documents)).mean.backward()
    for name in (COMPRESSOR, GENERATOR):
        for key, value in adapter_parameters(backbone.lm, name):
            assert value.grad is not None and bool(value.grad.isfinite().all()), key
            assert "lora_B" not in key or float(value.grad.abs().max()) > 0, key


@needs_torchao
def test_packed_weights_answer(tiny_model_folder: Path) -> None:
    backbone = load(tiny_model_folder, quantization="int8")
    assert len(backbone.generate([backbone.prompts.ask("Why?", ())], max_new_tokens=4)) == 1
