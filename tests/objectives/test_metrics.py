"""Metrics against plain Python: over batches, over processes, and where implementations go wrong."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from clara_lightning.errors import ClaraError
from clara_lightning.objectives.metrics import AnswerScores, RetrievalScores, collapse_statistics

PREDICTIONS = ["Paris", "the city of Rome", "", "Oslo"]
REFERENCES = [["Paris"], ["Rome", "Roma"], ["Bern"], ["Lima", "oslo!"]]


def looped_retrieval(scores: list[list[float]], gold: list[list[bool]], *, k: int) -> tuple[float, float]:
    """Mean Recall@k and MRR over the rows with gold."""
    recalls, reciprocals = [], []
    for row, golds in zip(scores, gold, strict=True):
        if any(golds):
            ranked = sorted(range(len(row)), key=lambda n: (-row[n], n))
            recalls.append(sum(golds[n] for n in ranked[:k]) / sum(golds))
            reciprocals.append(1 / (1 + [golds[n] for n in ranked].index(True)))
    return sum(recalls) / len(recalls), sum(reciprocals) / len(reciprocals)


def batch(seed: int = 0, num_questions: int = 12, num_documents: int = 9) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores_BN = (
        torch.randint(-5, 5, (num_questions, num_documents), generator=generator) / 5
    )  # with ties, half negative
    return scores_BN, torch.rand(num_questions, num_documents, generator=generator) < 0.2


def values(metric: AnswerScores | RetrievalScores) -> dict[str, float]:
    return {name: score.item() for name, score in metric.compute().items()}


def test_answer_scores_are_means_over_all_batches() -> None:
    metric = AnswerScores()
    metric.update(PREDICTIONS[:3], REFERENCES[:3])
    metric.update(PREDICTIONS[3:], REFERENCES[3:])
    metric.update([], [])
    assert values(metric) == pytest.approx({"em": 2 / 4, "f1": (1 + 0.5 + 0 + 1) / 4, "cover_em": 3 / 4})


def test_answer_scores_before_the_first_question_are_nan() -> None:
    metric = AnswerScores()
    metric.update([], [])
    assert all(math.isnan(score) for score in values(metric).values())


def test_answer_scores_refuse_lists_of_different_lengths() -> None:
    with pytest.raises(ClaraError, match=r"as many as references \(2\), got 1"):
        AnswerScores().update(["a"], [["a"], ["b"]])


@pytest.mark.parametrize("k", [1, 3, 20])
def test_retrieval_scores_equal_the_loops_with_ties_and_negative_scores(k: int) -> None:
    scores_BN, gold_BN = batch()
    metric = RetrievalScores(top_k=(k,))
    metric.update(scores_BN[:5], gold_BN[:5])
    metric.update(scores_BN[5:], gold_BN[5:])
    recall, reciprocal_rank = looped_retrieval(scores_BN.tolist(), gold_BN.tolist(), k=k)
    assert values(metric) == pytest.approx({f"recall@{k}": recall, "mrr": reciprocal_rank})


def test_negative_cosines_are_retrieved_too() -> None:
    metric = RetrievalScores(top_k=(1,))
    metric.update(torch.tensor([[-0.1, -0.2]]), torch.tensor([[True, False]]))
    assert values(metric) == {"recall@1": 1.0, "mrr": 1.0}


def test_questions_without_gold_are_left_out_and_counted() -> None:
    metric = RetrievalScores(top_k=(1,))
    metric.update(torch.tensor([[0.9, 0.1], [0.9, 0.1]]), torch.tensor([[True, False], [False, False]]))
    assert values(metric) == {"recall@1": 1.0, "mrr": 1.0}
    assert (metric.num_questions.item(), metric.num_without_gold.item()) == (1, 1)


def test_gold_documents_that_a_search_missed_count_against_recall() -> None:
    metric = RetrievalScores(top_k=(1, 2))
    scores_BN, gold_BN = torch.tensor([[0.3, 0.2]] * 3), torch.tensor([[False, True], [False, False], [False, False]])
    metric.update(scores_BN, gold_BN, num_gold_B=torch.tensor([4, 1, 0]))
    assert values(metric) == pytest.approx({"recall@1": 0.0, "recall@2": 0.25 / 2, "mrr": 0.5 / 2})
    assert (metric.num_questions.item(), metric.num_without_gold.item()) == (2, 1)


def test_equal_scores_rank_by_index() -> None:
    metric = RetrievalScores(top_k=(1,))
    metric.update(torch.zeros(1, 200), torch.arange(200).unsqueeze(0) == 40)
    assert values(metric)["mrr"] == pytest.approx(1 / 41)


def test_masked_candidates_rank_behind_all_others() -> None:
    metric = RetrievalScores(top_k=(1,))
    metric.update(
        torch.tensor([[0.9, -0.1, -0.5]]), torch.tensor([[False, True, False]]), torch.tensor([[False, True, True]])
    )
    assert values(metric) == {"recall@1": 1.0, "mrr": 1.0}


def test_a_masked_gold_document_is_refused() -> None:
    with pytest.raises(ClaraError, match="mask_BN must not hide a gold document"):
        RetrievalScores().update(torch.zeros(1, 2), torch.tensor([[True, False]]), torch.tensor([[False, True]]))


@pytest.mark.parametrize("top_k", [(), (0, 5)])
def test_a_top_k_below_one_is_refused(top_k: tuple[int, ...]) -> None:
    with pytest.raises(ClaraError, match="top_k must hold numbers >= 1"):
        RetrievalScores(top_k=top_k)


def test_reset_forgets() -> None:
    metric = RetrievalScores()
    metric.update(*batch())
    metric.reset()
    assert metric.num_questions.item() == 0


def score_share(rank: int, folder: Path) -> None:
    """One of two processes: score some of the rows, reduce, write what this process sees."""
    dist.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=2)
    retrieval, answers = RetrievalScores(), AnswerScores()
    scores_BN, gold_BN = batch()
    rows = slice(0, 3) if rank == 0 else slice(3, None)  # uneven, as the last batch of an epoch
    retrieval.update(scores_BN[rows], gold_BN[rows])
    answers.update(PREDICTIONS[rows], REFERENCES[rows])
    (folder / f"{rank}.json").write_text(json.dumps(values(retrieval) | values(answers)))
    dist.destroy_process_group()


def test_two_processes_score_as_one(tmp_path: Path) -> None:
    # This file as a script, and not torch's spawn: that cannot import a test under pytest's importlib mode.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen([sys.executable, __file__, str(r), str(tmp_path)], env=environment) for r in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    retrieval, answers = RetrievalScores(), AnswerScores()
    retrieval.update(*batch())
    answers.update(PREDICTIONS, REFERENCES)
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == pytest.approx(values(retrieval) | values(answers))


def test_healthy_retrieval_selects_other_documents_for_every_question() -> None:
    statistics = collapse_statistics(torch.arange(12).view(4, 3))
    assert statistics == pytest.approx({"distinct_share": 1.0, "top_share": 0.25, "entropy": 1.0})


def test_collapsed_retrieval_selects_the_same_documents_for_every_question() -> None:
    statistics = collapse_statistics(torch.tensor([5, 9, 2]).expand(4, 3))
    assert statistics == pytest.approx({"distinct_share": 0.25, "top_share": 1.0, "entropy": 0.0})


def test_one_question_cannot_collapse() -> None:
    assert collapse_statistics(torch.tensor([[3, 4]]))["entropy"] == 1.0


if __name__ == "__main__":
    score_share(int(sys.argv[1]), Path(sys.argv[2]))
