"""Scores against NumPy loops and finite differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from clara_lightning.corpus.fusion import Found, fuse
from clara_lightning.objectives.scores import flat_cosine, fused, maxsim, mean_cosine
from clara_lightning.objectives.scores import score as named_score


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = np.sqrt((a * a).sum()) * np.sqrt((b * b).sum())
    return float((a * b).sum() / lengths) if lengths > 0 else 0.0


def looped_flat_cosine(query: np.ndarray, memory: np.ndarray) -> list[list[float]]:
    return [[cosine(q.ravel(), m.ravel()) for m in memory[b]] for b, q in enumerate(query)]


def looped_maxsim(query: np.ndarray, memory: np.ndarray, weights: np.ndarray) -> list[list[float]]:
    scores = []
    for q, documents, w in zip(query, memory, weights, strict=True):
        w = w / w.sum() if w.sum() > 0 else np.full(len(w), 1 / len(w))
        scores.append(
            [sum(wj * max(cosine(qj, mi) for mi in m) for wj, qj in zip(w, q, strict=True)) for m in documents]
        )
    return scores


def looped_mean_cosine(query: np.ndarray, memory: np.ndarray) -> list[list[float]]:
    return [[cosine(q.mean(axis=0), m.mean(axis=0)) for m in memory[b]] for b, q in enumerate(query)]


def uniform_maxsim(query_BLD: Tensor, memory: Tensor) -> Tensor:
    return maxsim(query_BLD, memory, torch.ones(query_BLD.shape[:2]))


Scorer = Callable[[Tensor, Tensor], Tensor]
every = pytest.mark.parametrize("score", [flat_cosine, uniform_maxsim, mean_cosine])


def test_flat_cosine_equals_the_loop() -> None:
    query, memory = normal(3, 4, 5), normal(3, 6, 4, 5, seed=1)
    expected = torch.tensor(looped_flat_cosine(query.numpy(), memory.numpy()), dtype=torch.float64)
    torch.testing.assert_close(flat_cosine(query, memory), expected)


def test_vectors_that_count_nothing_are_left_out_and_nothing_else_changes() -> None:
    query, memory, weights = normal(3, 6, 5), normal(3, 4, 7, 5, seed=1), normal(3, 6, seed=2).abs()
    for number, places in enumerate(([0, 2], [1, 3, 4], [5])):
        weights[number, places] = 0.0
    queries = [query.clone().requires_grad_() for _ in range(2)]
    learned = weights.clone().requires_grad_()  # one of 0 may grow: nothing is left out
    few, all_ = maxsim(queries[0], memory, weights), maxsim(queries[1], memory, learned)
    expected = torch.tensor(looped_maxsim(query.numpy(), memory.numpy(), weights.numpy()), dtype=torch.float64)
    torch.testing.assert_close(few, expected)
    few.sum().backward()
    all_.sum().backward()
    assert queries[0].grad is not None and queries[1].grad is not None and learned.grad is not None
    torch.testing.assert_close(queries[0].grad, queries[1].grad)
    assert learned.grad[weights == 0].abs().min() > 0


def test_a_question_that_counts_nothing_keeps_the_vectors_of_all() -> None:
    query, memory = normal(2, 3, 5), normal(2, 4, 7, 5, seed=1)
    weights = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    expected = torch.tensor(looped_maxsim(query.numpy(), memory.numpy(), weights.numpy()), dtype=torch.float64)
    torch.testing.assert_close(maxsim(query, memory, weights), expected)


def test_maxsim_equals_the_loop_also_for_another_number_of_memory_tokens() -> None:
    query, memory, weights = normal(3, 4, 5), normal(3, 6, 7, 5, seed=1), normal(3, 4, seed=2).abs()
    weights[1] = 0.0
    expected = torch.tensor(looped_maxsim(query.numpy(), memory.numpy(), weights.numpy()), dtype=torch.float64)
    torch.testing.assert_close(maxsim(query, memory, weights), expected)


def test_mean_cosine_equals_the_loop_also_for_another_number_of_memory_tokens() -> None:
    query, memory = normal(3, 4, 5), normal(3, 6, 7, 5, seed=1)
    expected = torch.tensor(looped_mean_cosine(query.numpy(), memory.numpy()), dtype=torch.float64)
    torch.testing.assert_close(mean_cosine(query, memory), expected)


def test_mean_cosine_sees_neither_order_nor_padding() -> None:
    query, memory = normal(2, 3, 4), normal(5, 3, 4, seed=1)
    padded = torch.cat([query, torch.zeros(2, 2, 4)], dim=1)
    torch.testing.assert_close(mean_cosine(padded, memory[:, [2, 0, 1]]), mean_cosine(query, memory))


def test_opposite_tokens_have_no_mean_and_score_zero() -> None:
    assert mean_cosine(torch.ones(1, 1, 2), torch.tensor([[[1.0, 2.0], [-1.0, -2.0]]])).item() == 0.0


@every
def test_shared_documents_score_as_if_repeated_for_each_question(score: Scorer) -> None:
    query, memory = normal(3, 4, 5), normal(6, 4, 5, seed=1)
    torch.testing.assert_close(score(query, memory), score(query, memory.expand(3, 6, 4, 5)))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 4, 5)])
@every
def test_gradient_equals_finite_differences(score: Scorer, shape: tuple[int, ...]) -> None:
    query, memory = normal(2, 4, 5).requires_grad_(), normal(*shape, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(score, (query, memory))


def test_maxsim_differentiates_its_weights() -> None:
    query, memory, weights = normal(2, 3, 4), normal(2, 2, 3, 4, seed=1), normal(2, 3, seed=2).abs().requires_grad_()
    assert torch.autograd.gradcheck(maxsim, (query, memory, weights))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@every
def test_scores_stay_in_bounds_and_ignore_length(score: Scorer, scale: float) -> None:
    query, memory = normal(4, 2, 2).float(), normal(4, 50, 2, 2, seed=1).float()
    scores = score(scale * query, memory / scale)
    assert scores.abs().max() <= 1 + 1e-6
    torch.testing.assert_close(scores, score(query, memory))


@every
def test_a_document_scores_one_with_itself_and_less_with_its_opposite(score: Scorer) -> None:
    query = normal(1, 3, 8)
    scores = score(query, torch.stack([query[0], -query[0]]))
    assert scores[0, 0].item() == pytest.approx(1.0)
    assert scores[0, 1] < 0.9


def test_flat_cosine_compares_by_place_and_maxsim_does_not() -> None:
    query = torch.eye(4).unsqueeze(0)
    shuffled = query[:, [1, 2, 3, 0]]
    assert flat_cosine(query, shuffled).item() == 0.0
    assert uniform_maxsim(query, shuffled).item() == 1.0


@every
def test_zero_vectors_score_zero_without_gradient(score: Scorer) -> None:
    query = torch.zeros(2, 3, 4).index_fill_(0, torch.tensor([1]), 1.0).requires_grad_()
    memory = torch.zeros(2, 5, 3, 4).index_fill_(1, torch.tensor([1]), 1.0).requires_grad_()
    scores = score(query, memory)
    torch.autograd.backward(scores.sum())
    assert (scores[0] == 0).all()
    assert (scores[1, [0, 2, 3, 4]] == 0).all()
    assert query.grad is not None
    assert memory.grad is not None
    assert (query.grad[0] == 0).all()
    assert (memory.grad[:, [0, 2, 3, 4]] == 0).all()


@every
def test_half_precision_is_scored_in_fp32_also_under_autocast(score: Scorer) -> None:
    query, memory = normal(2, 4, 64).bfloat16(), normal(2, 6, 4, 64, seed=1).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = score(query, memory)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, score(query.double(), memory.double()).float(), atol=1e-6, rtol=1e-5)


def test_a_configuration_names_the_score() -> None:
    query, memory, weights = normal(2, 4, 5), normal(2, 3, 4, 5, seed=1), normal(2, 4, seed=2).abs()
    assert torch.equal(named_score("flat", query, memory, weights), flat_cosine(query, memory))
    assert torch.equal(named_score("mean", query, memory, weights), mean_cosine(query, memory))
    assert torch.equal(named_score("maxsim", query, memory, weights), maxsim(query, memory, weights))


def test_flat_cosine_refuses_memory_of_another_shape_and_the_same_size() -> None:
    with pytest.raises(RuntimeError):
        flat_cosine(normal(1, 4, 6), normal(1, 2, 6, 4))


def test_fused_scores_are_those_that_a_hybrid_search_ranks_by() -> None:
    latent, lexical = (0.3, -0.2, 0.9, 0.5), (2.0, 7.0, 0.0, 2.0)
    rows = tuple(range(4))
    wanted = fuse(Found(rows, latent), Found(rows, lexical), method="weighted", weight=0.3, top_k=4)

    found = fused(torch.tensor([latent]), torch.tensor([lexical]), weight=0.3)

    assert found[0, list(wanted.rows)].tolist() == pytest.approx(wanted.scores)


def test_fused_scores_leave_out_what_is_masked_and_bear_equal_ones() -> None:
    latent_BN, mask_BN = (
        torch.tensor([[0.1, 0.2, 5.0], [0.4, 0.4, 0.4]]),
        torch.tensor([[True, True, False], [True] * 3]),
    )
    found = fused(latent_BN, torch.tensor([[1.0, 3.0, 99.0], [0.0, 0.0, 2.0]]), mask_BN, weight=0.5)
    torch.testing.assert_close(found, torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.5, 1.0]]))


def test_the_gradient_of_fused_scores_is_that_of_finite_differences() -> None:
    draw = torch.Generator().manual_seed(0)
    latent_BN = torch.randn(2, 5, generator=draw, dtype=torch.float64).requires_grad_()
    lexical_BN = torch.rand(2, 5, generator=draw, dtype=torch.float64)
    mask_BN = torch.tensor([[True] * 5, [True, True, True, False, False]])
    assert torch.autograd.gradcheck(lambda each: fused(each, lexical_BN, mask_BN, weight=0.4), latent_BN)
