"""Losses against NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from clara_lightning.objectives.losses import compression_mse, information_retained


def test_compression_mse_is_the_mean_squared_distance() -> None:
    document, memory = np.random.default_rng(0).normal(size=(2, 3, 5))
    expected = np.mean(
        [sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) / 5 for x, y in zip(document, memory, strict=True)]
    )
    assert compression_mse(torch.tensor(document), torch.tensor(memory)).item() == pytest.approx(expected)


def test_compression_mse_pulls_both_sides_together() -> None:
    document, memory = torch.zeros(1, 2, requires_grad=True), torch.ones(1, 2, requires_grad=True)
    torch.autograd.backward(compression_mse(document, memory))
    assert document.grad is not None
    assert memory.grad is not None
    assert document.grad.tolist() == [[-1.0, -1.0]]
    assert memory.grad.tolist() == [[1.0, 1.0]]


def test_compression_mse_of_half_precision_is_fp32() -> None:
    loss = compression_mse(torch.full((1, 2), 300.0).half(), torch.full((1, 2), -300.0).half())
    assert loss.dtype == torch.float32
    assert loss.item() == 360_000.0  # beyond fp16


@pytest.mark.parametrize(("ce_memory", "share"), [(3.0, 0.0), (1.0, 1.0), (2.5, 0.25), (3.5, -0.25), (0.5, 1.25)])
def test_information_retained_is_linear_between_nothing_and_the_text(ce_memory: float, share: float) -> None:
    assert information_retained(ce_none=3.0, ce_memory=ce_memory, ce_text=1.0) == pytest.approx(share)


@pytest.mark.parametrize(
    ("none", "memory", "text"),
    [
        (1.0, 0.5, 1.0),
        (1.0, 0.5, 2.0),
        (math.nan, 1.0, 1.0),
        (2.0, math.nan, 1.0),
        (2.0, 1.0, math.nan),
        (math.inf, 1.0, 1.0),
    ],
)
def test_information_retained_is_nan_where_it_has_no_meaning(none: float, memory: float, text: float) -> None:
    assert math.isnan(information_retained(ce_none=none, ce_memory=memory, ce_text=text))
