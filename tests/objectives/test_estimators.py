"""The selection that sums estimators: forward hard documents, backward what each estimator says."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from clara_lightning.errors import ClaraError
from clara_lightning.objectives.estimators import (
    Contrastive,
    Distill,
    Estimator,
    Gumbel,
    LeaveOneOut,
    Published,
    ReinMax,
    StraightThrough,
)
from clara_lightning.objectives.gradients import distillation
from clara_lightning.objectives.losses import info_nce
from clara_lightning.objectives.selection import Selected, Selection, standardise
from clara_lightning.objectives.topk import StraightThroughTopK

ALL = (StraightThrough(), Published(), Gumbel(), ReinMax(), LeaveOneOut(), Distill(), Contrastive(in_batch=False))
B, N, K, TAU = 3, 6, 2, 0.5


def scores(*, seed: int = 0) -> Tensor:
    return torch.randn(B, N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


class Reader:
    """Reads candidates that cost what is said; the first candidate is gold, but for the last question, which has none.

    Args:
        scores_BN: the scores that are taught.
        costs_N: of each candidate.
    """

    def __init__(self, scores_BN: Tensor, costs_N: Tensor | None = None) -> None:
        self.scores_BN = scores_BN
        self.costs_N = torch.linspace(1, 2, scores_BN.shape[1]).double() if costs_N is None else costs_N
        self.calls: list[tuple[Tensor, Tensor | None]] = []
        self.contrasted_BH: Tensor | None = None

    @property
    def has_gold_B(self) -> Tensor:
        return torch.arange(len(self.scores_BN)) < len(self.scores_BN) - 1

    def alone(self, places_BM: Tensor, asked_B: Tensor | None = None) -> Tensor:
        self.calls.append((places_BM, asked_B))
        return self.costs_N[places_BM]

    def contrast(self, *, temperature: float | Tensor, in_batch: bool, places_BH: Tensor | None = None) -> Tensor:
        assert not in_batch
        self.contrasted_BH = places_BH
        gold_BN = torch.zeros_like(self.scores_BN, dtype=torch.bool)
        gold_BN[:, 0] = True
        mask_BN = torch.ones_like(gold_BN)
        mask_BN[:, -2:] = False
        return info_nce(self.scores_BN, gold_BN, mask_BN, temperature=temperature) * self.has_gold_B


def selected(
    estimators: Sequence[Estimator], scores_BN: Tensor, mask_BN: Tensor | None = None, *, seed: int = 0
) -> Selected:
    torch.manual_seed(seed)
    selection = Selection(k=K, estimators=estimators, temperature=TAU)
    found: Selected = selection(scores_BN, mask_BN, Reader(scores_BN))
    return found


def gradient(estimators: Sequence[Estimator], mask_BN: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
    """Of a loss that is linear in what is read, with the estimators' own losses."""
    scores_BN = scores()
    found = selected(estimators, scores_BN, mask_BN)
    reading = torch.randn(B, K, N, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    if weights is not None:
        found.weigh(-weights.log(), torch.zeros(B))
    total = (found.selection_BKN * reading).sum() + (0.0 if found.loss_B is None else found.loss_B.sum())
    (own,) = torch.autograd.grad(total, scores_BN)
    return own


@pytest.mark.parametrize("leaks", [False, True])
def test_straight_through_is_the_public_layer(leaks: bool) -> None:
    scores_BN = scores()
    layer = StraightThroughTopK(k=K, temperature=TAU, estimator="published" if leaks else "straight_through")
    selection_BKN, indices_BK = layer(scores_BN)
    found = selected([Published() if leaks else StraightThrough()], scores_BN)
    assert torch.equal(found.selection_BKN, selection_BKN) and torch.equal(found.indices_BK, indices_BK)
    reading = torch.randn(B, K, N, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    (own,) = torch.autograd.grad((selection_BKN * reading).sum(), scores_BN)
    assert torch.equal(gradient([Published() if leaks else StraightThrough()]), own)


@pytest.mark.parametrize("estimator", ALL, ids=lambda each: type(each).__name__)
def test_forward_is_hard_and_masked_candidates_have_no_part(estimator: Estimator) -> None:
    mask_BN = torch.ones(B, N, dtype=torch.bool)
    mask_BN[:, -2:] = False
    found = selected([estimator], scores(), mask_BN)
    assert torch.equal(found.selection_BKN.detach(), torch.nn.functional.one_hot(found.indices_BK, N).double())
    assert (found.indices_BK < N - 2).all()
    own = gradient([estimator], mask_BN)
    assert own.isfinite().all() and (own[:, -2:] == 0).all() and own.abs().sum() > 0


@pytest.mark.parametrize("estimator", ALL, ids=lambda each: type(each).__name__)
def test_evaluation_takes_the_best_and_reads_nothing_alone(estimator: Estimator) -> None:
    selection, reader = Selection(k=K, estimators=[estimator], temperature=TAU).eval(), Reader(scores())
    found = selection(scores(), None, reader)
    assert not reader.calls and torch.equal(found.indices_BK, scores().topk(K).indices)
    assert found.loss_B is None and not found.selection_BKN.requires_grad


def test_a_sum_has_the_weighted_sum_of_the_gradients() -> None:
    one, other = gradient([StraightThrough()]), gradient([Distill()])
    both = gradient([StraightThrough(weight=0.5), Distill(weight=3.0)])
    torch.testing.assert_close(both, 0.5 * one + 3.0 * other)


def test_success_weighs_each_questions_gradient_for_the_estimators_that_ask_for_it() -> None:
    weights = torch.tensor([0.25, 1.0, 2.0])
    plain, distilled = gradient([StraightThrough()]), gradient([Distill()])
    weighed = (StraightThrough(success_temperature=1.0), plain), (Distill(success_temperature=1.0), distilled)
    for estimator, alone in weighed:
        torch.testing.assert_close(gradient([estimator], weights=weights), weights.unsqueeze(1).double() * alone)
    mixed = gradient([StraightThrough(success_temperature=1.0), Distill()], weights=weights)
    torch.testing.assert_close(mixed, weights.unsqueeze(1).double() * plain + distilled)


@pytest.mark.parametrize("estimator", [Gumbel(), ReinMax(), LeaveOneOut()], ids=lambda each: type(each).__name__)
def test_documents_are_drawn_as_often_as_their_share(estimator: Estimator) -> None:
    scores_BN = torch.tensor([[0.0, 0.5, 1.0]]).double().expand(20_000, 3).requires_grad_()
    torch.manual_seed(0)
    found = Selection(k=2, estimators=[estimator], temperature=TAU)(scores_BN, None, Reader(scores_BN))
    often = torch.bincount(found.indices_BK[:, 0], minlength=3) / 20_000
    torch.testing.assert_close(often.double(), (scores_BN[0] / TAU).softmax(0).detach(), atol=0.012, rtol=0)


def test_leave_one_out_is_the_gradient_of_one_documents_cost_in_the_mean() -> None:
    leaf = torch.tensor([0.3, -0.2, 0.5, 0.0]).double().requires_grad_()
    cost_N = torch.tensor([1.0, 3.0, 2.0, 0.5]).double()
    torch.manual_seed(0)
    selection = Selection(k=2, estimators=[LeaveOneOut()], temperature=TAU)
    scores_BN = leaf.expand(20_000, 4)
    found = selection(scores_BN, None, Reader(scores_BN, cost_N))
    (mean,) = torch.autograd.grad(found.loss_B.mean(), leaf)
    (exact,) = torch.autograd.grad((leaf / TAU).softmax(0) @ cost_N, leaf)
    torch.testing.assert_close(mean, exact, atol=0.02, rtol=0)


def test_distill_reads_the_best_documents_alone() -> None:
    scores_BN = scores()
    reader = Reader(scores_BN)
    found = Selection(k=K, estimators=[Distill(documents=3)], temperature=TAU)(scores_BN, None, reader)
    best_BM = scores_BN.topk(3).indices
    ((read_BM, asked_B),) = reader.calls
    assert torch.equal(read_BM, best_BM) and asked_B is None
    once = distillation(scores_BN.gather(1, best_BM) / TAU, reader.costs_N[best_BM], temperature=0.1)
    torch.testing.assert_close(found.loss_B, once)


def test_gold_teaches_the_questions_that_have_it_and_the_reader_the_others() -> None:
    whole, gold = gradient([Distill()]), gradient([Contrastive(in_batch=False)])
    both = gradient([Contrastive(in_batch=False), Distill(unlabelled=True)])
    assert (gold[-1] == 0).all() and (gold[:-1] != 0).any()
    torch.testing.assert_close(both, torch.cat([gold[:-1], whole[-1:]]))


def test_the_contrastive_loss_is_at_the_temperature_of_the_scores() -> None:
    scores_BN = scores()
    found = selected([Contrastive(in_batch=False)], scores_BN)
    torch.testing.assert_close(found.loss_B, Reader(scores_BN).contrast(temperature=TAU, in_batch=False))


@pytest.mark.parametrize("hardest", [1, 3, N + 1])
def test_a_question_is_told_apart_from_its_best_scored_candidates(hardest: int) -> None:
    scores_BN, estimator = scores(), Contrastive(in_batch=False, hardest=hardest)
    reader = Reader(scores_BN)
    Selection(k=K, estimators=[estimator], temperature=TAU)(scores_BN, None, reader)
    assert reader.contrasted_BH is not None
    assert torch.equal(reader.contrasted_BH, scores_BN.topk(min(hardest, N)).indices)


def test_no_negatives_at_all_are_refused() -> None:
    with pytest.raises(ClaraError, match=r"estimators: hardest of Contrastive must be >= 1, got 0"):
        Contrastive(hardest=0)


def test_standardised_scores_have_mean_0_and_spread_1_over_the_candidates_that_are_there() -> None:
    scores_BN, mask_BN = scores(), torch.ones(B, N, dtype=torch.bool)
    mask_BN[0, 3:] = False
    found = standardise(scores_BN, mask_BN)
    kept = scores_BN[0, :3]
    torch.testing.assert_close(found[0, :3], (kept - kept.mean()) / kept.std(correction=0))
    assert (found[0, 3:] == 0).all()
    alike = torch.full((1, 4), 2.0).requires_grad_()
    torch.autograd.backward(standardise(alike).sum())
    assert alike.grad is not None and alike.grad.isfinite().all()
    assert torch.autograd.gradcheck(lambda each: standardise(each, mask_BN), scores_BN)


def test_standardising_makes_the_choice_the_same_for_scores_of_any_scale() -> None:
    one = Selection(k=K, temperature=TAU, standardised=True).logits(scores())
    other = Selection(k=K, temperature=TAU, standardised=True).logits(0.01 * scores() + 0.7)
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StraightThrough(weight=0.0), "weight of StraightThrough must be > 0, got 0.0"),
        (lambda: Distill(temperature=-1.0), "temperature of Distill must be > 0, got -1.0"),
        (lambda: Distill(documents=1), "documents of Distill must be >= 2, got 1"),
        (lambda: Contrastive(success_temperature=1.0), "success_temperature must not be given for Contrastive"),
        (lambda: Gumbel(success_temperature=0.0), "success_temperature of Gumbel must be > 0, got 0.0"),
        (lambda: Selection(k=1, estimators=[LeaveOneOut()]), "top_k must be from 2 to 8 .* LeaveOneOut, got 1"),
        (lambda: Selection(k=1, estimators=[]), "estimators must not be empty"),
        (lambda: Selection(k=1, final_temperature=0.0), "final_temperature must be > 0, got 0.0"),
        (lambda: Selection(k=1, final_temperature=0.1, learned=True), "final_temperature must not be given where"),
        (lambda: Selection(k=0), "top_k must be >= 1, got 0"),
        (lambda: Selection(k=1, temperature=math.nan), "temperature must be > 0, got nan"),
    ],
)
def test_a_setting_out_of_range_is_refused(make: object, message: str) -> None:
    with pytest.raises(ClaraError, match=message):
        make()  # type: ignore[operator]


def test_an_annealed_temperature_moves_by_the_same_factor_each_step() -> None:
    selection = Selection(k=1, temperature=1.0, final_temperature=0.01)
    found = []
    for progress in (0.0, 0.5, 1.0):
        selection.reach(progress)
        found.append(selection.temperature)
    assert found == pytest.approx([1.0, 0.1, 0.01])
    assert not list(selection.parameters())


def test_a_learned_temperature_has_the_gradient_of_finite_differences() -> None:
    reading = torch.randn(B, N, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    selection = Selection(k=1, estimators=[StraightThrough()], temperature=TAU, learned=True).double()
    assert selection.log_temperature is not None
    soft = (selection.logits(scores().detach()).softmax(1) * reading).sum()
    (own,) = torch.autograd.grad(soft, selection.log_temperature)

    def at(log_temperature: float) -> Tensor:
        return ((scores().detach() / math.exp(log_temperature)).softmax(1) * reading).sum()

    start, step = math.log(TAU), 1e-5
    assert float(own) == pytest.approx(float(at(start + step) - at(start - step)) / (2 * step), rel=1e-6)
    found = selection(scores(), None, Reader(scores()))
    (through,) = torch.autograd.grad((found.selection_BKN[:, 0] * reading).sum(), selection.log_temperature)
    torch.testing.assert_close(through, own)
