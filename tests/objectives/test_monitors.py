"""Monitors of a validation, over batches and over two processes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from clara_lightning.objectives.metrics import collapse_statistics
from clara_lightning.objectives.monitors import ConditionLosses, SelectionCollapse

CONDITIONS = ("none", "memory", "text")
SUMS = {"none": [6.0, 4.0, 2.0], "memory": [3.0, 2.0, 4.0], "text": [1.0, 2.0, 0.0]}  # of three answers
TOKENS = torch.tensor([3, 2, 1])
TAKEN = torch.tensor([[1, 2], [1, 3], [4, 1]])


def losses_of(rows: slice) -> ConditionLosses:
    metric = ConditionLosses(CONDITIONS)
    for name, sums in SUMS.items():
        metric.update(name, torch.tensor(sums)[rows], TOKENS[rows])
    return metric


def collapse_of(rows: slice) -> SelectionCollapse:
    metric = SelectionCollapse()
    metric.update(TAKEN[rows])
    return metric


def figures(rows: slice = slice(None)) -> dict[str, float]:
    return losses_of(rows).compute() | collapse_of(rows).compute()


def test_losses_are_means_over_tokens() -> None:
    assert losses_of(slice(None)).compute() == pytest.approx(
        {"ce_none": 2.0, "ce_memory": 1.5, "ce_text": 0.5, "information_retained": (2.0 - 1.5) / (2.0 - 0.5)}
    )


def test_a_condition_that_was_never_measured_is_nan() -> None:
    metric = ConditionLosses(CONDITIONS)
    metric.update("none", torch.tensor([2.0]), torch.tensor([1]))
    found = metric.compute()
    assert found["ce_none"] == 2.0
    assert all(math.isnan(found[name]) for name in ("ce_memory", "ce_text", "information_retained"))


def test_collapse_is_that_of_all_batches_together() -> None:
    metric = SelectionCollapse()
    metric.update(TAKEN[:2])
    metric.update(TAKEN[2:])
    assert metric.compute() == collapse_statistics(TAKEN)


def test_a_batch_without_rows_changes_nothing() -> None:
    metric = collapse_of(slice(None))
    metric.update(TAKEN[:0])
    assert metric.compute() == collapse_statistics(TAKEN)


def watch_share(rank: int, folder: Path) -> None:
    """One of two processes: the first has all rows but one, as in the last batch of an epoch."""
    dist.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=2)
    (folder / f"{rank}.json").write_text(json.dumps(figures(slice(0, 2) if rank == 0 else slice(2, None))))
    dist.destroy_process_group()


def test_two_processes_watch_as_one(tmp_path: Path) -> None:
    # This file as a script, and not torch's spawn: that cannot import a test under pytest's importlib mode.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen([sys.executable, __file__, str(r), str(tmp_path)], env=environment) for r in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == pytest.approx(figures())


if __name__ == "__main__":
    watch_share(int(sys.argv[1]), Path(sys.argv[2]))
