"""The optimizer that the stages share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import nn
from torch.optim import AdamW, Optimizer

from clara_lightning.modules.base import adamw


def parameters(dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    chance = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(size, 7, generator=chance).to(dtype)) for size in (3, 40)]


def plain(params: Sequence[nn.Parameter]) -> Optimizer:
    """The same optimizer, operation by operation."""
    return AdamW(params, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.0, fused=False)


def take_steps(optimizer: Optimizer, *, first: int, last: int) -> None:
    for step in range(first, last):
        chance = torch.Generator().manual_seed(step)
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.grad = torch.randn(parameter.shape, generator=chance).to(parameter)
        optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_fused_kernel_gives_the_numbers_of_the_plain_one_to_rounding(dtype: torch.dtype) -> None:
    fused, unfused = parameters(dtype), parameters(dtype)
    optimizer = adamw(fused)

    take_steps(optimizer, first=0, last=20)
    take_steps(plain(unfused), first=0, last=20)

    assert optimizer.param_groups[0]["fused"]
    torch.testing.assert_close(fused, unfused, rtol=4 * torch.finfo(dtype).eps, atol=4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize(("before", "after"), [(plain, adamw), (adamw, plain)])
def test_a_checkpoint_of_one_kernel_goes_on_with_the_other(before: Any, after: Any) -> None:
    whole, parts = parameters(), parameters()
    take_steps(plain(whole), first=0, last=6)
    first = before(parts)
    take_steps(first, first=0, last=3)
    second = after(parts)
    fused = second.param_groups[0]["fused"]

    second.load_state_dict(first.state_dict())
    take_steps(second, first=3, last=6)

    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=1e-6)
    assert after is plain or (fused and second.param_groups[0]["fused"])


def test_a_device_without_the_kernel_is_served_by_the_plain_one() -> None:
    elsewhere = nn.Parameter(torch.empty(2, device="meta"))
    assert not adamw([elsewhere]).param_groups[0]["fused"]


def test_gradients_of_a_scaled_loss_can_be_clipped() -> None:
    values = parameters()
    for value in values:
        value.grad = torch.ones_like(value)
    precision = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu"))

    precision.clip_gradients(adamw(values), 1.0)

    assert torch.cat([value.grad.flatten() for value in values if value.grad is not None]).norm() < 1.001
