"""Exact search over a store by the trained score.

Shapes: B queries, N documents, L memory tokens, D hidden size, K results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import faiss
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from clara_lightning.corpus.store import LatentStore
from clara_lightning.corpus.store_folder import StoreFolder
from clara_lightning.errors import ClaraError
from clara_lightning.objectives.scores import ScoreName, score

IndexKind = Literal["flat", "maxsim"]
FLAT_FILE = "flat.faiss"


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
        best_scores = query_BLD.new_empty(query_BLD.shape[0], 0, dtype=torch.float32)
        best_rows = torch.empty(query_BLD.shape[0], 0, dtype=torch.long, device=query_BLD.device)
        for first, memory_NLD in self.store.blocks():
            scores_BN = score(self.score, query_BLD, memory_NLD.to(query_BLD.device), weights_BL)
            rows_N = torch.arange(first, first + memory_NLD.shape[0], device=query_BLD.device)
            best_scores = torch.cat([best_scores, scores_BN], dim=1)
            best_rows = torch.cat([best_rows, rows_N.expand(query_BLD.shape[0], -1)], dim=1)
            # A stable sort keeps earlier rows first among equal scores.
            order = best_scores.sort(dim=1, descending=True, stable=True).indices[:, :top_k]
            best_scores, best_rows = best_scores.gather(1, order), best_rows.gather(1, order)
        return Hits(best_scores, best_rows)


class FlatIndex:
    """FAISS ``IndexFlatIP`` over flattened, normalised memory: exact cosine, memory-mapped.

    Args:
        store: the documents.
    """

    def __init__(self, store: StoreFolder) -> None:
        self.store = store
        path = store.path / "index" / FLAT_FILE
        if not path.is_file():
            raise ClaraError(f"--store: {path} is missing: the store was not built with a flat index")
        self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)

    @torch.no_grad()
    def search(self, query_BLD: Tensor, weights_BL: Tensor, *, top_k: int) -> Hits:
        """See :class:`Index`; the weights play no part in the flattened cosine."""
        _check_top_k(top_k, self.store)
        scores, rows = self._search_past_ties(_flat_vectors(query_BLD), top_k)
        order = np.lexsort((rows, -scores), axis=1)[:, :top_k]
        scores, rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
        return Hits(torch.from_numpy(scores).to(query_BLD.device), torch.from_numpy(rows).to(query_BLD.device))

    def _search_past_ties(self, vectors: np.ndarray, top_k: int) -> tuple[np.ndarray, np.ndarray]:
        """The best documents and all that equal the last of them: FAISS orders equal scores by chance."""
        width = min(top_k + 1, len(self.store))
        scores, rows = self._index.search(vectors, width)
        while width < len(self.store) and bool((scores[:, top_k - 1] == scores[:, -1]).any()):
            width = min(2 * width, len(self.store))
            scores, rows = self._index.search(vectors, width)
        return scores, rows


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


def build_index(store: StoreFolder, kind: IndexKind) -> None:
    """Write ``index/`` of a store.

    ``flat`` is a FAISS file of float32 vectors of L * D dimensions (twice the space of a bfloat16 memory). ``maxsim``
    is searched by a scan over the memory itself and needs no file.
    """
    folder = store.path / "index"
    folder.mkdir(exist_ok=True)
    target = folder / FLAT_FILE
    if kind == "maxsim":
        target.unlink(missing_ok=True)
        return
    length, dim = store.memory_shape
    index = faiss.IndexFlatIP(length * dim)
    for _, memory_NLD in store.blocks():
        index.add(_flat_vectors(memory_NLD))
    working = folder / f".{FLAT_FILE}.tmp"
    faiss.write_index(index, str(working))
    working.replace(target)


def open_index(store: LatentStore, *, score: ScoreName) -> Index:
    """The fastest exact index of ``store`` for a score."""
    if not any(_has_index(part, score) for part in store.parts):
        return ScanIndex(store, score=score)
    if len(store.parts) == 1:
        return _index_of(store.parts[0], score)
    return JoinedIndex([_index_of(part, score) for part in store.parts], [len(part) for part in store.parts])


def _has_index(part: StoreFolder, score: ScoreName) -> bool:
    return score == "flat" and (part.path / "index" / FLAT_FILE).is_file()


def _index_of(part: StoreFolder, score: ScoreName) -> Index:
    if not _has_index(part, score):
        return ScanIndex(LatentStore(part), score=score)
    index = FlatIndex(part.whole)
    if part.live_rows is None:
        return index
    return LiveIndex(index, live_rows=part.live_rows, whole_rows=len(part.whole))


def _flat_vectors(memory_NLD: Tensor) -> np.ndarray:
    return F.normalize(memory_NLD.detach().float().flatten(1), dim=1).cpu().numpy()


def _check_top_k(top_k: int, store: LatentStore | StoreFolder) -> None:
    if not 1 <= top_k <= len(store):
        raise ClaraError(
            f"top_k must be between 1 and the number of documents in the store ({len(store)}), got {top_k}"
        )
