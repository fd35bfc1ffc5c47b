"""A callback that writes the peak resident size of the training steps; see ``benchmarks/estimate.py``."""

from __future__ import annotations

import json
import re
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer


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
        Path("/proc/self/clear_refs").write_text("5")
        self.before = _status("VmRSS")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write."""
        self.path.write_text(json.dumps({"before": self.before, "peak": _status("VmHWM")}))


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
