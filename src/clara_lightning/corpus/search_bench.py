"""How good and how quick a two-stage search of a store is, and how it is to be searched for a wished recall.

What the second stage is given, it orders exactly; so the recall of a search is that of its candidates.

Shapes: B queries, L memory tokens, D hidden size, K results.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from clara_lightning.corpus.index import Index, ScanIndex
from clara_lightning.corpus.index_builder import sample_rows
from clara_lightning.corpus.index_entry import SearchSettings
from clara_lightning.corpus.key_index import faiss_threads
from clara_lightning.corpus.store import LatentStore
from clara_lightning.corpus.store_folder import StoreFolder
from clara_lightning.corpus.two_stage import TwoStageIndex
from clara_lightning.errors import ClaraError

MOST_FETCHED = 2048
TIMED = 50
"""Queries that a search is timed with, one after the other."""


@dataclass(frozen=True)
class Queries:
    """What a search is measured with.

    Attributes:
        query_BLD: vectors.
        weights_BL: their importance.
        own_B: the row of the document that each query is, which does not count as found; -1 where it is none.
    """

    query_BLD: Tensor
    weights_BL: Tensor
    own_B: tuple[int, ...]

    @classmethod
    def of_questions(cls, query_BLD: Tensor, weights_BL: Tensor) -> Queries:
        """Questions as the query reasoner reads them."""
        return cls(query_BLD, weights_BL, (-1,) * len(query_BLD))

    @classmethod
    def of_store(cls, store: StoreFolder, number: int, *, seed: int = 0) -> Queries:
        """Documents drawn from a store, each of which asks for those that are most like it."""
        rows = sample_rows(len(store.whole), number, seed=seed + 17)
        np.random.default_rng(seed).shuffle(rows)
        query_BLD = store.whole.memory(rows).float()
        return cls(query_BLD, torch.ones(query_BLD.shape[:2]), tuple(rows))

    def __len__(self) -> int:
        return len(self.own_B)

    def __getitem__(self, part: slice) -> Queries:
        return Queries(self.query_BLD[part], self.weights_BL[part], self.own_B[part])


@dataclass(frozen=True)
class Point:
    """A way to search.

    Attributes:
        settings: how.
        recall: with the queries that it was found by, the lesser of both parts.
        milliseconds: of a query, median.
    """

    settings: SearchSettings
    recall: float
    milliseconds: float


@dataclass(frozen=True)
class Measured:
    """What a measuring found.

    Attributes:
        settings: the quickest way to search that reaches the wished recall; its own recall is of queries that it was
            not found by.
        milliseconds: of a query then, median.
        exact_milliseconds: of a query that is compared with every document.
        points: all ways that were tried, one for each effort.
        is_reached: whether some way reached it.
    """

    settings: SearchSettings
    milliseconds: float
    exact_milliseconds: float
    points: tuple[Point, ...]
    is_reached: bool


def bench(
    store: StoreFolder,
    queries: Queries,
    *,
    wished: float = 0.99,
    top_k: int = 5,
    threads: int = 1,
    tell: Callable[[str], None] = lambda line: None,
) -> Measured:
    """Find the quickest way to search a store in two stages that reaches a recall.

    For each effort, the fewest documents to fetch are found that reach the recall with each of two thirds of the
    queries, and that search is timed. Taken is the quickest, and the recall that is reported is that of the last third.
    (Two parts must agree, since with few queries some effort looks good by luck.)

    Args:
        store: with an index.
        queries: at least three.
        wished: share of the exact best ``top_k`` documents that is to be found.
        top_k: K.
        threads: of FAISS and torch.
        tell: told how far it is.

    Raises:
        ClaraError: the store has no index, or a number is out of bounds.
    """
    store = store.whole
    _check(store, queries, wished=wished, top_k=top_k)
    index = TwoStageIndex(store)
    parts = [queries[start::3] for start in range(3)]
    with _threads(threads):
        truth, exact = _truth(store, index, queries, top_k=top_k, tell=tell)
        judged = [(part, truth[start::3]) for start, part in enumerate(parts)]
        points = []
        for effort in index.key_index.efforts():
            recall, settings = _fewest(index, judged[:2], SearchSettings(effort, 0, top_k), wished=wished)
            spent = _milliseconds(index.searched(settings), parts[0], top_k=top_k)
            points.append(Point(settings, recall, spent))
            tell(f"effort {effort}: recall {recall:.4f}, {settings.fetch} documents fetched, {spent:.2f} ms")
        reached = [point for point in points if point.recall >= wished]
        taken = min(reached, key=lambda point: point.milliseconds) if reached else max(points, key=_recall_of)
        recall = _recall(index.searched(taken.settings), *judged[2])
    settings = replace(taken.settings, recall=round(recall, 4), queries=len(parts[2]), wished=wished)
    return Measured(settings, taken.milliseconds, exact, tuple(points), bool(reached))


def _recall_of(point: Point) -> float:
    return point.recall


def _check(store: StoreFolder, queries: Queries, *, wished: float, top_k: int) -> None:
    if not 0 < wished <= 1:
        raise ClaraError(f"--recall must be above 0 and at most 1, got {wished}")
    if not 1 <= top_k < len(store):
        raise ClaraError(f"--top-k must be between 1 and {len(store) - 1}, one less than the documents, got {top_k}")
    if len(queries) < 3:
        raise ClaraError(f"--queries must be at least 3, one for each part of the measuring, got {len(queries)}")


def _truth(
    store: StoreFolder, index: TwoStageIndex, queries: Queries, *, top_k: int, tell: Callable[[str], None]
) -> tuple[list[list[int]], float]:
    """The exact best documents of each query, and the milliseconds that one query takes alone."""
    scan = ScanIndex(LatentStore(store), score=index.score)
    tell(f"{len(queries)} queries are compared with all {len(store):,} documents")
    hits = scan.search(queries.query_BLD, queries.weights_BL, top_k=top_k + 1)
    truth = [
        [row for row in rows if row != own][:top_k]
        for rows, own in zip(hits.rows_BK.tolist(), queries.own_B, strict=True)
    ]
    return truth, _milliseconds(scan, queries[:1], top_k=top_k)


def _fewest(
    index: TwoStageIndex, judged: list[tuple[Queries, list[list[int]]]], settings: SearchSettings, *, wished: float
) -> tuple[float, SearchSettings]:
    """The fewest documents to fetch for the recall, else the most that are tried; and the recall then."""
    ladder = [replace(settings, fetch=fetch) for fetch in _fetches(settings.top_k, most=index.entry.rows)]
    recalls: dict[int, float] = {}

    def reached(place: int) -> bool:
        recalls[place] = min(_recall(index.searched(ladder[place]), *part) for part in judged)
        return recalls[place] >= wished

    place = min(bisect_left(range(len(ladder)), True, key=reached), len(ladder) - 1)
    if place not in recalls:
        reached(place)
    return recalls[place], ladder[place]


def _fetches(top_k: int, *, most: int) -> list[int]:
    """Numbers of documents to fetch, each about a quarter more than the one before."""
    found, number = [], top_k + 1
    while number < min(MOST_FETCHED, most):
        found.append(number)
        number = max(number + 1, number * 5 // 4)
    return [*found, min(MOST_FETCHED, most)]


def _recall(index: TwoStageIndex, queries: Queries, truth: list[list[int]]) -> float:
    fetch = index.entry.search.fetch
    found = index.candidates(queries.query_BLD, queries.weights_BL, fetch=fetch)
    behind = index.entry.rows  # later documents are all scored
    hits = sum(
        row >= behind or row in own for rows, own in zip(truth, map(_as_set, found), strict=True) for row in rows
    )
    return hits / sum(map(len, truth))


def _as_set(rows: np.ndarray) -> set[int]:
    return set(rows.tolist())


def _milliseconds(index: Index, queries: Queries, *, top_k: int) -> float:
    """Median over single queries, the first of which is not counted."""
    spent = []
    for number in (0, *range(min(len(queries), TIMED))):
        one = queries[number : number + 1]
        started = time.perf_counter()
        index.search(one.query_BLD, one.weights_BL, top_k=top_k)
        spent.append(1000 * (time.perf_counter() - started))
    return float(np.median(spent[1:]))


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        with faiss_threads(number):
            yield
    finally:
        torch.set_num_threads(before)
