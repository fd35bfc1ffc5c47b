"""The trained score and BM25 together, over candidates of vectors and texts made by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clara_lightning.corpus.hybrid import HybridSettings
from clara_lightning.data.records import Question
from clara_lightning.evaluation.corpus import Asked
from clara_lightning.evaluation.hybrid import HybridRetriever
from clara_lightning.evaluation.retrievers import BM25, LatentRetriever

TEXTS = ["copper and iron", "iron", "honey", "copper copper copper"]
MEMORY_NLD = torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]], [[0.0, 1.0]], [[-1.0, 0.0]]])


def retriever(settings: HybridSettings) -> HybridRetriever:
    """The question's vector points to the east: cosines are 1, 0.71, 0 and -1."""

    def read(texts: Any, *, adapter: str) -> Any:
        vectors = torch.tensor([[[2.0, 0.0]]]).expand(len(texts), 1, 2)
        return SimpleNamespace(memory_NLD=vectors, weights_NL=torch.ones(len(texts), 1))

    backbone: Any = SimpleNamespace(read=read, device=torch.device("cpu"))
    corpus: Any = SimpleNamespace(memory=lambda rows: MEMORY_NLD[list(rows)])
    latent = LatentRetriever(backbone, corpus, None, reasoner="query_reasoner", score="flat", label="ours")
    return HybridRetriever(latent, BM25(TEXTS), None, settings=settings)


def asked(text: str, *candidates: int) -> Asked:
    return Asked(Question(text, text, ("yes",)), (0,), candidates)


def test_candidates_are_ranked_by_both_scores() -> None:
    (ranking,) = retriever(HybridSettings("weighted", 0.6)).rank([asked("copper", 0, 1, 3)])

    # cosines from -1 to 1, and BM25 from 0 (document 1) to that of document 3
    once, thrice = BM25(TEXTS).index.scores("copper")[[0, 3]].tolist()
    expected = {0: 0.4 * 1 + 0.6 * once / thrice, 1: 0.4 * (1 + 0.5**0.5) / 2, 3: 0.6}
    assert ranking.rows == tuple(sorted(expected, key=expected.__getitem__, reverse=True))
    assert ranking.scores == pytest.approx(sorted(expected.values(), reverse=True))


def test_ranks_leave_out_candidates_without_a_word_of_the_question() -> None:
    (ranking,) = retriever(HybridSettings("reciprocal_rank", 0.5)).rank([asked("copper", 0, 1, 2, 3)])

    assert ranking.rows == (0, 3, 1, 2)
    assert ranking.scores == pytest.approx((1 / 61 + 1 / 62, 1 / 64 + 1 / 61, 1 / 62, 1 / 63))


def test_a_question_of_no_known_word_is_ranked_by_the_trained_score() -> None:
    for settings in (HybridSettings("weighted", 0.6), HybridSettings("reciprocal_rank", 0.6)):
        (ranking,) = retriever(settings).rank([asked("zzz", 3, 2, 1, 0)])

        assert ranking.rows == (0, 1, 2, 3)


def test_its_label_says_how_it_is_made() -> None:
    assert retriever(HybridSettings("reciprocal_rank", 0.25)).label == "ours + BM25 (reciprocal rank, 0.25)"
