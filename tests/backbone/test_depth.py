"""Memory that is made behind some of the layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, LoraSettings, adapter_parameters
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.depth import decoder_layers, only_first
from clara_lightning.backbone.memory import MemoryConfig
from clara_lightning.data.prompts import MEMORY, PromptTemplate
from clara_lightning.errors import ClaraError

FAMILIES = ["llama", "mistral", "phi3", "qwen3", "gemma3", "gpt2", "gpt_neox"]
Models = Callable[..., PreTrainedModel]


def shallow_backbone(tiny_model: Models, tiny_tokenizer: Callable[..., Any], family: str = "llama") -> ClaraBackbone:
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    return ClaraBackbone(
        tiny_model(family, vocab_size=len(tokenizer)),
        tokenizer,
        memory=MemoryConfig(tokens=4, document_tokens=32, layer=1),
        lora=LoraSettings(rank=2, dropout=0.0),
        prompt=PromptTemplate(),
    )


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_shallow_forward_is_the_last_norm_of_a_lower_layer(tiny_model: Models, family: str) -> None:
    model = tiny_model(family, vocab_size=320)
    ids = torch.arange(7)[None]
    states: list[torch.Tensor] = []
    layer = decoder_layers(model).all[0]
    hook = layer.register_forward_hook(
        lambda module, inputs, output: states.append(output[0] if isinstance(output, tuple) else output)
    )
    whole = model.base_model(ids, use_cache=False).last_hidden_state
    with only_first(model, 1):
        shallow = model.base_model(ids, use_cache=False).last_hidden_state
    hook.remove()
    torch.testing.assert_close(states[1], states[0])  # up to that layer nothing is different
    width = whole.shape[-1]
    norms = [m for m in model.base_model.modules() if "Norm" in type(m).__name__ and m.weight.shape == (width,)]
    followed = [states[0], *(norm(states[0]) for norm in norms)]
    assert any(torch.allclose(found, shallow, atol=1e-6) for found in followed)
    assert not torch.allclose(shallow, whole)
    torch.testing.assert_close(model.base_model(ids, use_cache=False).last_hidden_state, whole)  # and restored


def test_the_layers_are_restored_after_an_exception(tiny_model: Models) -> None:
    model = tiny_model("llama", vocab_size=320)
    count = len(decoder_layers(model).all)
    with pytest.raises(RuntimeError), only_first(model, 1):
        raise RuntimeError
    assert len(decoder_layers(model).all) == count


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_compressor_has_adapters_where_it_runs(
    tiny_model: Models, tiny_tokenizer: Callable[..., Any], documents: list[str], family: str
) -> None:
    backbone = shallow_backbone(tiny_model, tiny_tokenizer, family)
    backbone.train_only((COMPRESSOR, GENERATOR))
    layers = decoder_layers(backbone.causal_lm).all
    inside = {id(value) for value in layers[0].parameters()}
    compressor, generator = (
        [value for _, value in adapter_parameters(backbone.lm, name)] for name in (COMPRESSOR, GENERATOR)
    )
    assert {id(value) for value in compressor} <= inside
    assert len(generator) == len(layers) * len(compressor)
    backbone.calibrate(documents)
    for _ in range(2):  # LoRA starts at zero, and its first factor gets a gradient from the second step on
        memory = backbone.read(documents[:2], adapter=COMPRESSOR).memory_NLD
        prompts = [backbone.prompts.ask("Why?", (MEMORY,), answer="so")] * 2
        backbone.answer_loss(prompts, memory).mean.backward()
        with torch.no_grad():
            for value in [*compressor, *generator]:
                value.add_(value.grad, alpha=-1.0)  # type: ignore[arg-type]
    assert all(bool(value.grad.any()) for value in compressor)  # type: ignore[union-attr]


def test_more_layers_than_there_are_are_refused(tiny_model: Models, tiny_tokenizer: Callable[..., Any]) -> None:
    with pytest.raises(ClaraError, match=r"memory_layer must be <= 2, the backbone's layers, got 9"):
        ClaraBackbone(
            tiny_model("llama", vocab_size=320),
            tiny_tokenizer(),
            memory=MemoryConfig(layer=9),
            lora=LoraSettings(),
            prompt=PromptTemplate(),
        )


def test_a_run_takes_its_layer_over_and_does_not_change_it(
    commands: Any, clara: Callable[..., Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert clara(*commands.fit_compressor(run, "--model.memory_layer", 1, "--trainer.max_steps", 2)).code == 0
    store = tmp_path / "store"
    assert clara(*commands.predict(store, run)).code == 0
    assert clara("ask", "--adapters", run, "--store", store, "Where?").code == 0
    refused = clara(*commands.fit_compressor(tmp_path / "two", "--model.memory_layer", 2, init_from=run))
    assert refused.mistake.endswith("were trained with 1")
