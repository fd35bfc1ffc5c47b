"""What a batch of questions finds in stage 3, what else teaches its scores, and what a validation measures of it.

Shapes: B questions, N candidates, H hardest of them, M documents that are read alone, K documents taken, X documents of
a batch, L memory tokens, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from clara_lightning.backbone.backbone import ClaraBackbone, Compressed
from clara_lightning.corpus.candidates import Candidates, CandidateSource, GoldDocuments
from clara_lightning.corpus.contrast import pool_documents
from clara_lightning.data.prompts import PromptTemplate
from clara_lightning.data.records import Question
from clara_lightning.data.requests import answering_request
from clara_lightning.objectives.losses import info_nce
from clara_lightning.objectives.metrics import RetrievalScores, score_spread
from clara_lightning.objectives.monitors import SelectionCollapse
from clara_lightning.objectives.scores import ScoreName, score
from clara_lightning.objectives.selection import Selected
from clara_lightning.objectives.topk import mix


class Found(NamedTuple):
    """Query vectors, candidates, their scores ``(B, N)`` by name, and what was taken of them."""

    name: ScoreName
    query: Compressed
    candidates: Candidates
    scores_BN: Tensor
    selected: Selected

    @property
    def taken_BK(self) -> Tensor:
        """Keys of the documents that were taken."""
        return self.candidates.keys_BN.gather(1, self.selected.indices_BK)

    def memory_BKLD(self, gold: Sequence[GoldDocuments] = ()) -> Tensor:
        """Their memory; backward, the soft mixture.

        Args:
            gold: of each question; one that took none of them has the best-scored in the place of the last that it
                took.
        """
        memory_BKLD = mix(self.selected.selection_BKN, self.candidates.memory_BNLD)
        missed = [
            number
            for number, (own, taken) in enumerate(zip(gold, self.taken_BK.tolist(), strict=False))
            if own.keys and not set(own.keys) & set(taken)
        ]
        if not missed:
            return memory_BKLD
        places_C = torch.tensor(missed, device=memory_BKLD.device)
        gold_CLD = torch.stack([self._best(number, gold[number].memory_NLD) for number in missed]).to(memory_BKLD)
        return memory_BKLD.index_put((places_C, torch.full_like(places_C, memory_BKLD.shape[1] - 1)), gold_CLD)

    @torch.no_grad()
    def _best(self, number: int, memory_NLD: Tensor) -> Tensor:
        """``(L, D)``: the document, or the chunk of one, that the question scores best."""
        if len(memory_NLD) == 1:
            return memory_NLD[0]
        own = slice(number, number + 1)
        scores_1N = score(self.name, self.query.memory_NLD[own], memory_NLD[None], self.query.weights_NL[own])
        return memory_NLD[int(scores_1N.argmax())]


class BatchTeacher:
    """What estimators may ask about a batch; see :class:`~clara_lightning.objectives.estimators.Teacher`.

    Args:
        backbone: reads.
        source: knows gold documents.
        name: score between questions and documents.
        template: of the prompts.
        questions: the batch.
        query: its query vectors.
        candidates: its candidates.
        in_step: whether processes must read as often as one another, as those that gather shards must: one that is
            asked for no question reads for its first, and throws that away.
    """

    def __init__(
        self,
        backbone: ClaraBackbone,
        source: CandidateSource,
        *,
        name: ScoreName,
        template: PromptTemplate,
        questions: Sequence[Question],
        query: Compressed,
        candidates: Candidates,
        in_step: bool,
    ) -> None:
        self.backbone = backbone
        self.source = source
        self.name: ScoreName = name
        self.template = template
        self.questions = questions
        self.query = query
        self.candidates = candidates
        self.in_step = in_step

    @property
    def has_gold_B(self) -> Tensor:
        """Which questions have a gold document, found or not."""
        return self.candidates.num_gold_B > 0

    @torch.no_grad()
    def alone(self, places_BM: Tensor, asked_B: Tensor | None = None) -> Tensor:
        """Read candidates one by one."""
        asked = list(range(len(self.questions))) if asked_B is None else asked_B.nonzero()[:, 0].tolist()
        losses_BM = self.query.memory_NLD.new_zeros(places_BM.shape, dtype=torch.float32)
        if asked:
            losses_BM[asked] = self._read(places_BM, asked).to(losses_BM)
        elif self.in_step:
            self._read(places_BM, [0])
        return losses_BM

    def _read(self, places_BM: Tensor, asked: Sequence[int]) -> Tensor:
        places_CM = places_BM[asked]
        prompts = [
            answering_request(self.questions[number], template=self.template, documents=1)
            for number in asked
            for _ in range(places_CM.shape[1])
        ]
        memory_CMLD = torch.take_along_dim(self.candidates.memory_BNLD[asked], places_CM[..., None, None], dim=1)
        with self.backbone.evaluating():
            return self.backbone.answer_loss(prompts, memory_CMLD.flatten(0, 1)).mean_B.view(places_CM.shape)

    def contrast(self, *, temperature: float | Tensor, in_batch: bool, places_BH: Tensor | None = None) -> Tensor:
        """Gold documents of each question against the others."""
        gold = self.source.gold(self.questions, self.candidates)
        candidates = self.candidates if places_BH is None else self.candidates.only(places_BH)
        known_B, losses = contrastive_losses(
            self.query, candidates, gold, name=self.name, temperature=temperature, in_batch=in_batch
        )
        return losses.new_zeros(len(known_B)).index_put((known_B,), losses)


def contrastive_losses(
    query: Compressed,
    candidates: Candidates,
    gold: Sequence[GoldDocuments],
    *,
    name: ScoreName,
    temperature: float | Tensor,
    in_batch: bool,
) -> tuple[Tensor, Tensor]:
    """Which questions have gold documents ``(B,)``, and the contrastive loss of each of these, in their order.

    Args:
        query: of B questions.
        candidates: of the same questions.
        gold: their gold documents.
        name: score between questions and documents.
        temperature: of the loss.
        in_batch: against the documents of all B questions, or a question's own candidates alone.
    """
    pool = pool_documents(candidates, gold)
    scores_BX = score(name, query.memory_NLD, pool.memory_XLD, query.weights_NL)
    mask_BX = torch.ones_like(pool.own_BX) if in_batch else pool.own_BX
    known_B = pool.gold_BX.any(dim=1)
    return known_B, info_nce(scores_BX[known_B], pool.gold_BX[known_B], mask_BX[known_B], temperature=temperature)


class SearchFigures(nn.Module):
    """Where gold documents stand among the candidates, and whether the same documents are taken for every question.

    Args:
        top_k: documents that are taken.

    Attributes:
        contrast: mean of contrastive losses, where there are any.
        success: share of questions whose answers cost less from what was taken than from nothing.
        spread: mean of the scores' spread over a question's candidates.
    """

    def __init__(self, *, top_k: int) -> None:
        super().__init__()
        self.ranking = RetrievalScores(top_k=(1, top_k))
        self.collapse = SelectionCollapse()
        self.contrast = MeanMetric()
        self.success = MeanMetric()
        self.spread = MeanMetric()

    def reset(self) -> None:
        """Begin a validation."""
        for metric in (self.ranking, self.collapse, self.contrast, self.success, self.spread):
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
        self.spread.update(score_spread(found.scores_BN, candidates.mask_BN)[:real])

    def figures(self) -> dict[str, Any]:
        """What shows a collapse, by name."""
        means = {"success_rate": self.success.compute(), "score_spread": self.spread.compute()}
        return {**self.collapse.compute(), **means}
