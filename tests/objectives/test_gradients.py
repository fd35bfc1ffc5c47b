"""Gradients of the scores against exact ones: over all draws where they are unbiased, finite differences elsewhere."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from clara_lightning.objectives.gradients import distillation, leave_one_out, reinmax_rows, success_weights
from clara_lightning.objectives.topk import slot_probabilities

NUM = 5


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradient(function: Callable[[Tensor], Tensor], scores_N: Tensor) -> Tensor:
    leaf = scores_N.clone().requires_grad_()
    (found,) = torch.autograd.grad(function(leaf), leaf)
    return found


def expected(loss: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The mean loss of one document that is drawn by the scores."""
    return lambda scores: sum(
        (share * loss(row) for share, row in zip(scores.softmax(0), torch.eye(NUM).double(), strict=True)),
        start=torch.zeros(()),
    )


def mean_over_draws(loss: Callable[[Tensor], Tensor], scores_N: Tensor, *, reinmax: bool) -> Tensor:
    """The estimator's gradient, weighed by how likely each draw is."""

    def surrogate(scores: Tensor, hard_N: Tensor) -> Tensor:
        soft = scores.softmax(0).view(1, 1, -1)
        rows = reinmax_rows(soft, scores.view(1, -1), hard_N.view(1, 1, -1)) if reinmax else soft
        return loss(hard_N + (rows - rows.detach()).flatten())

    shares = scores_N.softmax(0)
    rows = torch.eye(NUM).double()
    parts = [
        share * gradient(lambda scores, row=row: surrogate(scores, row), scores_N)  # type: ignore[misc]
        for share, row in zip(shares, rows, strict=True)
    ]
    return torch.stack(parts).sum(0)


def test_reinmax_is_exact_in_the_mean_where_the_loss_is_quadratic_and_straight_through_is_not() -> None:
    scores_N, linear_N, square_NN = drawn(NUM), drawn(NUM, seed=1), drawn(NUM, NUM, seed=2)

    def quadratic(row: Tensor) -> Tensor:
        return row @ square_NN @ row + row @ linear_N

    exact = gradient(expected(quadratic), scores_N)
    torch.testing.assert_close(mean_over_draws(quadratic, scores_N, reinmax=True), exact, atol=1e-12, rtol=1e-9)
    plain = mean_over_draws(quadratic, scores_N, reinmax=False)
    assert (plain - exact).norm() > 0.1 * exact.norm()


def test_both_are_exact_in_the_mean_where_the_loss_is_linear() -> None:
    scores_N, linear_N = drawn(NUM), drawn(NUM, seed=1)
    exact = gradient(expected(lambda row: row @ linear_N), scores_N)
    for reinmax in (False, True):
        found = mean_over_draws(lambda row: row @ linear_N, scores_N, reinmax=reinmax)
        torch.testing.assert_close(found, exact, atol=1e-12, rtol=1e-9)


def test_reinmax_of_later_slots_leaves_taken_and_masked_documents_without_gradient() -> None:
    scores_BN = drawn(1, NUM).requires_grad_()
    mask_BN = torch.tensor([[True, True, True, True, False]])
    soft_BKN = slot_probabilities(scores_BN, mask_BN, k=2, temperature=1.0)
    taken = scores_BN.detach().masked_fill(~mask_BN, -math.inf).topk(2).indices
    logits_BN = scores_BN.masked_fill(~mask_BN, -math.inf)
    rows_BKN = reinmax_rows(soft_BKN, logits_BN, one_hot(taken, NUM).double())
    torch.autograd.backward((rows_BKN[:, 1] * drawn(1, NUM, seed=3)).sum())
    assert scores_BN.grad is not None
    found = scores_BN.grad[0]
    assert found[4] == 0 and found[taken[0, 0]] == 0
    assert found.isfinite().all() and found.abs().sum() > 0


def draws(scores_N: Tensor, size: int) -> list[tuple[tuple[int, ...], Tensor]]:
    """Every ordered draw without replacement, with its probability, by definition."""
    shares = scores_N.softmax(0)
    found = []
    for order in itertools.permutations(range(NUM), size):
        chance, left = torch.ones(()).double(), torch.ones(()).double()
        for number in order:
            chance, left = chance * shares[number] / left, left - shares[number]
        found.append((order, chance))
    return found


def surrogate_of(scores_N: Tensor, order: tuple[int, ...], losses_N: Tensor) -> Tensor:
    log_shares_N = scores_N.log_softmax(0)
    outside = [number for number in range(NUM) if number not in order]
    outside_B = log_shares_N[outside].logsumexp(0, keepdim=True)
    return leave_one_out(log_shares_N[list(order)].unsqueeze(0), outside_B, losses_N[list(order)].unsqueeze(0)).sum()


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_leave_one_out_is_exact_in_the_mean_over_all_draws(size: int, spread: float) -> None:
    scores_N, losses_N = spread * drawn(NUM), drawn(NUM, seed=1)
    mean = sum(
        (
            chance * gradient(lambda scores, order=order: surrogate_of(scores, order, losses_N), scores_N)  # type: ignore[misc]
            for order, chance in draws(scores_N, size)
        ),
        start=torch.zeros(()),
    )
    exact = gradient(lambda scores: scores.softmax(0) @ losses_N, scores_N)
    torch.testing.assert_close(mean, exact, atol=1e-10, rtol=1e-8)


def test_leave_one_out_of_all_documents_has_no_spread() -> None:
    scores_N, losses_N = drawn(NUM), drawn(NUM, seed=1)
    exact = gradient(lambda scores: scores.softmax(0) @ losses_N, scores_N)
    for order, _ in draws(scores_N, NUM)[::17]:
        found = gradient(lambda scores, order=order: surrogate_of(scores, order, losses_N), scores_N)  # type: ignore[misc]
        torch.testing.assert_close(found, exact, atol=1e-10, rtol=1e-8)


def test_leave_one_out_ignores_what_all_losses_have_in_common() -> None:
    scores_N, losses_N = drawn(NUM), drawn(NUM, seed=1)
    one, other = (
        gradient(lambda scores, more=more: surrogate_of(scores, (0, 3), losses_N + more), scores_N)  # type: ignore[misc]
        for more in (0.0, 7.0)
    )
    torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-7)


def test_leave_one_out_stays_finite_where_the_scores_are_certain() -> None:
    scores_N = torch.tensor([400.0, 0.0, -400.0, 1.0, 2.0]).double()
    found = gradient(lambda scores: surrogate_of(scores, (0, 4), drawn(NUM, seed=1)), scores_N)
    assert found.isfinite().all()


def test_distillation_equals_the_divergence_and_finite_differences() -> None:
    logits_BM, losses_BM = drawn(2, 4), drawn(2, 4, seed=1)
    wanted = (-losses_BM / 0.5).softmax(1)
    by_definition = (wanted * (wanted.log() - logits_BM.log_softmax(1))).sum(1)
    torch.testing.assert_close(distillation(logits_BM, losses_BM, temperature=0.5), by_definition)
    assert torch.autograd.gradcheck(
        lambda logits: distillation(logits, losses_BM, temperature=0.5), logits_BM.requires_grad_()
    )
    found = gradient(lambda logits: distillation(logits, losses_BM, temperature=0.5).sum(), logits_BM.detach())
    torch.testing.assert_close(found, logits_BM.detach().softmax(1) - wanted)


def test_distillation_leaves_out_what_is_masked() -> None:
    logits_BM, losses_BM = drawn(1, 4), drawn(1, 4, seed=1)
    mask_BM = torch.tensor([[True, False, True, True]])
    kept = mask_BM[0].nonzero()[:, 0]
    whole = distillation(logits_BM, losses_BM, mask_BM, temperature=1.0)
    torch.testing.assert_close(whole, distillation(logits_BM[:, kept], losses_BM[:, kept], temperature=1.0))
    found = gradient(lambda logits: distillation(logits, losses_BM, mask_BM, temperature=1.0).sum(), logits_BM)
    assert found.isfinite().all() and found[0, 1] == 0


def test_success_weighs_questions_by_what_the_documents_save() -> None:
    weights = success_weights(torch.tensor([1.0, 2.0, 0.0]), torch.tensor([2.0, 2.0, 9.0]), temperature=1.0)
    torch.testing.assert_close(weights, torch.tensor([math.e, 1.0, 10.0]))
