"""What the meter adds up."""

from __future__ import annotations

import mmap
import sys

import pytest
import torch

from clara_lightning.evaluation.costs import Meter


def test_time_is_the_mean_over_all_items_of_a_kind_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 5.0, 8.0])
    monkeypatch.setattr("clara_lightning.evaluation.costs.time.perf_counter", lambda: next(clock))
    meter = Meter(torch.device("cpu"))
    for items in (1, 3):
        with meter.measure("work", items=items):
            pass

    step = meter.steps()["work"]

    assert (step.items, step.milliseconds) == (4, 1000 * (1 + 3) / 4)


def test_work_without_items_is_not_shown() -> None:
    meter = Meter(torch.device("cpu"))
    with meter.measure("nothing", items=0):
        pass

    assert meter.steps() == {}


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from Linux's /proc")
def test_the_peak_is_that_of_the_work_and_not_of_what_came_before() -> None:
    meter = Meter(torch.device("cpu"))
    with meter.measure("small", items=1):
        pass
    with meter.measure("large", items=1), mmap.mmap(-1, 64 * 2**20) as fresh:  # not memory that was used before
        fresh.write(bytes(64 * 2**20))
    with meter.measure("after", items=1):
        pass

    small, large, after = (meter.steps()[name].peak_bytes for name in ("small", "large", "after"))

    assert small is not None and large is not None and after is not None
    assert large - small > 48 * 2**20
    assert large - after > 32 * 2**20
