"""Rankings of documents for questions: by the trained score and by BM25.

Shapes: B questions, N candidates, K ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bm25s
import torch

from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import RetrievalConfig
from clara_lightning.corpus.index import open_index
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.records import Question
from clara_lightning.evaluation.conditions import Library
from clara_lightning.evaluation.results import RetrievalFigures
from clara_lightning.objectives.metrics import RetrievalScores
from clara_lightning.objectives.scores import score


@dataclass(frozen=True)
class Ranking:
    """Documents of each question, best first, as keys of a :class:`Library`."""

    keys: tuple[tuple[object, ...], ...]


@torch.no_grad()
def rank_store(
    backbone: ClaraBackbone,
    store: LatentStore,
    questions: Sequence[Question],
    *,
    reasoner: str,
    retrieval: RetrievalConfig,
    depth: int,
    batch_size: int,
) -> Ranking:
    """The best ``depth`` documents of the whole store by the trained score."""
    index = open_index(store, score=retrieval.score)
    keys: list[tuple[object, ...]] = []
    for start in range(0, len(questions), batch_size):
        query = backbone.read([q.question for q in questions[start : start + batch_size]], adapter=reasoner)
        hits = index.search(query.memory_NLD, query.weights_NL, top_k=min(depth, len(store)))
        keys.extend(tuple(rows) for rows in hits.rows_BK.tolist())
    return Ranking(tuple(keys))


@torch.no_grad()
def rank_passages(
    backbone: ClaraBackbone,
    library: Library,
    questions: Sequence[Question],
    *,
    reasoner: str,
    retrieval: RetrievalConfig,
) -> Ranking:
    """Each question's own passages by the trained score."""
    keys: list[tuple[object, ...]] = []
    for number, question in enumerate(questions):
        own = [(number, place) for place in range(len(question.passages))]
        query = backbone.read([question.question], adapter=reasoner)
        memory_NLD = library.memory(own).to(backbone.device)
        scores_N = score(retrieval.score, query.memory_NLD, memory_NLD, query.weights_NL)[0]
        order = scores_N.sort(descending=True, stable=True).indices.tolist()
        keys.append(tuple(own[place] for place in order))
    return Ranking(tuple(keys))


class BM25:
    """BM25 over a fixed set of texts (bm25s, English stop words).

    Args:
        texts: the documents.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.num_documents = len(texts)
        tokens = bm25s.tokenize(list(texts), stopwords="en", show_progress=False)
        self._model = bm25s.BM25() if tokens.vocab else None  # it cannot index texts of stop words alone
        if self._model is not None:
            self._model.index(tokens, show_progress=False)

    def rank(self, questions: Sequence[str], *, depth: int) -> list[list[int]]:
        """Numbers of the best ``depth`` texts of each question, best first."""
        if self._model is None:
            return [list(range(min(depth, self.num_documents))) for _ in questions]
        tokens = bm25s.tokenize(list(questions), stopwords="en", show_progress=False)
        depth = min(depth, self.num_documents)
        documents, _ = self._model.retrieve(tokens, k=depth, show_progress=False)
        return [[int(number) for number in line] for line in documents]


def bm25_rank_store(store: LatentStore, questions: Sequence[Question], *, depth: int) -> Ranking:
    """The best documents of the whole store by BM25 over title and text."""
    model = BM25([document.content for document in store.documents(range(len(store)))])
    return Ranking(tuple(tuple(line) for line in model.rank([q.question for q in questions], depth=depth)))


def bm25_rank_passages(questions: Sequence[Question]) -> Ranking:
    """Each question's own passages by BM25."""
    keys: list[tuple[object, ...]] = []
    for number, question in enumerate(questions):
        model = BM25([passage.content for passage in question.passages])
        (line,) = model.rank([question.question], depth=len(question.passages))
        keys.append(tuple((number, place) for place in line))
    return Ranking(tuple(keys))


def retrieval_figures(ranking: Ranking, library: Library, *, cutoffs: Sequence[int]) -> RetrievalFigures:
    """Recall at some ranks and MRR of a ranking against the gold documents."""
    metric = RetrievalScores(top_k=cutoffs)
    for number, keys in enumerate(ranking.keys):
        gold = set(library.gold(number))
        scores_BN = -torch.arange(len(keys), dtype=torch.float32).unsqueeze(0)
        gold_BN = torch.tensor([[key in gold for key in keys]])
        metric.update(scores_BN, gold_BN, num_gold_B=torch.tensor([len(gold)]))
    values = {name: float(value) for name, value in metric.compute().items()}
    return RetrievalFigures(recall={k: values[f"recall@{k}"] for k in cutoffs}, mrr=values["mrr"])
