"""Peak memory: of this process, as Linux or CUDA counts it, and as a callback of Lightning's."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import re
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


def reset_peak(device: torch.device) -> int:
    """Forget the peak of what came before, and return the bytes in use now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak_bytes(device: torch.device) -> int:
    """Bytes in use at most since :func:`reset_peak`: allocated on a GPU, resident on a CPU (Linux alone)."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status("VmHWM")


def give_back() -> None:
    """Return what is no longer used to the system, where glibc kept it: another process is about to need it."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


class PeakResident(Callback):
    """Writes ``{"before": bytes, "peak": bytes}``: resident before the first step, and at most until the last one.

    Linux alone: the peak is reset when training starts, so that reading the weights does not count.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.before = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the peak of what came before."""
        self.before = reset_peak(torch.device("cpu"))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write."""
        self.path.write_text(json.dumps({"before": self.before, "peak": peak_bytes(torch.device("cpu"))}))


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
