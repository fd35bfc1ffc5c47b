"""What a batch of questions finds in stage 3, the contrastive loss over it, and what a validation measures of it.

Shapes: B questions, N candidates, X documents of a batch, K documents taken, L memory tokens, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from clara_lightning.backbone.backbone import Compressed
from clara_lightning.corpus.candidates import Candidates, GoldDocuments
from clara_lightning.corpus.contrast import pool_documents
from clara_lightning.objectives.estimators import Selected
from clara_lightning.objectives.losses import info_nce
from clara_lightning.objectives.metrics import RetrievalScores
from clara_lightning.objectives.monitors import SelectionCollapse
from clara_lightning.objectives.scores import ScoreName, score
from clara_lightning.objectives.topk import mix


class Found(NamedTuple):
    """Query vectors, candidates, their scores ``(B, N)``, and what was taken of them."""

    query: Compressed
    candidates: Candidates
    scores_BN: Tensor
    selected: Selected

    @property
    def taken_BK(self) -> Tensor:
        """Keys of the documents that were taken."""
        return self.candidates.keys_BN.gather(1, self.selected.indices_BK)

    def memory_BKLD(self) -> Tensor:
        """Their memory; backward, the soft mixture."""
        return mix(self.selected.selection_BKN, self.candidates.memory_BNLD)


def contrastive_losses(
    found: Found, gold: Sequence[GoldDocuments], *, name: ScoreName, temperature: float | Tensor, in_batch: bool
) -> Tensor:
    """Contrastive loss of each question that has gold documents, in their order.

    Args:
        found: by B questions.
        gold: gold documents of the same questions.
        name: score between questions and documents.
        temperature: of the loss.
        in_batch: against the documents of all B questions, or a question's own candidates alone.
    """
    pool = pool_documents(found.candidates, gold)
    scores_BX = score(name, found.query.memory_NLD, pool.memory_XLD, found.query.weights_NL)
    mask_BX = torch.ones_like(pool.own_BX) if in_batch else pool.own_BX
    known_B = pool.gold_BX.any(dim=1)
    return info_nce(scores_BX[known_B], pool.gold_BX[known_B], mask_BX[known_B], temperature=temperature)


class SearchFigures(nn.Module):
    """Where gold documents stand among the candidates, and whether the same documents are taken for every question.

    Args:
        top_k: documents that are taken.

    Attributes:
        contrast: mean of contrastive losses, where there are any.
    """

    def __init__(self, *, top_k: int) -> None:
        super().__init__()
        self.ranking = RetrievalScores(top_k=(1, top_k))
        self.collapse = SelectionCollapse()
        self.contrast = MeanMetric()

    def reset(self) -> None:
        """Begin a validation."""
        for metric in (self.ranking, self.collapse, self.contrast):
            metric.reset()

    def add(self, found: Found, *, real: int) -> None:
        """Add a batch, of whose questions the first ``real`` count."""
        candidates = found.candidates
        self.ranking.update(
            found.scores_BN[:real],
            candidates.gold_BN[:real],
            candidates.mask_BN[:real],
            num_gold_B=candidates.num_gold_B[:real],
        )
        self.collapse.update(found.taken_BK[:real])
