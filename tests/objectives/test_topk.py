"""The straight-through top-k against torch.topk, finite differences in float64 and the paper's formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from clara_lightning.errors import ClaraError
from clara_lightning.objectives.topk import (
    StraightThroughTopK,
    gumbel_perturb,
    mix,
    selection_entropy,
    slot_probabilities,
    straight_through_top_k,
)

TAU = 0.02


def random_scores(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1


def plain_probabilities(scores_N: Tensor, taken: list[int], *, temperature: float) -> Tensor:
    """softmax over the documents not yet taken, written with Python numbers and no mask."""
    left = [n for n in range(len(scores_N)) if n not in taken]
    weights = {n: ((scores_N[n] - scores_N[left].max()) / temperature).exp() for n in left}
    total = torch.stack(list(weights.values())).sum()
    return torch.stack([weights[n] / total if n in weights else torch.zeros_like(total) for n in range(len(scores_N))])


def surrogate(scores_N: Tensor, weights_KN: Tensor, *, temperature: float) -> Tensor:
    """sum_jn W_jn p_jn with the hard choices held fixed: what the backward pass differentiates."""
    order = torch.argsort(scores_N.detach(), descending=True).tolist()
    rows = [plain_probabilities(scores_N, order[:j], temperature=temperature) for j in range(len(weights_KN))]
    return (torch.stack(rows) * weights_KN).sum()


def score_gradient(scores: Tensor, *, slot: int | None = None, mask: Tensor | None = None, k: int = 3) -> Tensor:
    scores = scores.clone().requires_grad_()
    selection = straight_through_top_k(scores, mask, k=k, temperature=TAU).selection_BKN
    weights = random_scores(*selection.shape, seed=9).to(selection.dtype)
    terms = selection * weights
    torch.autograd.backward((terms if slot is None else terms[:, slot]).sum())
    assert scores.grad is not None
    return scores.grad


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("k", [1, 3, 8])
def test_forward_is_exactly_a_hard_top_k(k: int, dtype: torch.dtype) -> None:
    scores_BN = torch.stack([torch.randperm(8, generator=torch.Generator().manual_seed(b)) for b in range(16)]).to(
        dtype
    )
    selection_BKN, indices_BK = straight_through_top_k((scores_BN / 8).requires_grad_(), k=k, temperature=TAU)
    expected_BK = scores_BN.topk(k).indices
    assert torch.equal(indices_BK, expected_BK)
    assert torch.equal(selection_BKN, torch.nn.functional.one_hot(expected_BK, 8).to(selection_BKN.dtype))
    assert selection_BKN.dtype == torch.promote_types(dtype, torch.float32)


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_backward_equals_finite_differences_of_the_soft_choice(k: int, temperature: float) -> None:
    scores_BN, weights_KN = random_scores(1, 5), random_scores(k, 5, seed=1)
    leaf_BN = scores_BN.clone().requires_grad_()
    selection = straight_through_top_k(leaf_BN, k=k, temperature=temperature).selection_BKN
    torch.autograd.backward((selection * weights_KN).sum())
    step = 1e-6
    for n in range(5):
        nudge = step * torch.nn.functional.one_hot(torch.tensor(n), 5).double()
        above = surrogate(scores_BN[0] + nudge, weights_KN, temperature=temperature)
        below = surrogate(scores_BN[0] - nudge, weights_KN, temperature=temperature)
        assert leaf_BN.grad is not None
        torch.testing.assert_close(leaf_BN.grad[0, n], (above - below) / (2 * step), atol=1e-7, rtol=1e-6)


def test_backward_of_one_slot_is_the_formula_of_the_papers_appendix() -> None:
    scores_BN = (0.05 * random_scores(1, 6)).requires_grad_()
    documents_ND = random_scores(6, 4, seed=1)
    selection = straight_through_top_k(scores_BN, k=1, temperature=TAU).selection_BKN
    read_D = mix(selection, documents_ND.view(1, 6, 1, 4)).view(4)
    pi_N = (scores_BN.detach()[0] / TAU).softmax(dim=0)
    soft_D = pi_N @ documents_ND
    for axis in range(4):
        (gradient_BN,) = torch.autograd.grad(read_D[axis], scores_BN, retain_graph=True)
        torch.testing.assert_close(gradient_BN[0], pi_N * (documents_ND[:, axis] - soft_D[axis]) / TAU)


@pytest.mark.parametrize("k", [2, 4])
def test_a_taken_document_gets_exactly_no_mass_and_no_gradient_from_later_slots(k: int) -> None:
    scores_BN = 0.03 * random_scores(4, 6)
    taken_BK = straight_through_top_k(scores_BN, k=k, temperature=TAU).indices_BK
    for slot in range(1, k):
        gradient_BN = score_gradient(scores_BN, slot=slot, k=k)
        assert (gradient_BN.gather(1, taken_BK[:, :slot]) == 0).all()
        assert (gradient_BN.gather(1, taken_BK[:, slot:]) != 0).all()


def test_the_published_mask_leaks_to_taken_documents_and_ours_does_not() -> None:
    """Soft mass is read off the gradient: d p_n / d s_n = p_n (1 - p_n) / tau, so -d p_m / d s_n = p_n p_m / tau."""
    scores_BN = torch.tensor([[0.90, 0.50, 0.30, 0.10]], dtype=torch.float64)
    gap = float(scores_BN[0, 0] - scores_BN[0, 1]) / TAU
    leaked = 1e-8 * torch.tensor(gap).exp().item()  # mass of the taken document relative to the best one left
    expected = {"published": leaked / (1 + leaked), "straight_through": 0.0}
    for estimator, mass in expected.items():
        leaf_BN = scores_BN.clone().requires_grad_()
        selection = straight_through_top_k(leaf_BN, k=2, temperature=TAU, estimator=estimator).selection_BKN  # type: ignore[arg-type]
        (gradient_BN,) = torch.autograd.grad(selection[0, 1, 0], leaf_BN)
        assert float(gradient_BN[0, 0]) == pytest.approx(mass * (1 - mass) / TAU, rel=1e-3)
    assert expected["published"] > 0.5


def test_both_estimators_agree_where_nothing_is_taken() -> None:
    leaf_BN = (0.05 * random_scores(3, 5)).requires_grad_()
    weights = random_scores(3, 1, 5, seed=1)
    selections = [
        straight_through_top_k(leaf_BN, k=1, temperature=TAU, estimator="straight_through"),
        straight_through_top_k(leaf_BN, k=1, temperature=TAU, estimator="published"),
    ]
    ours, published = (torch.autograd.grad((s.selection_BKN * weights).sum(), leaf_BN)[0] for s in selections)
    torch.testing.assert_close(ours, published)


def test_ties_go_to_the_lowest_index() -> None:
    scores_BN = torch.tensor([[0.5] * 64, [0.0] * 32 + [0.5] * 32])
    indices_BK = straight_through_top_k(scores_BN, k=4, temperature=TAU).indices_BK
    assert indices_BK.tolist() == [[0, 1, 2, 3], [32, 33, 34, 35]]


def test_all_documents_taken_leaves_the_last_slot_no_choice_and_no_nan() -> None:
    scores_BN = random_scores(3, 4)
    assert (score_gradient(scores_BN, slot=3, k=4) == 0).all()
    assert score_gradient(scores_BN, k=4).isfinite().all()


def test_one_candidate_is_taken_without_gradient() -> None:
    assert straight_through_top_k(torch.tensor([[-0.3]]), k=1, temperature=TAU).selection_BKN.tolist() == [[[1.0]]]
    assert score_gradient(torch.tensor([[-0.3]]), k=1).tolist() == [[0.0]]


@pytest.mark.parametrize("estimator", ["straight_through", "published"])
def test_masked_candidates_are_never_taken_and_get_no_gradient(estimator: str) -> None:
    leaf_BN = (0.01 * random_scores(4, 6)).requires_grad_()
    mask_BN = torch.ones(4, 6, dtype=torch.bool).scatter_(1, leaf_BN.topk(2).indices, False)
    layer = StraightThroughTopK(k=4, estimator=estimator)  # type: ignore[arg-type]
    selection_BKN, indices_BK = layer(leaf_BN, mask_BN)
    assert mask_BN.gather(1, indices_BK).all()
    (gradient_BN,) = torch.autograd.grad((selection_BKN * random_scores(4, 4, 6, seed=1)).sum(), leaf_BN)
    assert (gradient_BN[~mask_BN] == 0).all()
    assert (gradient_BN[mask_BN] != 0).all()


def test_a_mask_gives_what_leaving_the_candidates_out_gives() -> None:
    scores_BN, mask_BN = 0.05 * random_scores(2, 6), torch.tensor([[True, False, True, True, False, True]] * 2)
    short_BN = scores_BN[:, mask_BN[0]]
    whole = straight_through_top_k(scores_BN, mask_BN, k=3, temperature=TAU).selection_BKN
    short = straight_through_top_k(short_BN, k=3, temperature=TAU).selection_BKN
    assert torch.equal(whole[:, :, mask_BN[0]], short)


@pytest.mark.parametrize(("mask", "limit"), [(None, 3), ([[True] * 3, [True, False, False]], 1)])
def test_more_slots_than_candidates_is_refused(mask: list[list[bool]] | None, limit: int) -> None:
    mask_BN = None if mask is None else torch.tensor(mask)
    with pytest.raises(ClaraError, match=rf"top_k must be <= {limit}, .*, got 4"):
        StraightThroughTopK(k=4)(torch.zeros(2, 3), mask_BN)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "top_k must be >= 1, got 0"),
        ({"k": 1, "temperature": 0.0}, "temperature must be > 0, got 0.0"),
        ({"k": 1, "temperature": float("nan")}, "temperature must be > 0, got nan"),
        ({"k": 1, "noise": "normal"}, "noise must be one of none, gumbel, got 'normal'"),
        ({"k": 1, "estimator": "soft"}, "estimator must be one of straight_through, published, got 'soft'"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ClaraError, match=message):
        StraightThroughTopK(**settings)  # type: ignore[arg-type]


def test_half_precision_scores_are_softened_in_fp32() -> None:
    scores_BN = random_scores(2, 5).bfloat16()
    # The gradient alone is rounded to the scores' dtype, on its way out.
    assert torch.equal(score_gradient(scores_BN), score_gradient(scores_BN.float()).bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = score_gradient(scores_BN.float())
    assert torch.equal(under_autocast, score_gradient(scores_BN.float()))


def test_gumbel_takes_documents_as_often_as_the_softmax_says() -> None:
    num_draws = 20_000
    scores_N = torch.tensor([0.02, 0.01, 0.0, -0.03])
    layer = StraightThroughTopK(k=1, noise="gumbel").train()
    generator = torch.Generator().manual_seed(0)
    indices_BK = layer(scores_N.expand(num_draws, 4), generator=generator).indices_BK
    shares_N = indices_BK.flatten().bincount(minlength=4) / num_draws
    torch.testing.assert_close(shares_N, (scores_N / TAU).softmax(dim=0), atol=0.012, rtol=0)


def test_gumbel_is_repeatable_with_a_generator_and_off_in_evaluation() -> None:
    layer, scores_BN = StraightThroughTopK(k=2, noise="gumbel"), 0.01 * random_scores(32, 6)
    draws = [layer(scores_BN, generator=torch.Generator().manual_seed(3)).indices_BK for _ in range(2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], scores_BN.topk(2).indices)
    assert torch.equal(layer.eval()(scores_BN).indices_BK, scores_BN.topk(2).indices)


def test_gumbel_keeps_masked_candidates_out() -> None:
    mask_BN = torch.tensor([[True, False, True]]).expand(500, 3)
    indices_BK = StraightThroughTopK(k=2, noise="gumbel")(
        torch.tensor([[0.0, 9.0, 0.0]]).expand(500, 3), mask_BN
    ).indices_BK
    assert (indices_BK != 1).all()


def test_gumbel_noise_is_finite_and_fp32() -> None:
    noise_BN = gumbel_perturb(torch.zeros(100, 1000, dtype=torch.bfloat16), scale=1.0)
    assert noise_BN.dtype == torch.float32
    assert noise_BN.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_mix_reads_exactly_the_memory_of_the_taken_documents(dtype: torch.dtype, autocast: bool) -> None:
    memory_BNLD = (100 * random_scores(3, 7, 2, 5)).to(dtype)
    selection_BKN, indices_BK = straight_through_top_k(random_scores(3, 7, seed=1), k=4, temperature=TAU)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        read_BKLD = mix(selection_BKN, memory_BNLD)
    assert read_BKLD.dtype == dtype
    assert torch.equal(read_BKLD, memory_BNLD[torch.arange(3).unsqueeze(1), indices_BK])


def test_mix_gives_gradient_to_the_taken_memory_alone() -> None:
    memory_BNLD = random_scores(1, 4, 2, 3).requires_grad_()
    selection_BKN, indices_BK = straight_through_top_k(random_scores(1, 4, seed=1), k=2, temperature=TAU)
    torch.autograd.backward(mix(selection_BKN, memory_BNLD).sum())
    assert memory_BNLD.grad is not None
    assert memory_BNLD.grad.sum(dim=(2, 3)).nonzero()[:, 1].tolist() == sorted(indices_BK[0].tolist())


def test_slot_probabilities_are_those_of_the_documents_not_yet_taken() -> None:
    scores_BN = random_scores(3, 6)
    found_BKN = slot_probabilities(scores_BN, k=4, temperature=0.3)
    for scores_N, found_KN in zip(scores_BN, found_BKN, strict=True):
        order = scores_N.argsort(descending=True).tolist()
        rows = [plain_probabilities(scores_N, order[:j], temperature=0.3) for j in range(4)]
        torch.testing.assert_close(found_KN, torch.stack(rows))


def test_slot_probabilities_are_what_the_gradient_of_the_selection_is_of() -> None:
    scores_BN, mask_BN = random_scores(2, 6), torch.tensor([[True] * 6, [True, False] * 3])
    weights = random_scores(2, 3, 6, seed=9)
    gradients = []
    for choose in (lambda s: straight_through_top_k(s, mask_BN, k=3, temperature=TAU)[0], None):
        scores = scores_BN.clone().requires_grad_()
        chosen = choose(scores) if choose else slot_probabilities(scores, mask_BN, k=3, temperature=TAU)
        (chosen * weights).sum().backward()
        gradients.append(scores.grad)
    assert torch.equal(gradients[0], gradients[1])


def test_entropy_of_the_selection_is_that_of_its_slots_counted_by_hand() -> None:
    soft_BKN = torch.tensor([[[0.25, 0.25, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0]]])
    assert float(selection_entropy(soft_BKN)) == pytest.approx(1.5 * math.log(2) / 2)
    uniform_BKN = slot_probabilities(torch.zeros(2, 5), k=1, temperature=TAU)
    assert float(selection_entropy(uniform_BKN)) == pytest.approx(math.log(5))
