"""Adapters: who is active, who takes gradients, and that nothing stays changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from clara_lightning.backbone.adapters import (
    COMPRESSOR,
    GENERATOR,
    QUERY_REASONER,
    LoraSettings,
    active_adapter,
    adapter_parameters,
    add_adapters,
    copy_adapter,
    lora_layers,
    set_trainable,
    use_adapter,
)
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.errors import ClaraError

IDS = torch.tensor([[5, 9, 17, 33, 2, 8]])
ALL = (COMPRESSOR, GENERATOR, QUERY_REASONER)


def random_adapters(model: PreTrainedModel) -> PeftModel:
    peft_model = add_adapters(model, names=ALL, settings=LoraSettings(rank=2, alpha=4, dropout=0.0))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, value in peft_model.named_parameters():
            if "lora_B" in key:
                value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
    return peft_model.eval()


@pytest.fixture
def model(tiny_model: Callable[..., PreTrainedModel]) -> PeftModel:
    return random_adapters(tiny_model("llama", vocab_size=64))


@torch.no_grad()
def logits(model: PeftModel) -> torch.Tensor:
    return model.get_base_model()(IDS).logits


def test_the_active_adapter_is_restored_after_the_block(model: PeftModel) -> None:
    layers = lora_layers(model)
    with use_adapter(layers, GENERATOR):
        assert active_adapter(layers) == GENERATOR
    assert active_adapter(layers) == COMPRESSOR


def test_the_active_adapter_is_restored_after_an_exception(model: PeftModel) -> None:
    layers = lora_layers(model)
    with pytest.raises(RuntimeError, match="from within"), use_adapter(layers, None):
        raise RuntimeError("from within")
    assert active_adapter(layers) == COMPRESSOR
    assert not any(layer.disable_adapters for layer in layers)


def test_scopes_nest(model: PeftModel) -> None:
    layers = lora_layers(model)
    seen = []
    with use_adapter(layers, GENERATOR):
        with use_adapter(layers, None):
            with use_adapter(layers, QUERY_REASONER):
                seen.append(active_adapter(layers))
            seen.append(active_adapter(layers))
        seen.append(active_adapter(layers))
    assert seen == [QUERY_REASONER, None, GENERATOR]


def test_none_is_the_model_as_it_was_before_adapters(tiny_model: Callable[..., PreTrainedModel]) -> None:
    model = tiny_model("llama", vocab_size=64)
    with torch.no_grad():
        before = model(IDS).logits
    adapted = random_adapters(model)
    with use_adapter(lora_layers(adapted), None):
        assert torch.equal(logits(adapted), before)
    assert not torch.equal(logits(adapted), before)


@pytest.mark.parametrize("name", ALL)
def test_an_adapter_computes_what_peft_computes_with_it(model: PeftModel, name: str) -> None:
    with use_adapter(lora_layers(model), name):
        ours = logits(model)
    model.set_adapter(name)
    assert torch.equal(ours, logits(model))


def test_no_parameter_changes_whether_it_is_trained(model: PeftModel) -> None:
    set_trainable(model, (COMPRESSOR, GENERATOR))
    before = {key: value.requires_grad for key, value in model.named_parameters()}
    with use_adapter(lora_layers(model), QUERY_REASONER), use_adapter(lora_layers(model), None):
        assert {key: value.requires_grad for key, value in model.named_parameters()} == before
    assert {key: value.requires_grad for key, value in model.named_parameters()} == before


def test_fresh_adapters_are_frozen_and_change_nothing(tiny_model: Callable[..., PreTrainedModel]) -> None:
    model = tiny_model("llama", vocab_size=64)
    with torch.no_grad():
        before = model(IDS).logits
    adapted = add_adapters(model, names=ALL, settings=LoraSettings(rank=2, dropout=0.0)).eval()
    assert torch.equal(logits(adapted), before)
    assert not any(parameter.requires_grad for parameter in adapted.parameters())


def test_adapters_of_a_bfloat16_model_are_float32(tiny_model: Callable[..., PreTrainedModel]) -> None:
    model = tiny_model("llama", vocab_size=64, dtype=torch.bfloat16)
    adapted = add_adapters(model, names=ALL, settings=LoraSettings(rank=2))
    for name in ALL:
        assert {value.dtype for _, value in adapter_parameters(adapted, name)} == {torch.float32}


def test_set_trainable_frees_exactly_the_named_adapters(model: PeftModel) -> None:
    set_trainable(model, (GENERATOR, QUERY_REASONER))
    trained = {key for key, value in model.named_parameters() if value.requires_grad}
    wanted = {key for name in (GENERATOR, QUERY_REASONER) for key, _ in adapter_parameters(model, name)}
    assert trained == wanted and wanted


def test_train_only_frees_an_adapter_with_its_memory_tokens(tiny_backbone: Callable[..., ClaraBackbone]) -> None:
    backbone = tiny_backbone(adapters=ALL, fresh=True)
    backbone.train_only((QUERY_REASONER, GENERATOR))
    trained = {key for key, value in backbone.named_parameters() if value.requires_grad}
    assert all(".query_reasoner." in key or ".generator." in key for key in trained)
    assert "heads.query_reasoner.tokens_LD" in trained
    assert not backbone.head(COMPRESSOR).tokens_LD.requires_grad
    assert len(list(adapter_parameters(backbone.lm, GENERATOR))) == sum(".generator." in key for key in trained)


def test_copy_adapter_makes_two_adapters_equal(model: PeftModel) -> None:
    copy_adapter(model, source=COMPRESSOR, target=QUERY_REASONER)
    with use_adapter(lora_layers(model), COMPRESSOR):
        one = logits(model)
    with use_adapter(lora_layers(model), QUERY_REASONER):
        assert torch.equal(one, logits(model))
    with use_adapter(lora_layers(model), GENERATOR):
        assert not torch.equal(one, logits(model))


def test_the_query_reasoner_starts_as_a_copy_of_the_compressor(
    tiny_backbone: Callable[..., ClaraBackbone], documents: list[str]
) -> None:
    backbone = tiny_backbone(adapters=ALL)
    backbone.start_query_reasoner()
    assert torch.equal(backbone.reason(documents), backbone.compress(documents))


def test_an_adapter_that_does_not_exist_is_refused(tiny_backbone: Callable[..., ClaraBackbone]) -> None:
    backbone = tiny_backbone(fresh=True)
    with pytest.raises(ValueError, match=r"no adapter 'query_reasoner', only compressor, generator"):
        backbone.use_adapter(QUERY_REASONER)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": 0}, r"model\.init_args\.lora\.rank must be >= 1, got 0"),
        ({"dropout": 1.0}, r"model\.init_args\.lora\.dropout must be in \[0, 1\), got 1\.0"),
        ({"dropout": -0.1}, r"model\.init_args\.lora\.dropout must be in \[0, 1\), got -0\.1"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ClaraError, match=message):
        LoraSettings(**values)  # type: ignore[arg-type]


def test_layers_that_the_backbone_does_not_have_are_one_line(tiny_model: Callable[..., PreTrainedModel]) -> None:
    settings = LoraSettings(target_modules=["nothing_proj"])
    with pytest.raises(
        ClaraError, match=r"^model\.init_args\.lora: llama does not take dropout 0.1, target_modules"
    ) as e:
        add_adapters(tiny_model("llama", vocab_size=64), names=ALL, settings=settings)
    assert "nothing_proj" in str(e.value) and "\n" not in str(e.value)
