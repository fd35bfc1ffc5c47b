"""Seconds, measured side by side, on a CPU or on CUDA: the one place that reads a clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

import torch

MATRIX_SIZES = {"cpu": 2048, "cuda": 8192}
MATRIX_TRIES = 3
GAUGE_EVERY = 2.0  # seconds

Variants = Mapping[str, Callable[[], object]]


class Rounds(NamedTuple):
    """How often variants take their turns: for so many seconds, but at least and at most so often."""

    seconds: float
    least: int = 2
    most: int = 9

    def fitting(self, seconds_a_round: float) -> int:
        """Rounds that fit into the time."""
        return max(self.least, min(self.most, int(self.seconds / max(seconds_a_round, 1e-9))))


@dataclass
class Turns:
    """What a measurement gave.

    Attributes:
        seconds: of every variant, in every round.
        first: what each variant returned in the round that does not count.
        rates: floating-point operations a second of a matrix product, in every round.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    first: dict[str, object] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)

    def median(self, name: str) -> float:
        """Median seconds of a variant."""
        return median(self.seconds[name])

    @property
    def rate(self) -> float:
        """Median rate of the matrix product."""
        return median(self.rates)


def timed(call: Callable[[], object], device: torch.device) -> tuple[float, object]:
    """Seconds of a call, until the device is done, and its result."""
    _wait(device)
    started = time.perf_counter()
    result = call()
    _wait(device)
    return time.perf_counter() - started, result


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def take_turns(variants: Variants, *, rounds: Rounds, device: torch.device, dtype: torch.dtype | None = None) -> Turns:
    """Seconds of every variant in every round, after one round that does not count.

    Variants take turns, and the order turns round from one round to the next, so that a machine that slows down slows
    all of them.

    Args:
        variants: what to call.
        rounds: how often; the round that does not count says how long one takes.
        device: where they compute.
        dtype: with it, a large matrix product of this dtype is measured in every round too.
    """
    gauge = None if dtype is None else MatrixProduct(device, dtype)
    turns = Turns({name: [] for name in variants})
    warm_up = 0.0
    for name, call in variants.items():
        seconds, turns.first[name] = timed(call, device)
        warm_up += seconds
    for number in range(rounds.fitting(warm_up)):
        order = list(variants) if number % 2 == 0 else list(variants)[::-1]
        for name in order:
            turns.seconds[name].append(timed(variants[name], device)[0])
            if gauge is not None and gauge.is_due():
                turns.rates.append(gauge.rate())
    return turns


class MatrixProduct:
    """A large square matrix product: the most that the device does in a dtype, as far as a program sees it."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        size = MATRIX_SIZES.get(device.type, MATRIX_SIZES["cpu"])
        draw = torch.Generator().manual_seed(0)
        self.left, self.right = (torch.randn(size, size, generator=draw).to(device, dtype) for _ in range(2))
        self.flops = 2 * size**3
        self.device = device
        self.measured_at = -math.inf

    def is_due(self) -> bool:
        """Whether the last measurement is long ago, compared with what it takes."""
        return time.perf_counter() - self.measured_at > GAUGE_EVERY

    def rate(self) -> float:
        """Floating-point operations a second, of the best of several tries."""
        with torch.inference_mode():
            tries = [timed(lambda: self.left @ self.right, self.device)[0] for _ in range(MATRIX_TRIES)]
        self.measured_at = time.perf_counter()
        return self.flops / min(tries)
