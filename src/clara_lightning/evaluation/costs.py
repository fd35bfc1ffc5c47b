"""Time and memory of the kinds of work in an evaluation."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from clara_lightning.evaluation.processes import synchronize
from clara_lightning.evaluation.results import StepCost

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Meter:
    """Adds up what each kind of work takes in this process.

    Memory is the most that the device had allocated on CUDA, and the most that was resident on a Linux CPU; elsewhere
    it is not known.

    Args:
        device: where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._seconds: dict[str, float] = defaultdict(float)
        self._items: dict[str, int] = defaultdict(int)
        self._peak: dict[str, int | None] = {}

    @contextmanager
    def measure(self, step: str, *, items: int) -> Iterator[None]:
        """Scope that does a kind of work for some items."""
        self._forget_peak()
        synchronize(self.device)
        started = time.perf_counter()
        yield
        synchronize(self.device)
        self._seconds[step] += time.perf_counter() - started
        self._items[step] += items
        peak, before = self._peak_bytes(), self._peak.get(step)
        self._peak[step] = peak if before is None or peak is None else max(before, peak)

    def steps(self) -> dict[str, StepCost]:
        """What was measured, by kind of work."""
        return {
            step: StepCost(count, 1000 * self._seconds[step] / count, self._peak[step])
            for step, count in self._items.items()
            if count
        }

    def _forget_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif self._reads_status:
            _CLEAR.write_text("5")  # Linux: the peak becomes what is resident now

    def _peak_bytes(self) -> int | None:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        if not self._reads_status:
            return None
        found = re.search(r"^VmHWM:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else None

    @property
    def _reads_status(self) -> bool:
        return self.device.type == "cpu" and _CLEAR.exists()
