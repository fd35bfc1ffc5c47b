"""Metrics that accumulate over batches and processes, and monitors of the selection.

Every state is a sum, so that a reduction over processes gives what one process would have given.

Shapes: B questions, N candidate documents, K selected documents.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.retrieval import retrieval_recall, retrieval_reciprocal_rank

from clara_lightning.errors import ClaraError
from clara_lightning.objectives.answers import cover_exact_match, exact_match, token_f1


class AnswerScores(Metric):
    """Mean exact match, token F1 and cover-EM over questions (:mod:`clara_lightning.objectives.answers`).

    Args:
        kwargs: of :class:`torchmetrics.Metric`.

    Example:
        >>> metric = AnswerScores()
        >>> metric.update(["Paris", "in the city of Rome"], [["Paris"], ["Rome", "Roma"]])
        >>> {name: round(score.item(), 2) for name, score in metric.compute().items()}
        {'em': 0.5, 'f1': 0.7, 'cover_em': 1.0}
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    exact_sum: Tensor
    f1_sum: Tensor
    cover_sum: Tensor
    num_questions: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("exact_sum", "f1_sum", "cover_sum"):
            self.add_state(name, default=torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("num_questions", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
        """Add a batch.

        Args:
            predictions: B generated answers.
            references: B lists of acceptable answers.

        Raises:
            ClaraError: the lengths differ, or a question has no reference.
        """
        if len(predictions) != len(references):
            raise ClaraError(f"predictions must be as many as references ({len(references)}), got {len(predictions)}")
        pairs = list(zip(predictions, references, strict=True))
        self.exact_sum += sum(exact_match(prediction, references=answers) for prediction, answers in pairs)
        self.f1_sum += sum(token_f1(prediction, references=answers) for prediction, answers in pairs)
        self.cover_sum += sum(cover_exact_match(prediction, references=answers) for prediction, answers in pairs)
        self.num_questions += len(pairs)

    def compute(self) -> dict[str, Tensor]:
        """Means over all questions, ``{"em", "f1", "cover_em"}`` in [0, 1]; nan before the first question."""
        sums = {"em": self.exact_sum, "f1": self.f1_sum, "cover_em": self.cover_sum}
        return {name: total / self.num_questions for name, total in sums.items()}


class RetrievalScores(Metric):
    r"""Mean Recall@k, :math:`|\mathrm{hits\ in\ top\ }k| / |\mathrm{gold}|` (paper arXiv 2511.18659), and MRR.

    Means over the questions that have a gold document; ``num_without_gold`` counts the others.

    Args:
        top_k: the k of Recall@k; more than there are candidates counts them all.
        kwargs: of :class:`torchmetrics.Metric`.

    Raises:
        ClaraError: a k is below 1, or there is none.

    Example:
        >>> metric = RetrievalScores(top_k=(1, 2))
        >>> metric.update(torch.tensor([[0.1, -0.3, 0.2]]), torch.tensor([[True, True, False]]))
        >>> metric.compute()
        {'recall@1': tensor(0.), 'recall@2': tensor(0.5000), 'mrr': tensor(0.5000)}
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    recall_sums: Tensor
    reciprocal_rank_sum: Tensor
    num_questions: Tensor
    num_without_gold: Tensor

    def __init__(self, *, top_k: Sequence[int] = (1, 5), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not top_k or min(top_k) < 1:
            raise ClaraError(f"top_k must hold numbers >= 1, got {tuple(top_k)}")
        self.top_k = tuple(top_k)
        self.add_state("recall_sums", default=torch.zeros(len(self.top_k)), dist_reduce_fx="sum")
        self.add_state("reciprocal_rank_sum", default=torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("num_questions", default=torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("num_without_gold", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(
        self,
        scores_BN: Tensor,
        gold_BN: Tensor,
        mask_BN: Tensor | None = None,
        *,
        num_gold_B: Tensor | None = None,
    ) -> None:
        """Add a batch. Of equal scores the lower index ranks first, as in the selection.

        Args:
            scores_BN: scores of any range and sign.
            gold_BN: True for gold documents.
            mask_BN: True where a candidate exists; None means everywhere.
            num_gold_B: gold documents of each question, where some may not be among the candidates (a search);
                a question whose gold documents are all missing counts with 0. None means all are among them.

        Raises:
            ClaraError: a gold document is masked.
        """
        mask_BN = torch.ones_like(gold_BN) if mask_BN is None else mask_BN
        if (gold_BN & ~mask_BN).any():
            raise ClaraError("mask_BN must not hide a gold document")
        ranks_BN = _rank_scores(scores_BN.masked_fill(~mask_BN, -torch.inf)).cpu()
        found_B = gold_BN.sum(dim=-1)
        wanted_B = found_B if num_gold_B is None else num_gold_B
        for ranks_N, gold_N, found, wanted in zip(
            ranks_BN, gold_BN.cpu(), found_B.tolist(), wanted_B.tolist(), strict=True
        ):
            if not wanted:
                self.num_without_gold += 1
                continue
            self.num_questions += 1
            if found:
                recalls = [retrieval_recall(ranks_N, gold_N, top_k=k) for k in self.top_k]
                self.recall_sums += torch.stack(recalls).to(self.device) * (found / wanted)
                self.reciprocal_rank_sum += retrieval_reciprocal_rank(ranks_N, gold_N).to(self.device)

    def compute(self) -> dict[str, Tensor]:
        """``{"recall@k" for each k, "mrr"}`` in [0, 1]; nan without a question that has gold."""
        recalls = self.recall_sums / self.num_questions
        scores = {f"recall@{k}": recall for k, recall in zip(self.top_k, recalls, strict=True)}
        return scores | {"mrr": self.reciprocal_rank_sum / self.num_questions}


def collapse_statistics(document_ids_BK: Tensor) -> dict[str, float]:
    r"""Tell whether retrieval has collapsed to the same documents for every question.

    With :math:`n_d` the questions of the batch that selected document d:

    - ``distinct_share``: different documents / (B K); 1 is healthy, 1 / B is collapsed.
    - ``top_share``: :math:`\max_d n_d / B`; 1 means that one document is selected for every question.
    - ``entropy``: of :math:`n_d / (B K)`, scaled from its least value (log K, the same K for all) to 0 and from its
      greatest (log B K, all different) to 1.

    Args:
        document_ids_BK: which documents were selected, as numbers that mean the same for all questions (rows of a
            store, not places among a question's candidates), different within a question.

    Returns:
        The three. A single question (B = 1) cannot collapse: its entropy is 1.

    Example:
        >>> statistics = collapse_statistics(torch.tensor([[7, 8], [7, 9]]))
        >>> {name: round(value, 2) for name, value in statistics.items()}
        {'distinct_share': 0.75, 'top_share': 1.0, 'entropy': 0.5}
    """
    num_questions, num_slots = document_ids_BK.shape
    counts = Counter(document_ids_BK.flatten().tolist())
    shares = [count / counts.total() for count in counts.values()]
    entropy = -math.fsum(share * math.log(share) for share in shares)
    return {
        "distinct_share": len(counts) / counts.total(),
        "top_share": max(counts.values()) / num_questions,
        "entropy": (entropy - math.log(num_slots)) / math.log(num_questions) if num_questions > 1 else 1.0,
    }


def score_spread(scores_BN: Tensor, mask_BN: Tensor) -> Tensor:
    """Standard deviation of each question's scores over its candidates ``(B,)``: near 0, nothing is told apart.

    Args:
        scores_BN: finite scores.
        mask_BN: True where a candidate exists.

    Example:
        >>> score_spread(torch.tensor([[0.1, 0.3, 9.0]]), torch.tensor([[True, True, False]]))
        tensor([0.1000])
    """
    count_B = mask_BN.sum(dim=-1).clamp_min(1)
    mean_B1 = (scores_BN.masked_fill(~mask_BN, 0.0).sum(dim=-1) / count_B).unsqueeze(1)
    centred_BN = (scores_BN - mean_B1).masked_fill(~mask_BN, 0.0)
    return (centred_BN.square().sum(dim=-1) / count_B).sqrt()


def _rank_scores(scores_BN: Tensor) -> Tensor:
    """N for the best document down to 1 for the last.

    torchmetrics does not count a document whose score is <= 0 as retrieved, which half of all cosines are, and leaves
    ties to the sort. Ranks have neither.
    """
    order_BN = scores_BN.sort(dim=-1, descending=True, stable=True).indices
    return (scores_BN.shape[-1] - order_BN.argsort(dim=-1)).float()
