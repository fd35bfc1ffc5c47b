"""The first stage of a search: keys held by FAISS, built within a bound of memory and mapped from disk.

``flat`` compares a query with every key (float16). ``hnsw`` walks a graph over them, quickest where recall must be
high. The other two have inverted lists, of which a search looks at the nearest: ``ivf-sq`` with a byte a number,
``ivf-pq`` with product-quantised codes of half a byte a number; keys are rotated at random before, as a learned
rotation (OPQ) found no more.

What does not fit into the memory that is allowed becomes a file of its own: all files are searched.

Shapes: X vectors, K numbers of a key, n results a vector.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import faiss as untyped
import numpy as np

from clara_lightning.corpus.index_entry import IndexKind

faiss: Any = untyped  # its stubs do not know half of it

PART = "keys-{:05d}.faiss"
MAX_LISTS = 65_536
LEAST_KEYS = 256
TRAIN_VECTORS_A_LIST = 40
LEAST_TRAIN_VECTORS = 16_384
MOST_TRAIN_VECTORS = 1 << 20
HNSW_NEIGHBOURS = 32
MOST_PROBES = 512
GIB = 1 << 30


@dataclass(frozen=True)
class IndexPlan:
    """What FAISS is to build.

    Attributes:
        kind: how the keys are held.
        dim: K.
        factory: the same in FAISS's words.
        num_lists: inverted lists; 0 where there are none.
        train_vectors: keys that quantisers are trained on; 0 where there are none.
        bytes_a_key: of the index, in memory and on disk.
    """

    kind: IndexKind
    dim: int
    factory: str
    num_lists: int
    train_vectors: int
    bytes_a_key: int


def has_enough(kind: IndexKind, *, num_keys: int) -> bool:
    """Whether an index has enough keys to learn from: ``ivf-pq`` needs as many as a code has values."""
    return kind != "ivf-pq" or num_keys >= LEAST_KEYS


def plan_index(kind: IndexKind, *, dim: int, num_keys: int) -> IndexPlan:
    """Choose the sizes of an index of so many keys, of which there must be enough: see :func:`has_enough`."""
    if kind == "flat":
        return IndexPlan(kind, dim, "SQfp16", 0, 0, 2 * dim + 8)
    if kind == "hnsw":
        links = 4 * 2 * HNSW_NEIGHBOURS + 16
        return IndexPlan(kind, dim, f"HNSW{HNSW_NEIGHBOURS}_SQfp16", 0, 0, 2 * dim + 8 + links)
    # About four times the square root, but never so many that a list has less than 40 keys to be learnt from.
    wanted = min(4 * math.sqrt(num_keys), num_keys / TRAIN_VECTORS_A_LIST, MAX_LISTS)
    num_lists = 1 << max(0, int(math.log2(wanted)))
    train = min(num_keys, MOST_TRAIN_VECTORS, max(LEAST_TRAIN_VECTORS, TRAIN_VECTORS_A_LIST * num_lists))
    if kind == "ivf-sq":
        return IndexPlan(kind, dim, f"IVF{num_lists},SQ8", num_lists, train, dim + 8)
    code = max(1, dim // 2)
    # np: FAISS would else order the codes for polysemous search, a second for every byte of a code
    factory = f"RR{2 * code},IVF{num_lists},PQ{code}x8np"
    return IndexPlan(kind, dim, factory, num_lists, train, code + 8)


class KeyIndexBuilder:
    """Builds an index into a folder, holding no more of it in memory than is allowed.

    Args:
        plan: what to build.
        folder: where its files go.
        part_bytes: what may be held in memory.
    """

    def __init__(self, plan: IndexPlan, folder: Path, *, part_bytes: int) -> None:
        self.plan, self.folder, self.part_bytes = plan, folder, part_bytes
        self._index = faiss.index_factory(plan.dim, plan.factory, faiss.METRIC_INNER_PRODUCT)
        self._num_parts = 0

    def train(self, vectors_XK: np.ndarray) -> None:
        """Learn lists and codes from a sample of keys."""
        _learn_from_few(self._index)
        self._index.train(vectors_XK)

    def add(self, vectors_XK: np.ndarray) -> None:
        """Add the next keys; what does not fit into memory goes to disk."""
        self._index.add(vectors_XK)
        if self.plan.bytes_a_key * int(self._index.ntotal) > self.part_bytes:
            self._write_part()

    def finish(self) -> None:
        """Write what is still in memory."""
        if self._index.ntotal:
            self._write_part()

    def _write_part(self) -> None:
        path = self.folder / PART.format(self._num_parts)
        try:
            faiss.write_index(self._index, str(path))
        except RuntimeError as error:  # as FAISS says that a disk is full
            raise OSError(" ".join(str(error).split())[-200:]) from error
        self._index.reset()
        self._num_parts += 1


class KeyIndex:
    """An index on disk, mapped: what is searched is read, and shared between processes.

    Args:
        folder: with its files.
        kind: of the index.
        keys_a_document: how many keys each document has; they stand in the order of the documents.

    Raises:
        RuntimeError: FAISS cannot read a file.
    """

    def __init__(self, folder: Path, kind: IndexKind, *, keys_a_document: int) -> None:
        mapped = faiss.IO_FLAG_MMAP if kind.startswith("ivf") else faiss.IO_FLAG_MMAP_IFC
        self._parts = [faiss.read_index(str(path), mapped) for path in sorted(folder.glob("keys-*.faiss"))]
        self._starts = [0, *accumulate(int(part.ntotal) for part in self._parts)]
        self.kind: IndexKind = kind
        self._keys_a_document = keys_a_document

    def __len__(self) -> int:
        return self._starts[-1]

    def search(self, vectors_XK: np.ndarray, *, width: int, effort: int) -> tuple[np.ndarray, np.ndarray]:
        """The best keys of each vector.

        Args:
            vectors_XK: float32.
            width: n.
            effort: inverted lists to look at, or nodes of the graph to keep in sight.

        Returns:
            Inner products, and rows of the documents that have the keys, ``(X, n)``, best first; row -1 where there is
            none.
        """
        found_scores, found_keys = [], []
        for part, start in zip(self._parts, self._starts, strict=False):
            scores, keys = part.search(vectors_XK, width, params=self._parameters(effort, width))
            found_scores.append(scores)
            found_keys.append(np.where(keys < 0, -1, keys + start))
        scores, keys = np.concatenate(found_scores, axis=1), np.concatenate(found_keys, axis=1)
        if len(self._parts) > 1:
            order = np.argsort(-scores, axis=1, kind="stable")[:, :width]
            scores, keys = np.take_along_axis(scores, order, axis=1), np.take_along_axis(keys, order, axis=1)
        return scores, keys // self._keys_a_document  # -1 stays -1

    def efforts(self) -> list[int]:
        """What ``effort`` of a search may sensibly be, rising."""
        if self.kind == "flat":
            return [0]
        if self.kind == "hnsw":
            return [1 << power for power in range(4, 11)]
        lists = int(faiss.extract_index_ivf(self._parts[0]).nlist)
        return [1 << power for power in range(min(lists, MOST_PROBES).bit_length())]

    def _parameters(self, effort: int, width: int) -> Any:
        """Given with each search, not set on the index, so that threads do not disturb one another."""
        if self.kind == "ivf-sq":
            return faiss.SearchParametersIVF(nprobe=effort)
        if self.kind == "ivf-pq":
            return faiss.SearchParametersPreTransform(index_params=faiss.SearchParametersIVF(nprobe=effort))
        if self.kind == "hnsw":
            return faiss.SearchParametersHNSW(efSearch=max(effort, width))
        return None


@contextmanager
def faiss_threads(number: int | None) -> Iterator[None]:
    """Let FAISS compute with so many threads, and as before afterwards; ``None`` changes nothing."""
    before = faiss.omp_get_max_threads()
    if number is not None:
        faiss.omp_set_num_threads(number)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _learn_from_few(index: Any) -> None:
    """Quantisers learn also from a small store, without a word."""
    inverted = faiss.downcast_index(faiss.extract_index_ivf(index))
    inverted.cp.min_points_per_centroid = 1
    if isinstance(inverted, faiss.IndexIVFPQ):
        inverted.pq.cp.min_points_per_centroid = 1
