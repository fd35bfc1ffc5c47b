"""Norms and gated MLPs with fewer passes compute what the model's own do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clara_lightning.backbone.kernels import quicken

Models = Callable[..., Any]


def quickened(model: nn.Module) -> list[nn.Module]:
    """Modules with a forward of ours."""
    return [module for module in model.modules() if "forward" in vars(module)]


def gradient(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    output = module(x)
    (output * torch.linspace(-1, 1, output.numel()).view_as(output).to(output)).sum().backward()
    assert x.grad is not None
    return output.detach(), x.grad


@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral", "olmo2"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_output_is_the_same_and_the_gradient_too(
    tiny_model: Models, family: str, dtype: torch.dtype, tolerance: float
) -> None:
    model, plain = (tiny_model(family, vocab_size=320, dtype=dtype).requires_grad_(False) for _ in range(2))
    quicken(model)
    found = quickened(model)
    assert {type(module).__name__.lower().removeprefix(family) for module in found} == {"rmsnorm", "mlp"}
    draw = torch.Generator().manual_seed(0)
    for name, module in model.named_modules():
        if module in found:
            weight = next(module.parameters())
            x = torch.randn(7, weight.shape[-1], generator=draw).to(dtype)
            (output, grad), (own, wanted) = gradient(module, x), gradient(plain.get_submodule(name), x)
            assert torch.equal(output, own)
            assert (grad - wanted).norm() <= tolerance * wanted.norm()


@pytest.mark.parametrize("family", ["gemma", "gemma3", "glm4", "phi3", "gpt2", "starcoder2"])
def test_a_module_that_computes_something_else_keeps_its_own(tiny_model: Models, family: str) -> None:
    model, plain = (tiny_model(family, vocab_size=320) for _ in range(2))
    quicken(model)
    ids = torch.arange(5, 15)[None]
    assert torch.equal(model(input_ids=ids).logits, plain(input_ids=ids).logits)
    assert not any("Gemma" in type(module).__name__ for module in quickened(model))


def test_a_norm_by_finite_differences() -> None:
    from clara_lightning.backbone.kernels import _RmsNorm, _SwiGlu

    draw = torch.Generator().manual_seed(0)
    x, y = (torch.randn(3, 8, generator=draw, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(_SwiGlu.apply, (x, y))
    weight = torch.rand(8, generator=draw, dtype=torch.float64)
    # The norm computes in float32, as those of transformers do.
    assert torch.autograd.gradcheck(lambda x: _RmsNorm.apply(x, weight, 1e-6), (x,), eps=1e-3, atol=1e-2)
