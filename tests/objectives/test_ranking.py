"""Figures of rankings against TREC's own program, torchmetrics, and counting."""

from __future__ import annotations

import random

import pytest
import torch
from torchmetrics.functional.retrieval import (
    retrieval_average_precision,
    retrieval_normalized_dcg,
    retrieval_precision,
    retrieval_recall,
    retrieval_reciprocal_rank,
)

from clara_lightning.objectives.ranking import average_precision, ndcg_at, precision_at, recall_at, reciprocal_rank

CUTOFFS = (1, 5, 10)


def random_run(seed: int, *, num_documents: int = 30, depth: int = 20) -> tuple[list[float], list[int], list[int]]:
    """Scores with many ties, the documents that a search of some depth returns, and the gold ones, found or not."""
    draw = random.Random(seed)
    scores = [draw.randint(-3, 3) / 3 for _ in range(num_documents)]
    ranked = sorted(range(num_documents), key=lambda number: (-scores[number], number))[:depth]
    return scores, ranked, sorted(draw.sample(range(num_documents), draw.randint(1, 6)))


def gold_ranks(ranked: list[int], gold: list[int]) -> list[int | None]:
    return [ranked.index(number) + 1 if number in ranked else None for number in gold]


def figures(ranks: list[int | None]) -> dict[str, float]:
    found = {"recip_rank": reciprocal_rank(ranks), "map": average_precision(ranks)}
    for k in CUTOFFS:
        found |= {
            f"recall_{k}": recall_at(k, ranks),
            f"P_{k}": precision_at(k, ranks),
            f"ndcg_cut_{k}": ndcg_at(k, ranks),
        }
    return found


@pytest.mark.parametrize("seed", range(40))
def test_figures_are_those_of_trec_also_with_ties_and_documents_that_are_not_found(seed: int) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    scores, ranked, gold = random_run(seed)
    # The program orders equal scores by name, the last one first; ours takes the lower number first.
    name = {number: f"d{999 - number}" for number in range(len(scores))}
    evaluator = pytrec_eval.RelevanceEvaluator(
        {"q": {name[number]: 1 for number in gold}},
        {"recip_rank", "map", "recall.1,5,10", "P.1,5,10", "ndcg_cut.1,5,10"},
    )

    theirs = evaluator.evaluate({"q": {name[number]: scores[number] for number in ranked}})["q"]

    assert figures(gold_ranks(ranked, gold)) == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_over_a_complete_list_figures_are_those_of_torchmetrics(seed: int) -> None:
    _, ranked, gold = random_run(seed, depth=30)
    place = torch.tensor([float(30 - ranked.index(number)) for number in range(30)])  # without ties, all above 0
    target = torch.tensor([number in gold for number in range(30)])
    ours = figures(gold_ranks(ranked, gold))

    assert ours["map"] == pytest.approx(retrieval_average_precision(place, target).item(), abs=1e-6)
    assert ours["recip_rank"] == pytest.approx(retrieval_reciprocal_rank(place, target).item(), abs=1e-6)
    for k in CUTOFFS:
        assert ours[f"recall_{k}"] == pytest.approx(retrieval_recall(place, target, top_k=k).item(), abs=1e-6)
        assert ours[f"P_{k}"] == pytest.approx(retrieval_precision(place, target, top_k=k).item(), abs=1e-6)
        assert ours[f"ndcg_cut_{k}"] == pytest.approx(retrieval_normalized_dcg(place, target, top_k=k).item(), abs=1e-6)


def test_where_nothing_is_found_every_figure_is_0() -> None:
    assert set(figures([None, None]).values()) == {0.0}


def test_where_all_gold_documents_come_first_recall_ndcg_and_map_are_1() -> None:
    found = figures([2, 1, 3])

    assert [found[name] for name in ("recall_5", "ndcg_cut_5", "map", "recip_rank", "P_1")] == [1.0] * 5
    assert found["recall_1"] == pytest.approx(1 / 3)
    assert found["P_10"] == pytest.approx(0.3)
