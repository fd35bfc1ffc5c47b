"""Losses against NumPy, loops and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from clara_lightning.errors import ClaraError
from clara_lightning.objectives import losses
from clara_lightning.objectives.losses import (
    compression_mse,
    head_cross_entropy,
    head_distance,
    info_nce,
    information_retained,
)

TAU = 0.3


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


def looped_info_nce(scores: np.ndarray, gold: np.ndarray, mask: np.ndarray) -> list[float]:
    """The definition, one gold document after the other."""
    losses = []
    for row, golds, real in zip(np.exp(scores / TAU), gold, mask, strict=True):
        others = sum(row[n] for n in range(len(row)) if real[n] and not golds[n])
        losses.append(np.mean([-np.log(row[n] / (row[n] + others)) for n in range(len(row)) if golds[n]]))
    return losses


def contrast(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of 5 questions with 1 to 4 gold documents among 7, one of which may not be there."""
    draw = np.random.default_rng(seed)
    scores, gold = draw.uniform(-1, 1, size=(5, 7)), np.zeros((5, 7), dtype=bool)
    for row, count in zip(gold, (1, 2, 3, 4, 1), strict=True):
        row[draw.permutation(7)[:count]] = True
    return scores, gold, gold | (draw.uniform(size=(5, 7)) < 0.7)


@pytest.mark.parametrize("seed", range(3))
def test_info_nce_is_its_definition(seed: int) -> None:
    scores, gold, mask = contrast(seed)
    found = info_nce(*map(torch.tensor, (scores, gold, mask)), temperature=TAU)
    assert found.tolist() == pytest.approx(looped_info_nce(scores, gold, mask))


def test_the_gradient_of_info_nce_is_that_of_finite_differences() -> None:
    scores, gold, mask = map(torch.tensor, contrast())
    scores.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda s: info_nce(s, gold, mask, temperature=TAU), (scores,))


def test_a_gold_document_does_not_compete_with_another() -> None:
    gold = torch.tensor([[True, True, False]])
    near, far = torch.tensor([[0.2, 0.9, 0.1]]), torch.tensor([[0.2, 0.1, 0.1]])
    near.requires_grad_(True)
    torch.autograd.backward(info_nce(near, gold, temperature=TAU).sum())
    assert near.grad is not None and (near.grad[0, :2] < 0).all() and near.grad[0, 2] > 0
    alone = info_nce(near[:, [0, 2]], gold[:, [0, 2]], temperature=TAU)
    assert 2 * info_nce(far, gold, temperature=TAU) - info_nce(far[:, 1:], gold[:, 1:], temperature=TAU) == alone


def test_gold_documents_alone_have_no_loss_and_no_gradient() -> None:
    scores = torch.tensor([[0.5, -0.5, 0.9]], requires_grad=True)
    loss = info_nce(scores, torch.tensor([[True, True, False]]), torch.tensor([[True, True, False]]), temperature=0.02)
    torch.autograd.backward(loss.sum())
    assert loss.tolist() == [0.0]
    assert scores.grad is not None and scores.grad.tolist() == [[0.0, 0.0, 0.0]]


def test_info_nce_of_no_question_is_empty() -> None:
    assert info_nce(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.bool), temperature=1.0).shape == (0,)


@pytest.mark.parametrize("gold", [[[True, False], [False, False]], [[True, False], [False, True]]])
def test_a_question_without_a_gold_document_that_is_there_is_refused(gold: list[list[bool]]) -> None:
    mask = torch.tensor([[True, True], [True, False]])
    with pytest.raises(ClaraError, match="gold_BN must hold a gold document for each question"):
        info_nce(torch.zeros(2, 2), torch.tensor(gold), mask, temperature=1.0)


def head_inputs(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states, an output layer with a bias, and tokens."""
    draw = torch.Generator().manual_seed(0)
    hidden, weight, bias = (torch.randn(*shape, generator=draw).to(dtype) for shape in ((10, 6), (17, 6), (17,)))
    return hidden, weight, bias, torch.randint(17, (10,), generator=draw)


@pytest.mark.parametrize("rows", [3, 256])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 1e-2)]
)
def test_head_cross_entropy_is_that_of_whole_logits(
    rows: int, dtype: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "_PART", rows)
    hidden, weight, bias, ids = head_inputs(dtype)
    weights = torch.linspace(-1, 2, 10)
    results = []
    for bias_V in (bias, None):
        for ours in (True, False):
            x = hidden.clone().requires_grad_()
            if ours:
                loss = head_cross_entropy(x, weight, bias_V, ids)
            else:
                logits = functional.linear(x, weight, bias_V)
                logits = logits.to(torch.promote_types(dtype, torch.float32))
                loss = functional.cross_entropy(logits, ids, reduction="none")
            (loss * weights).sum().backward()
            assert x.grad is not None
            results.append((loss.detach(), x.grad))
    for one, other in (results[:2], results[2:]):
        for found, wanted in zip(one, other, strict=True):
            assert found.dtype == wanted.dtype
            assert (found.double() - wanted.double()).norm() <= tolerance * wanted.double().norm()


def test_head_cross_entropy_by_finite_differences() -> None:
    hidden, weight, bias, ids = head_inputs(torch.float64)
    assert torch.autograd.gradcheck(lambda x: head_cross_entropy(x, weight, bias, ids), (hidden.requires_grad_(),))


def test_head_cross_entropy_refuses_a_head_that_is_trained() -> None:
    hidden, weight, _, ids = head_inputs(torch.float32)
    with pytest.raises(ValueError, match="frozen"):
        head_cross_entropy(hidden, weight.requires_grad_(), None, ids)


def test_head_cross_entropy_of_an_impossible_token_is_finite() -> None:
    hidden, weight = torch.tensor([[1.0]]), torch.tensor([[0.0], [500.0]])
    assert head_cross_entropy(hidden, weight, None, torch.tensor([0])).item() == pytest.approx(500.0)


@pytest.mark.parametrize("rows", [3, 256])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 3e-2)]
)
def test_head_distance_is_the_divergence_of_whole_logits(
    rows: int, dtype: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "_PART", rows)
    hidden, weight, bias, _ = head_inputs(dtype)
    teacher, weights = hidden.flip(0) * 1.5, torch.linspace(-1, 2, 10)
    results = []
    for ours in (True, False):
        x = hidden.clone().requires_grad_()
        if ours:
            distance = head_distance(x, teacher, weight, bias)
        else:
            wide = torch.promote_types(dtype, torch.float32)
            own, wanted = (functional.linear(y, weight, bias).to(wide).log_softmax(-1) for y in (x, teacher))
            distance = (wanted.exp() * (wanted - own)).sum(-1)
        (distance * weights).sum().backward()
        assert x.grad is not None
        results.append((distance.detach(), x.grad))
    for found, wanted in zip(*results, strict=True):
        assert found.dtype == wanted.dtype
        assert (found.double() - wanted.double()).norm() <= tolerance * wanted.double().norm()


def test_head_distance_by_finite_differences() -> None:
    hidden, weight, bias, _ = head_inputs(torch.float64)
    teacher = hidden.flip(0).clone()
    assert torch.autograd.gradcheck(lambda x: head_distance(x, teacher, weight, bias), (hidden.requires_grad_(),))


def test_head_distance_to_itself_is_nothing() -> None:
    hidden, weight, bias, _ = head_inputs(torch.float32)
    torch.testing.assert_close(head_distance(hidden, hidden, weight, bias), torch.zeros(10))


def test_head_distance_refuses_a_head_that_is_trained() -> None:
    hidden, weight, _, _ = head_inputs(torch.float32)
    with pytest.raises(ValueError, match="frozen"):
        head_distance(hidden, hidden, weight.requires_grad_(), None)
