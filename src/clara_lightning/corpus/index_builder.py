"""Building a two-stage index out of core: a sample teaches it, then the store goes through block by block.

Memory: a quarter of what is allowed for the sample, half for the part of the index that is not on disk yet, an eighth
for a block of memory as float32; the interpreter and its libraries come on top. Pages of mapped shards do not count:
the system takes them back when it needs them.

Shapes: N documents of a block, L memory tokens, D hidden size, P keys a document, K numbers of a key.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from clara_lightning.corpus.index_entry import FOLDER, File, IndexEntry, IndexKind, SearchSettings
from clara_lightning.corpus.key_index import GIB, LEAST_KEYS, IndexPlan, KeyIndexBuilder, has_enough, plan_index
from clara_lightning.corpus.keys import (
    DEFAULT_DIM,
    KEYS_FILE,
    MAX_DIM,
    SAMPLE_VECTORS,
    Keys,
    keys_a_document,
    train_keys,
    vector_size,
)
from clara_lightning.corpus.store_folder import StoreFolder
from clara_lightning.errors import ClaraError
from clara_lightning.objectives.scores import ScoreName

WORKING = ".building"
LEAST_MEMORY_GB = 0.25
FETCH = 200
SAY_EVERY = 10.0  # seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IndexOptions:
    """What index to build.

    Attributes:
        score: the trained score that it is for.
        kind: how FAISS holds the keys.
        key_dim: numbers of a key; by default what suits the score.
        memory_gb: GiB that the build may take, beside interpreter and libraries.

    Raises:
        ClaraError: a number is out of bounds.
    """

    score: ScoreName
    kind: IndexKind = "ivf-sq"
    key_dim: int | None = None
    memory_gb: float = 4.0

    def __post_init__(self) -> None:
        if self.memory_gb < LEAST_MEMORY_GB:
            raise ClaraError(f"--memory-gb must be at least {LEAST_MEMORY_GB}, got {self.memory_gb}")
        if self.key_dim is not None and not 1 <= self.key_dim <= MAX_DIM:
            raise ClaraError(f"--key-dim must be between 1 and {MAX_DIM}, got {self.key_dim}")


def build_index(store: StoreFolder, options: IndexOptions, *, search: SearchSettings | None = None) -> IndexEntry:
    """Build an index of all rows of a store's shards; it is the store's once a manifest names it.

    How it is searched is a guess until :func:`clara_lightning.corpus.search_bench.bench` measures it.

    Args:
        store: the documents; deleted ones are covered too.
        options: what to build.
        search: how to search it, where that is known.

    Raises:
        ClaraError: the kind does not suit the size of the store, or the disk is full.
    """
    store = store.whole
    num_keys = len(store) * keys_a_document(options.score, store.memory_shape)
    if not has_enough(options.kind, num_keys=num_keys):
        raise ClaraError(f"--kind ivf-pq learns its codes from at least {LEAST_KEYS} keys, got {num_keys}: use flat")
    memory = int(options.memory_gb * GIB)
    working = store.path / FOLDER / WORKING
    shutil.rmtree(working, ignore_errors=True)  # of a build that was killed
    try:
        working.mkdir(parents=True)
        keys = _learn_keys(store, options.score, dim=options.key_dim or DEFAULT_DIM[options.score], memory=memory // 4)
        keys.save(working / KEYS_FILE)
        plan = plan_index(options.kind, dim=keys.dim, num_keys=num_keys)
        _fill(store, keys, plan, working, memory=memory)
        return _put_in_place(store, keys, plan, working, search)
    except (OSError, SafetensorError) as error:
        raise ClaraError(f"{working}: cannot be written: {error}; the store is as it was") from error
    finally:
        shutil.rmtree(working, ignore_errors=True)


def sample_rows(num_rows: int, wanted: int, *, seed: int = 0) -> list[int]:
    """Rows drawn from a store without regard to their order in it, ascending; all where there are no more."""
    if wanted >= num_rows:
        return list(range(num_rows))
    draw = np.random.default_rng(seed)
    return sorted(draw.choice(num_rows, wanted, replace=False, shuffle=False).tolist())


class Progress:
    """Says every few seconds how far a pass over the store is, how fast it goes, and how long it will take.

    Args:
        total: documents of the pass.
        what: name of the pass.
        clock: seconds that only grow.
    """

    def __init__(self, total: int, what: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.what, self._clock = total, what, clock
        self._started = self._said = clock()

    def __call__(self, done: int) -> None:
        """Take note of the documents done so far."""
        now = self._clock()
        if now - self._said < SAY_EVERY and done < self.total:
            return
        self._said = now
        rate = done / max(now - self._started, 1e-9)
        left = (self.total - done) / max(rate, 1e-9)
        log.info("%s: %d of %d documents, %.0f a second, %.0f s left", self.what, done, self.total, rate, left)


def _learn_keys(store: StoreFolder, score: ScoreName, *, dim: int, memory: int) -> Keys:
    """Principal directions from a sample; a float32 of it is held about three times."""
    vectors = min(SAMPLE_VECTORS[score], memory // (3 * 4 * vector_size(score, store.memory_shape)))
    wanted = max(1, vectors // keys_a_document(score, store.memory_shape))
    rows = sample_rows(len(store), wanted)
    log.info("index: keys of %d numbers for the score %s, from %d documents", dim, score, len(rows))
    return train_keys(store.memory(rows), score=score, dim=dim)


def _fill(store: StoreFolder, keys: Keys, plan: IndexPlan, folder: Path, *, memory: int) -> None:
    """Train what FAISS has to learn, and add every document."""
    block = _block_rows(store, memory // 8)
    per_document = keys_a_document(keys.score, store.memory_shape)
    builder = KeyIndexBuilder(plan, folder, part_bytes=memory // 2)
    if plan.train_vectors:
        vectors = min(plan.train_vectors, memory // (2 * 4 * 4 * plan.dim))
        rows = sample_rows(len(store), math.ceil(vectors / per_document), seed=1)
        log.info("index: %s learns from %d keys", plan.factory, len(rows) * per_document)
        parts = [rows[start : start + block] for start in range(0, len(rows), block)]
        builder.train(np.concatenate([_keys_of(keys, store.memory(part)) for part in parts]))
    progress = Progress(len(store), "index")
    for first, memory_NLD in store.blocks(block):
        builder.add(_keys_of(keys, memory_NLD))
        progress(first + len(memory_NLD))
    builder.finish()


def _keys_of(keys: Keys, memory_NLD: Tensor) -> np.ndarray:
    with torch.no_grad():
        return keys.of_documents(memory_NLD).flatten(0, 1).contiguous().numpy()


def _block_rows(store: StoreFolder, memory: int) -> int:
    """Documents of a block: their float32 memory is held about twice."""
    length, dim = store.memory_shape
    return max(1, min(8192, memory // (2 * 4 * length * dim)))


def _put_in_place(
    store: StoreFolder, keys: Keys, plan: IndexPlan, working: Path, search: SearchSettings | None
) -> IndexEntry:
    """Give the folder its name, which its bytes decide."""
    files = {path.name: File.of(path) for path in sorted(working.iterdir())}
    summary = json.dumps([plan.kind, keys.score, {name: file.sha256 for name, file in files.items()}])
    folder = f"{keys.score}-{plan.kind}-{hashlib.sha256(summary.encode()).hexdigest()[:12]}"
    target = store.path / FOLDER / folder
    if target.exists():  # the same again, or the same but damaged
        shutil.rmtree(target)
    working.replace(target)
    search = search or SearchSettings(_first_effort(plan), min(FETCH, len(store)))
    entry = IndexEntry(folder, plan.kind, keys.score, keys.dim, plan.factory, len(store), files, search)
    log.info("index: %s, %.1f MB", target, entry.bytes / 1e6)
    return entry


def _first_effort(plan: IndexPlan) -> int:
    """A guess, until it is measured."""
    if plan.num_lists:
        return max(1, min(plan.num_lists, 8 + plan.num_lists // 64))
    return 200 if plan.kind == "hnsw" else 0
