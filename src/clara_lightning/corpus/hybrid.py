"""Search by the trained score and by words together.

Shapes: B questions, N documents of the store, L memory tokens, D hidden size, K results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clara_lightning.corpus.fusion import Found, FusionMethod, fuse
from clara_lightning.corpus.index import Hits, Index
from clara_lightning.corpus.lexical import LexicalIndex, Scores, found_in
from clara_lightning.corpus.store import LatentStore
from clara_lightning.errors import ClaraError
from clara_lightning.objectives.scores import ScoreName, score

FETCHED = 100
"""Documents that each search fetches, where no more are wanted: so the first few do not depend on how many are."""


@dataclass(frozen=True)
class HybridSettings:
    """How two searches become one.

    Args:
        method: ``weighted`` (scores) or ``reciprocal_rank`` (ranks alone); see :func:`fuse`.
        weight: BM25's part, from 0 (the trained score alone) to 1 (BM25 alone).

    Raises:
        ClaraError: there is no such method, or the weight is out of range.
    """

    method: FusionMethod = "weighted"
    weight: float = 0.5

    def __post_init__(self) -> None:
        if self.method not in ("weighted", "reciprocal_rank"):
            raise ClaraError(f"--hybrid must be weighted or reciprocal_rank, got {self.method!r}")
        if not 0 <= self.weight <= 1:
            raise ClaraError(f"--hybrid-weight must be between 0 and 1, got {self.weight}")


class HybridIndex:
    """Fetches documents by both searches, and fuses them.

    It needs a question's words beside its vectors, so it is no :class:`~clara_lightning.corpus.index.Index`. For
    ``weighted`` every fetched document gets its exact score by both, whichever search fetched it.

    Args:
        index: search by the trained score.
        lexical: search by words, over the same store.
        store: the documents.
        score: the trained score.
        settings: how the two become one.
    """

    def __init__(
        self, index: Index, lexical: LexicalIndex, store: LatentStore, *, score: ScoreName, settings: HybridSettings
    ) -> None:
        self.index, self.lexical, self.store = index, lexical, store
        self.score: ScoreName = score
        self.settings = settings

    @torch.no_grad()
    def search(self, questions: Sequence[str], query_BLD: Tensor, weights_BL: Tensor, *, top_k: int) -> Hits:
        """The ``top_k`` best documents of each question, with fused scores.

        Args:
            questions: B texts.
            query_BLD: their vectors.
            weights_BL: importance of these.
            top_k: K, at most as many as the store has.
        """
        fetched = min(len(self.store), max(FETCHED, top_k))
        hits = self.index.search(query_BLD, weights_BL, top_k=fetched)
        fused = []
        for number, question in enumerate(questions):
            latent = Found(tuple(hits.rows_BK[number].tolist()), tuple(hits.scores_BK[number].tolist()))
            scores_N = self.lexical.scores(question)
            lexical = found_in(scores_N, top_k=fetched)
            if self.settings.method == "weighted":
                own = slice(number, number + 1)
                latent, lexical = self._completed(latent, lexical, query_BLD[own], weights_BL[own], scores_N)
            fused.append(fuse_found(latent, lexical, settings=self.settings, top_k=top_k))
        rows, scores = [found.rows for found in fused], [found.scores for found in fused]
        return Hits(torch.tensor(scores, device=query_BLD.device), torch.tensor(rows, device=query_BLD.device))

    def _completed(
        self, latent: Found, lexical: Found, query_1LD: Tensor, weights_1L: Tensor, scores_N: Scores
    ) -> tuple[Found, Found]:
        """Both lists with the documents of the other one."""
        known = set(latent.rows)
        missing = [row for row in lexical.rows if row not in known]
        rows = (*latent.rows, *missing)
        scores: tuple[float, ...] = ()
        if missing:
            memory_NLD = self.store.memory(missing).to(query_1LD.device)
            scores = tuple(score(self.score, query_1LD, memory_NLD, weights_1L)[0].tolist())
        return Found(rows, (*latent.scores, *scores)), Found(rows, tuple(scores_N[list(rows)].tolist()))


def fuse_found(latent: Found, lexical: Found, *, settings: HybridSettings, top_k: int) -> Found:
    """:func:`fuse` by settings; for ranks a document without a word of the question is none that BM25 found."""
    if settings.method == "reciprocal_rank":
        kept = [(row, value) for row, value in zip(lexical.rows, lexical.scores, strict=True) if value > 0]
        lexical = Found(tuple(row for row, _ in kept), tuple(value for _, value in kept))
    return fuse(latent, lexical, method=settings.method, weight=settings.weight, top_k=top_k)
