"""The trained score and BM25 together, as a retriever of the same tables.

Shapes: as in ``retrievers.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from clara_lightning.corpus.fusion import Found
from clara_lightning.corpus.hybrid import HybridIndex, HybridSettings, fuse_found
from clara_lightning.corpus.store import LatentStore
from clara_lightning.evaluation.corpus import Asked
from clara_lightning.evaluation.retrievers import BM25, LatentRetriever, Ranking


class HybridRetriever:
    """What ``clara ask --hybrid`` finds; candidates are fused by the same rule, over all of them.

    Args:
        latent: the trained score.
        words: BM25 over the same documents.
        store: the documents, where there is a store.
        settings: how the two become one.
    """

    cosines = False

    def __init__(
        self, latent: LatentRetriever, words: BM25, store: LatentStore | None, *, settings: HybridSettings
    ) -> None:
        self.latent, self.words, self.settings = latent, words, settings
        self.label = f"{latent.label} + {words.label} ({settings.method.replace('_', ' ')}, {settings.weight:g})"
        self.index: HybridIndex | None = None
        if store is not None and latent.index is not None:
            self.index = HybridIndex(latent.index, words.index, store, score=latent.score, settings=settings)

    @torch.no_grad()
    def search(self, asked: Sequence[Asked], *, depth: int) -> list[Ranking]:
        """See :class:`~clara_lightning.evaluation.retrievers.Retriever`."""
        assert self.index is not None
        questions = [one.question.question for one in asked]
        query = self.latent.backbone.read(questions, adapter=self.latent.reasoner)
        top_k = min(depth, len(self.latent.corpus))
        hits = self.index.search(questions, query.memory_NLD, query.weights_NL, top_k=top_k)
        pairs = zip(hits.rows_BK.tolist(), hits.scores_BK.tolist(), strict=True)
        return [Ranking(tuple(rows), tuple(scores)) for rows, scores in pairs]

    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        """See :class:`~clara_lightning.evaluation.retrievers.Retriever`."""
        pairs = zip(self.latent.rank(asked), self.words.rank(asked), strict=True)
        found = [
            fuse_found(
                Found(latent.rows, latent.scores),
                Found(words.rows, words.scores),
                settings=self.settings,
                top_k=len(latent.rows),
            )
            for latent, words in pairs
        ]
        return [Ranking(each.rows, each.scores) for each in found]
