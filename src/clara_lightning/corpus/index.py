"""Search of a store by the trained score: what an index is, the exact one, and what is made of others.

Shapes: B queries, N documents, L memory tokens, D hidden size, K results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clara_lightning.corpus.store import LatentStore
from clara_lightning.errors import ClaraError
from clara_lightning.objectives.scores import ScoreName, score


class Hits(NamedTuple):
    """Best documents of each query, best first; equal scores by row.

    Attributes:
        scores_BK: float32.
        rows_BK: rows of the store.
    """

    scores_BK: Tensor
    rows_BK: Tensor


class Index(Protocol):
    """Finds the best documents of a store."""

    def search(self, query_BLD: Tensor, weights_BL: Tensor, *, top_k: int) -> Hits:
        """The ``top_k`` best documents of each query."""
        ...


class Best:
    """The best documents of each query so far.

    Args:
        num_queries: B.
        top_k: K.
        device: where scores are.
    """

    def __init__(self, num_queries: int, top_k: int, device: torch.device) -> None:
        self.scores_BK = torch.full((num_queries, top_k), -torch.inf, device=device)
        self.rows_BK = torch.full((num_queries, top_k), -1, device=device)

    def add(self, scores_BN: Tensor, rows_BN: Tensor) -> None:
        """Look at more documents, whose rows are greater than those before: then equal scores stay in order."""
        scores_BN, rows_BN = torch.cat([self.scores_BK, scores_BN], 1), torch.cat([self.rows_BK, rows_BN], 1)
        order_BK = scores_BN.sort(dim=1, descending=True, stable=True).indices[:, : self.rows_BK.shape[1]]
        self.scores_BK, self.rows_BK = scores_BN.gather(1, order_BK), rows_BN.gather(1, order_BK)

    @property
    def num_found_B(self) -> Tensor:
        """Documents found for each query."""
        return (self.rows_BK >= 0).sum(dim=1)


class ScanIndex:
    """Scores every document, block by block, with the very function that training uses.

    Args:
        store: the documents.
        score: ``flat`` (cosine of the flattened memory, the method's), ``maxsim`` (late interaction) or ``mean``.
    """

    def __init__(self, store: LatentStore, *, score: ScoreName) -> None:
        self.store = store
        self.score = score

    @torch.no_grad()
    def search(self, query_BLD: Tensor, weights_BL: Tensor, *, top_k: int) -> Hits:
        """See :class:`Index`."""
        _check_top_k(top_k, self.store)
        best = Best(len(query_BLD), top_k, query_BLD.device)
        for first, memory_NLD in self.store.blocks():
            scores_BN = score(self.score, query_BLD, memory_NLD.to(query_BLD.device), weights_BL)
            rows_N = torch.arange(first, first + memory_NLD.shape[0], device=query_BLD.device)
            best.add(scores_BN, rows_N.expand_as(scores_BN))
        return Hits(best.scores_BK, best.rows_BK)


class LiveIndex:
    """An index that knows documents which were deleted since: it finds more, and leaves them out.

    Args:
        index: over all rows of the shards.
        live_rows: which of them are rows of the store, rising.
    """

    def __init__(self, index: Index, *, live_rows: NDArray[np.int64], whole_rows: int) -> None:
        self._index = index
        self._whole_rows = whole_rows
        self._num_live = len(live_rows)
        row_of = np.full(whole_rows, -1, dtype=np.int64)
        row_of[live_rows] = np.arange(len(live_rows))
        self._row_of = torch.from_numpy(row_of)

    def search(self, query_BLD: Tensor, weights_BL: Tensor, *, top_k: int) -> Hits:
        """See :class:`Index`."""
        if not 1 <= top_k <= self._num_live:
            raise ClaraError(f"top_k must be between 1 and {self._num_live}, the documents of the store, got {top_k}")
        width = min(2 * top_k, self._whole_rows)
        while True:
            hits = self._index.search(query_BLD, weights_BL, top_k=width)
            rows_BK = self._row_of.to(hits.rows_BK.device)[hits.rows_BK]
            if width == self._whole_rows or bool(((rows_BK >= 0).sum(dim=1) >= top_k).all()):
                break
            width = min(2 * width, self._whole_rows)
        # Stable: rows that are there come first, in the order of their scores.
        order_BK = (rows_BK < 0).to(torch.int8).sort(dim=1, stable=True).indices[:, :top_k]
        return Hits(hits.scores_BK.gather(1, order_BK), rows_BK.gather(1, order_BK))


class JoinedIndex:
    """The indexes of several folders as one.

    Args:
        indexes: of the folders, in the order of their rows.
        rows: documents of each.
    """

    def __init__(self, indexes: Sequence[Index], rows: Sequence[int]) -> None:
        self._indexes = indexes
        self._rows = rows

    def search(self, query_BLD: Tensor, weights_BL: Tensor, *, top_k: int) -> Hits:
        """See :class:`Index`."""
        if not 1 <= top_k <= sum(self._rows):
            raise ClaraError(f"top_k must be between 1 and {sum(self._rows)}, the documents of the store, got {top_k}")
        found, start = [], 0
        for index, rows in zip(self._indexes, self._rows, strict=True):
            hits = index.search(query_BLD, weights_BL, top_k=min(top_k, rows))
            found.append(Hits(hits.scores_BK, hits.rows_BK + start))
            start += rows
        scores_BK, rows_BK = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
        # Stable, and earlier folders come first: equal scores stand by row.
        order_BK = scores_BK.sort(dim=1, descending=True, stable=True).indices[:, :top_k]
        return Hits(scores_BK.gather(1, order_BK), rows_BK.gather(1, order_BK))


def _check_top_k(top_k: int, store: LatentStore) -> None:
    if not 1 <= top_k <= len(store):
        raise ClaraError(
            f"top_k must be between 1 and the number of documents in the store ({len(store)}), got {top_k}"
        )
