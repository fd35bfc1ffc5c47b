"""A LoRA layer in one autograd function is PEFT's own layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
from peft.tuners import lora
from torch import Tensor, nn

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, LoraSettings, add_adapters, set_trainable
from clara_lightning.backbone.lora import LoraLinear, keep_mask

Models = Callable[..., Any]


def make_layer(tiny_model: Models, *, dtype: torch.dtype = torch.float64, dropout: float = 0.0) -> LoraLinear:
    """One adapted layer with two adapters, of which the compressor is active."""
    model = tiny_model("llama", vocab_size=320, dtype=dtype)
    settings = LoraSettings(rank=3, alpha=6, dropout=dropout)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        peft_model = add_adapters(model, names=(COMPRESSOR, GENERATOR), settings=settings)
        set_trainable(peft_model, (COMPRESSOR,))
        layer = next(module for module in peft_model.modules() if isinstance(module, LoraLinear))
        nn.init.normal_(layer.lora_B[COMPRESSOR].weight, std=0.3)
    return layer.train()


def inputs(layer: LoraLinear) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(2, 5, 32, generator=draw).to(layer.base_layer.weight.dtype)


def outcome(layer: LoraLinear, x: Tensor) -> list[Tensor]:
    """Output, and gradients of the input and of both matrices."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    output = layer(x)
    (output.float() * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    matrices = (layer.lora_A[COMPRESSOR].weight, layer.lora_B[COMPRESSOR].weight)
    return [output.detach(), *(value.grad.clone() for value in (x, *matrices))]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_output_and_gradients_are_those_of_peft(tiny_model: Models, dtype: torch.dtype, tolerance: float) -> None:
    layer = make_layer(tiny_model, dtype=dtype)
    ours = outcome(layer, inputs(layer))
    with mock.patch.object(LoraLinear, "forward", lora.Linear.forward):
        wanted = outcome(layer, inputs(layer))
    for found, value in zip(ours, wanted, strict=True):
        assert found.dtype == value.dtype
        assert (found.float() - value.float()).norm() <= tolerance * value.float().norm()


def test_gradients_are_those_of_finite_differences(tiny_model: Models) -> None:
    layer = make_layer(tiny_model).double()
    x = inputs(layer).requires_grad_()
    matrices = (layer.lora_A[COMPRESSOR].weight, layer.lora_B[COMPRESSOR].weight)
    assert torch.autograd.gradcheck(lambda *_: layer(x), (x, *matrices))


def test_gradients_under_dropout_are_those_of_finite_differences(tiny_model: Models) -> None:
    layer = make_layer(tiny_model, dropout=0.3).double()
    x = inputs(layer).requires_grad_()
    matrices = (layer.lora_A[COMPRESSOR].weight, layer.lora_B[COMPRESSOR].weight)

    def seeded(*_: Tensor) -> Tensor:
        torch.manual_seed(5)
        return layer(x)

    assert torch.autograd.gradcheck(seeded, (x, *matrices))


def test_dropout_leaves_the_mean_of_the_output(tiny_model: Models) -> None:
    layer = make_layer(tiny_model, dropout=0.3)
    x = inputs(layer)
    wanted = layer.eval()(x)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        layer.train()
        drawn = torch.stack([layer(x) for _ in range(3000)])
    assert not torch.allclose(drawn[0], wanted)
    assert (drawn.mean(0) - wanted).abs().max() < 6 * drawn.std(0).max() / 3000**0.5


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_a_mask_keeps_the_given_share_and_is_drawn_from_the_seed(share: float) -> None:
    like = torch.empty(333, 1001)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = keep_mask(like, share), keep_mask(like, share)
        torch.manual_seed(0)
        again = keep_mask(like, share)
    assert first.shape == like.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert float(first.float().mean()) == pytest.approx(share, abs=0.005)
    rows = first.float().mean(1)
    assert float(rows.std()) == pytest.approx((share * (1 - share) / 1001) ** 0.5, rel=0.2)


def test_an_adapter_that_is_off_changes_nothing(tiny_model: Models) -> None:
    layer = make_layer(tiny_model)
    layer._disable_adapters = True
    assert torch.equal(layer(inputs(layer)), layer.base_layer(inputs(layer)))


def test_under_autocast_the_layer_is_peft_s(tiny_model: Models) -> None:
    layer = make_layer(tiny_model, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = layer(inputs(layer))
        wanted = lora.Linear.forward(layer, inputs(layer))
    assert torch.equal(ours, wanted)
