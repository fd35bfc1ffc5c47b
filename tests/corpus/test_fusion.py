"""Two rankings become one, by figures worked out by hand."""

from __future__ import annotations

import pytest

from clara_lightning.corpus.fusion import Found, FusionMethod, fuse

LATENT = Found((3, 1, 8), (0.9, 0.8, 0.5))
LEXICAL = Found((8, 3, 5), (12.0, 6.0, 4.0))
NOTHING = Found((), ())


def fused(method: FusionMethod, *, weight: float = 0.5, top_k: int = 10, k: int = 60) -> Found:
    return fuse(LATENT, LEXICAL, method=method, weight=weight, k=k, top_k=top_k)


def test_weighted_sums_scores_that_are_brought_to_between_0_and_1() -> None:
    # latent: 3 is 1, 1 is (0.8 - 0.5) / 0.4, 8 is 0; lexical: 8 is 1, 3 is (6 - 4) / 8, 5 is 0
    found = fused("weighted", weight=0.4)

    assert found.rows == (3, 1, 8, 5)
    assert found.scores == pytest.approx((0.6 * 1 + 0.4 * 0.25, 0.6 * 0.75, 0.4 * 1, 0.0))


def test_reciprocal_ranks_of_equal_weight_are_those_of_the_paper() -> None:
    found = fused("reciprocal_rank")

    assert found.rows == (3, 8, 1, 5)
    assert found.scores == pytest.approx((1 / 61 + 1 / 62, 1 / 63 + 1 / 61, 1 / 62, 1 / 63))


def test_the_weight_is_the_lexical_lists_part_of_reciprocal_ranks() -> None:
    found = fused("reciprocal_rank", weight=0.25, k=2)

    assert found.rows == (3, 8, 1, 5)
    assert found.scores == pytest.approx((1.5 / 3 + 0.5 / 4, 1.5 / 5 + 0.5 / 3, 1.5 / 4, 0.5 / 5))


@pytest.mark.parametrize("method", ["weighted", "reciprocal_rank"])
def test_at_the_ends_of_the_weight_one_list_alone_decides(method: FusionMethod) -> None:
    assert fused(method, weight=0.0, top_k=3).rows[:2] == (3, 1)
    assert fused(method, weight=1.0, top_k=2).rows == (8, 3)


@pytest.mark.parametrize("method", ["weighted", "reciprocal_rank"])
def test_a_document_that_one_list_has_gets_nothing_from_the_other(method: FusionMethod) -> None:
    alone = fuse(NOTHING, LEXICAL, method=method, weight=0.5, top_k=10)
    both = fused(method)

    scores = dict(zip(both.rows, both.scores, strict=True))
    assert scores[5] == dict(zip(alone.rows, alone.scores, strict=True))[5]


def test_a_list_of_equal_scores_gives_all_of_them_1() -> None:
    found = fuse(LATENT, Found((5,), (0.1,)), method="weighted", weight=0.5, top_k=2)

    assert found == Found((3, 5), (0.5, 0.5))


@pytest.mark.parametrize("method", ["weighted", "reciprocal_rank"])
def test_equal_fused_scores_go_by_row(method: FusionMethod) -> None:
    mirrored = fuse(Found((9, 2), (2.0, 1.0)), Found((2, 9), (2.0, 1.0)), method=method, weight=0.5, top_k=2)

    assert mirrored.rows == (2, 9)
    assert mirrored.scores[0] == mirrored.scores[1]


@pytest.mark.parametrize("method", ["weighted", "reciprocal_rank"])
def test_fewer_documents_are_the_first_of_more(method: FusionMethod) -> None:
    assert fused(method, top_k=2).rows == fused(method).rows[:2]


@pytest.mark.parametrize("method", ["weighted", "reciprocal_rank"])
def test_no_documents_are_an_empty_ranking(method: FusionMethod) -> None:
    assert fuse(NOTHING, NOTHING, method=method, weight=0.5, top_k=3) == NOTHING
