"""Search of a store of any size in two stages: keys give candidates, the trained score orders them.

What is found is scored exactly, by the very function of training; what the keys do not lead to is not found. How often
that happens is measured (:mod:`clara_lightning.corpus.search_bench`), and the manifest says it.

Shapes: B queries, L memory tokens, D hidden size, K results, C candidates of a query, n documents; Q keys of a query,
X keys of several, W keys found for each.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from copy import copy
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from clara_lightning.corpus.index import Best, Hits, ScanIndex
from clara_lightning.corpus.index_entry import IndexEntry, SearchSettings, rebuild_hint
from clara_lightning.corpus.key_index import KeyIndex
from clara_lightning.corpus.keys import KEYS_FILE, Keys, keys_a_document
from clara_lightning.corpus.store import LatentStore
from clara_lightning.corpus.store_folder import StoreFolder
from clara_lightning.errors import ClaraError
from clara_lightning.objectives.scores import ScoreName, score

WIDTH: dict[ScoreName, int] = {"maxsim": 4, "flat": 1, "mean": 1}
"""Keys looked up for each key of a query, in multiples of the documents to fetch."""
SHARE_BEHIND = 0.1
"""Of a store that may have come after its index before a word is said about it."""
BATCH_BYTES = 128 << 20
"""Memory that is scored at a time, as float32."""

log = logging.getLogger(__name__)


class TwoStageIndex:
    """Finds candidates by their keys and orders them by the trained score, as an :class:`Index`.

    Documents that came to the store after the index was built are all scored.

    Args:
        store: the documents, deleted ones among them: all rows of the shards.
        entry: the index; by default the one that the manifest names.

    Raises:
        ClaraError: there is no index, its files are missing, or they were changed.
    """

    def __init__(self, store: StoreFolder, *, entry: IndexEntry | None = None) -> None:
        entry = entry or store.manifest.index
        if entry is None:
            raise ClaraError(f"--store: {store.source} has no index: clara store index {store.source} builds one")
        folder = entry.open(store.files, store=store.source)
        self.store, self.entry = store, entry
        self.score: ScoreName = entry.score
        self.keys = Keys.load(folder / KEYS_FILE, score=entry.score)
        try:
            self.key_index = KeyIndex(
                folder,
                entry.kind,
                keys_a_document=keys_a_document(entry.score, store.memory_shape),
            )
        except RuntimeError as error:
            raise ClaraError(f"{folder}: cannot be read: {rebuild_hint(store.source)}") from error
        if self.num_behind > len(store) * SHARE_BEHIND:
            log.warning(
                "%s: %d of %d documents came after its index was built, and all of them are scored: clara store index "
                "%s --rebuild",
                *(store.source, self.num_behind, len(store), store.source),
            )

    def searched(self, settings: SearchSettings) -> TwoStageIndex:
        """The same index, searched otherwise; its files are not opened again."""
        other = copy(self)
        other.entry = self.entry.searched(settings)
        return other

    @property
    def num_behind(self) -> int:
        """Documents of the store that the index does not cover."""
        return len(self.store) - self.entry.rows

    @torch.no_grad()
    def search(self, query_BLD: Tensor, weights_BL: Tensor, *, top_k: int) -> Hits:
        """See :class:`Index`; the order of what is found is exact, equal scores go by row."""
        scan = ScanIndex(LatentStore(self.store), score=self.score)
        if not 1 <= top_k <= len(self.store):
            return scan.search(query_BLD, weights_BL, top_k=top_k)  # which refuses it
        best = Best(len(query_BLD), top_k, query_BLD.device)
        found = self.candidates(query_BLD, weights_BL, fetch=self.entry.search.fetch_for(top_k))
        best.add(*self._scored(query_BLD, weights_BL, found))
        for scores_BN, rows_N in self._scored_behind(query_BLD, weights_BL):
            best.add(scores_BN, rows_N.expand_as(scores_BN))
        short_B = best.num_found_B < top_k
        if short_B.any():
            log.warning("%d queries led to fewer than %d documents: scanned", int(short_B.sum()), top_k)
            hits = scan.search(query_BLD[short_B], weights_BL[short_B], top_k=top_k)
            best.scores_BK[short_B], best.rows_BK[short_B] = hits.scores_BK, hits.rows_BK
        return Hits(best.scores_BK, best.rows_BK)

    @torch.no_grad()
    def candidates(self, query_BLD: Tensor, weights_BL: Tensor, *, fetch: int) -> list[np.ndarray]:
        """First stage: rows of each query's candidates among the documents covered, the most promising first."""
        keys_BQK, weights_BQ = self.keys.of_queries(query_BLD.cpu(), weights_BL.cpu())
        counts_BQ = weights_BQ > 0  # a key that counts nothing is not looked up
        width = min(WIDTH[self.score] * fetch, len(self.key_index))
        vectors_XK = keys_BQK[counts_BQ].contiguous().numpy()
        scores_XW, rows_XW = self.key_index.search(vectors_XK, width=width, effort=self.entry.search.effort)
        ends = [0, *counts_BQ.sum(dim=1).cumsum(0).tolist()]
        return [
            merge_keys(scores_XW[start:end], rows_XW[start:end], weights_BQ[b][counts_BQ[b]].numpy(), fetch=fetch)
            for b, (start, end) in enumerate(pairwise(ends))
        ]

    def _scored(self, query_BLD: Tensor, weights_BL: Tensor, found: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Second stage: exact scores ``(B, C)`` of the candidates, and their rows; -inf and -1 at places left over."""
        device, most = query_BLD.device, max(map(len, found))
        scores_BC = torch.full((len(found), most), -torch.inf, device=device)
        rows_BC = torch.full((len(found), most), -1, device=device)
        for queries in self._batches(found):
            rows_N = np.unique(np.concatenate([found[b] for b in queries]))
            memory_NLD = self.store.memory(rows_N.tolist()).to(device)
            for b in queries:
                own_C = torch.from_numpy(np.sort(found[b]))
                places_C = torch.from_numpy(np.searchsorted(rows_N, own_C.numpy())).to(device)
                own = slice(b, b + 1)
                scores_1C = score(self.score, query_BLD[own], memory_NLD.index_select(0, places_C), weights_BL[own])
                scores_BC[b, : len(own_C)], rows_BC[b, : len(own_C)] = scores_1C[0], own_C.to(device)
        return scores_BC, rows_BC

    def _batches(self, found: Sequence[np.ndarray]) -> Iterator[list[int]]:
        """Queries, as many together as have memory for their candidates."""
        batch: list[int] = []
        held, room = 0, self._rows_at_a_time
        for b, rows in enumerate(found):
            if batch and held + len(rows) > room:
                yield batch
                batch, held = [], 0
            batch.append(b)
            held += len(rows)
        if held:
            yield [b for b in batch if len(found[b])]

    def _scored_behind(self, query_BLD: Tensor, weights_BL: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Exact scores ``(B, n)`` of the documents that the index does not cover, part by part, and their rows."""
        for start in range(self.entry.rows, len(self.store), self._rows_at_a_time):
            rows_N = torch.arange(start, min(start + self._rows_at_a_time, len(self.store)))
            memory_NLD = self.store.memory(rows_N.tolist()).to(query_BLD.device)
            yield score(self.score, query_BLD, memory_NLD, weights_BL), rows_N.to(query_BLD.device)

    @property
    def _rows_at_a_time(self) -> int:
        length, dim = self.store.memory_shape
        return max(1, BATCH_BYTES // (4 * length * dim))


def merge_keys(scores_QW: np.ndarray, rows_QW: np.ndarray, weights_Q: np.ndarray, *, fetch: int) -> np.ndarray:
    """Candidates of one query from what each of its keys found.

    A document's promise is the weighted sum over the query's keys of its best inner product with each. Where a key did
    not find the document, the product is at most that of the last key found, which stands in.

    Args:
        scores_QW: inner products, best first in each line.
        rows_QW: the documents of the keys found; -1 where there was none.
        weights_Q: what each key counts.
        fetch: candidates wanted.

    Returns:
        At most ``fetch`` rows, the most promising first, equal ones by row.
    """
    found_QW = rows_QW >= 0
    rows_U, places_QW = np.unique(rows_QW, return_inverse=True)
    places_QW = places_QW.reshape(rows_QW.shape)
    last_Q1 = np.where(found_QW, scores_QW, np.inf).min(axis=1, keepdims=True)
    gains_QW = np.where(found_QW, (scores_QW - last_Q1) * weights_Q[:, None], 0.0)
    gains_QU = np.zeros((len(rows_QW), len(rows_U)))
    np.maximum.at(gains_QU, (np.arange(len(rows_QW))[:, None], places_QW), gains_QW)
    order_U = np.lexsort((rows_U, -gains_QU.sum(axis=0)))
    rows_U = rows_U[order_U]
    return rows_U[rows_U >= 0][:fetch]
