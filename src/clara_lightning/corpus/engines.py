"""Keys of a store in an outside vector engine: the engine finds candidates, the store scores them.

Shapes: B queries, N documents, n documents at once, L memory tokens, D hidden size, K dimensions of a key.

The engine holds one short vector a document and its id. Memory and text stay in the store, so the engine decides which
documents are looked at, and never what they score.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from clara_lightning.corpus.index import Hits
from clara_lightning.corpus.store import LatentStore
from clara_lightning.errors import ClaraError
from clara_lightning.objectives.scores import ScoreName, score

log = logging.getLogger(__name__)

KeyFunction = Callable[[Tensor], Tensor]
"""Keys ``(n, K)`` of memory ``(n, L, D)``; of queries too, so that inner products of the two mean something."""

KEYS_AT_ONCE = 65_536  # an engine looks for known ids at each call: few large calls
IDS_AT_ONCE = 1_000
SECONDS_BETWEEN_LINES = 10.0


class VectorEngine(Protocol):
    """Holds a vector for each id, and finds those with the greatest inner product."""

    def upsert(self, ids: Sequence[str], keys_NK: Tensor) -> None:
        """Take keys (float32, on the CPU); where an id is there already, the new key takes the old one's place."""
        ...

    def delete(self, ids: Sequence[str]) -> None:
        """Forget documents; an id that is not there is no mistake."""
        ...

    def search(self, keys_BK: Tensor, *, top_k: int) -> list[list[str]]:
        """Ids of about the best for each query, ``top_k`` of them, or all where there are fewer."""
        ...


def mean_key(memory_NLD: Tensor) -> Tensor:
    """The direction of the mean of a document's normalised memory tokens, ``(n, D)`` float32.

    Example:
        >>> mean_key(torch.tensor([[[3.0, 0.0], [0.0, 2.0]]]))
        tensor([[0.7071, 0.7071]])
    """
    return F.normalize(F.normalize(memory_NLD.float(), dim=-1).mean(dim=1), dim=-1)


@torch.no_grad()
def fill(
    engine: VectorEngine,
    store: LatentStore,
    *,
    key: KeyFunction = mean_key,
    at_once: int = KEYS_AT_ONCE,
    tell: Callable[[str], None] = log.info,
) -> int:
    """Send the keys of all documents of a store to an engine. Again after an interruption: nothing is there twice.

    Args:
        engine: where to.
        store: the documents.
        key: see :data:`KeyFunction`.
        at_once: keys of a call to the engine, at most 8,191 more than that.
        tell: gets a line now and then, and one at the end.

    Returns:
        How many keys were sent.
    """
    told, started = time.monotonic(), time.monotonic()
    sent, width = 0, 0
    for keys_NK in _key_blocks(store, key, at_once):
        engine.upsert(store.ids[sent : sent + len(keys_NK)], keys_NK)
        sent, width, now = sent + len(keys_NK), keys_NK.shape[1], time.monotonic()
        if now - told >= SECONDS_BETWEEN_LINES and sent < len(store):
            told = now
            tell(f"{sent:,} of {len(store):,} keys sent, {sent / (now - started):,.0f} a second")
    tell(f"{sent:,} keys of {width} dimensions sent")
    return sent


def _key_blocks(store: LatentStore, key: KeyFunction, at_once: int) -> Iterator[Tensor]:
    """Keys in the order of rows; small shards together, since memory is read a block at a time but keys are short."""
    waiting: list[Tensor] = []
    for _, memory_NLD in store.blocks():
        waiting.append(key(memory_NLD).float().cpu())
        if sum(map(len, waiting)) >= at_once:
            yield torch.cat(waiting)
            waiting = []
    if waiting:
        yield torch.cat(waiting)


class EngineIndex:
    """Asks an engine for candidates, and scores them from the store as training does.

    It is exact among the candidates: what the engine does not name is not found. Of equal scores the lower row is
    first. All ids of the store are held in main memory from the first search on.

    Args:
        store: the documents.
        engine: with their keys (:func:`fill`).
        score: ``flat`` or ``maxsim``.
        key: as the engine was filled with.
        over_fetch: candidates for each document that is wanted.
    """

    def __init__(
        self,
        store: LatentStore,
        engine: VectorEngine,
        *,
        score: ScoreName,
        key: KeyFunction = mean_key,
        over_fetch: int = 10,
    ) -> None:
        if over_fetch < 1:
            raise ClaraError(f"over_fetch must be >= 1, got {over_fetch}")
        self.store = store
        self.engine = engine
        self.score = score
        self.key = key
        self.over_fetch = over_fetch

    @torch.no_grad()
    def search(self, query_BLD: Tensor, weights_BL: Tensor, *, top_k: int) -> Hits:
        """See :class:`~clara_lightning.corpus.index.Index`.

        Raises:
            ClaraError: the engine names a document that the store does not have, or too few.
        """
        if not 1 <= top_k <= len(self.store):
            raise ClaraError(
                f"top_k must be between 1 and the number of documents in the store ({len(self.store)}), got {top_k}"
            )
        width = min(self.over_fetch * top_k, len(self.store))
        found = self.engine.search(self._query_keys(query_BLD, weights_BL), top_k=width)
        # Query by query: the candidates of all of them together may be more than memory takes.
        hits = [self._best(query_BLD[b : b + 1], weights_BL[b : b + 1], names, top_k) for b, names in enumerate(found)]
        if not hits:
            empty_BK = query_BLD.new_empty(0, top_k, dtype=torch.float32)
            return Hits(empty_BK, empty_BK.long())
        return Hits(*(torch.cat(parts) for parts in zip(*hits, strict=True)))

    def _query_keys(self, query_BLD: Tensor, weights_BL: Tensor) -> Tensor:
        """Keys of queries; vectors that late interaction gives no weight are as if they were not there."""
        if self.score == "maxsim":
            counts_BL = (weights_BL > 0) | (weights_BL <= 0).all(dim=1, keepdim=True)
            query_BLD = query_BLD * counts_BL.unsqueeze(-1)
        return self.key(query_BLD).float().cpu()

    def _best(self, query_1LD: Tensor, weights_1L: Tensor, names: Sequence[str], top_k: int) -> Hits:
        rows = sorted(set(self.store.rows_of(names, source="the engine, which was not told of a deletion")))
        if len(rows) < top_k:
            raise ClaraError(f"top_k is {top_k}, but the engine finds {len(rows)} documents: fill it, or search wider")
        memory_NLD = self.store.memory(rows).to(query_1LD.device)
        scores_1N = score(self.score, query_1LD, memory_NLD, weights_1L)
        # Rows rise and the sort is stable: equal scores stand by row.
        order_1K = scores_1N.sort(dim=1, descending=True, stable=True).indices[:, :top_k]
        rows_N = torch.tensor(rows, device=query_1LD.device)
        return Hits(scores_1N.gather(1, order_1K), rows_N[order_1K])


class LanceEngine:
    """LanceDB in this process: a folder on disk, no server (extra ``lancedb``).

    Every key is compared until :meth:`build_index` was called.

    Args:
        path: its folder, made where it is missing.
        table: name of the table in it.
        probes: partitions that are looked at, once there is an index; LanceDB's own number if ``None``.

    Raises:
        ClaraError: lancedb is not installed.
    """

    def __init__(self, path: str | Path, *, table: str = "keys", probes: int | None = None) -> None:
        if find_spec("lancedb") is None:
            raise ClaraError("the LanceDB engine needs the extra lancedb: pip install 'clara-lightning[lancedb]'")
        import lancedb

        self.path = Path(path)
        self._name = table
        self._probes = probes
        self._connection: Any = lancedb.connect(self.path)

    def upsert(self, ids: Sequence[str], keys_NK: Tensor) -> None:
        """See :class:`VectorEngine`; the first keys decide on the dimensions.

        Raises:
            ClaraError: these keys have others.
        """
        if not ids:
            return
        width = keys_NK.shape[1]
        key_type = pa.list_(pa.float32(), width)
        schema = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("key", key_type)])
        table = self._open()
        if table is None:
            table = self._connection.create_table(self._name, schema=schema)
        self._require_width(table, width)
        flat = pa.array(keys_NK.float().cpu().contiguous().flatten().numpy())
        rows = pa.table([pa.array(ids), pa.FixedSizeListArray.from_arrays(flat, width)], schema=schema)
        table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def delete(self, ids: Sequence[str]) -> None:
        """See :class:`VectorEngine`."""
        table = self._filled()
        for start in range(0, len(ids), IDS_AT_ONCE):
            quoted = ("'" + name.replace("'", "''") + "'" for name in ids[start : start + IDS_AT_ONCE])
            table.delete(f"id IN ({', '.join(quoted)})")

    def search(self, keys_BK: Tensor, *, top_k: int) -> list[list[str]]:
        """See :class:`VectorEngine`.

        Raises:
            ClaraError: nothing was sent yet, or keys have other dimensions.
        """
        table = self._filled()
        self._require_width(table, keys_BK.shape[1])
        return [self._search_one(table, key_K, top_k) for key_K in keys_BK.float().cpu()]

    def build_index(self, *, partitions: int, sub_vectors: int) -> None:
        """An IVF-PQ index, so that not every key is compared. Keys that come later are compared one by one.

        Args:
            partitions: of the keys; about the root of their number is usual.
            sub_vectors: bytes that a key is kept in; the key's dimensions are a multiple of it.
        """
        self._filled().create_index(
            metric="dot", vector_column_name="key", num_partitions=partitions, num_sub_vectors=sub_vectors
        )

    def _search_one(self, table: Any, key_K: Tensor, top_k: int) -> list[str]:
        query = table.search(key_K.numpy(), vector_column_name="key").distance_type("dot").limit(top_k)
        if self._probes is not None:
            query = query.nprobes(self._probes)
        found: list[str] = query.select(["id", "_distance"]).to_arrow()["id"].to_pylist()
        return found

    def _open(self) -> Any:
        """The table; ``None`` where there is none yet."""
        try:
            return self._connection.open_table(self._name)
        except ValueError:  # what LanceDB raises for a name that it does not know
            return None

    def _filled(self) -> Any:
        table = self._open()
        if table is None:
            raise ClaraError(f"{self.path}: no keys are in it yet: send those of the store first (fill)")
        return table

    def _require_width(self, table: Any, width: int) -> None:
        found = table.schema.field("key").type.list_size
        if found != width:
            raise ClaraError(
                f"{self.path}: its keys have {found} dimensions, these have {width}: another key function?"
            )
