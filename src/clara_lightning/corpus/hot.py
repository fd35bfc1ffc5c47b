"""Memory that is asked for again and again, kept in RAM within a bound.

Shapes: n rows asked for, L memory tokens, D hidden size.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

from clara_lightning.corpus.store import LatentStore
from clara_lightning.errors import ClaraError


class HotMemory:
    """Reads a store's memory, and keeps what was read last.

    What is missing of a request is read together and once, however often its rows are named. May be used by several
    threads: one of them may read ahead.

    Args:
        store: the store.
        max_bytes: of memory that is kept; 0 keeps none.

    Attributes:
        hits: rows that were found in RAM.
        misses: rows that were read.

    Raises:
        ClaraError: ``max_bytes`` is negative.
    """

    def __init__(self, store: LatentStore, *, max_bytes: int) -> None:
        if max_bytes < 0:
            raise ClaraError(f"hot_bytes must be >= 0, got {max_bytes}")
        self.store = store
        self.max_bytes = max_bytes
        self.hits = self.misses = 0
        self._rows: OrderedDict[int, Tensor] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def kept_bytes(self) -> int:
        """Of memory that is in RAM now."""
        return self._bytes

    def memory(self, rows: Sequence[int]) -> Tensor:
        """Memory of documents ``(n, L, D)``, as :meth:`LatentStore.memory` gives it."""
        if not rows:
            return self.store.memory(rows)
        wanted = list(dict.fromkeys(rows))
        with self._lock:
            found = {row: self._rows[row] for row in wanted if row in self._rows}
            for row in found:
                self._rows.move_to_end(row)
        missing = [row for row in wanted if row not in found]
        self.hits += len(found)
        self.misses += len(missing)
        if missing:
            read_NLD = self.store.memory(missing)
            found.update(zip(missing, read_NLD, strict=True))
            self._keep(missing, read_NLD)
        return torch.stack([found[row] for row in rows])

    def _keep(self, rows: Sequence[int], memory_NLD: Tensor) -> None:
        size = memory_NLD[0].numel() * memory_NLD.element_size()
        with self._lock:
            for row, memory_LD in zip(rows, memory_NLD, strict=True):
                if row not in self._rows:
                    self._bytes += size
                self._rows[row] = memory_LD.clone()  # not a view: it would keep all that was read with it
            while self._bytes > self.max_bytes:
                self._rows.popitem(last=False)
                self._bytes -= size
