"""One row of the main table: both paths take turns, and each is measured once more alone, for its peak memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.limit import Layers
from benchmarks.memory import measure_apart
from benchmarks.peak import give_back
from benchmarks.prepare import LORA, Prepared
from benchmarks.results import Row
from benchmarks.settings import OURS, PLAIN
from benchmarks.texts import Texts
from benchmarks.timing import Rounds, take_turns
from benchmarks.works import Work

DROPOUT = 0.1
WITH_DROPOUT = f"{OURS}, dropout {DROPOUT}"
FLOAT32_ADAPTERS = f"{PLAIN}, adapters in float32 as PEFT makes them by default"
SECONDS = {"a": 100.0, "b": 100.0, "c": 50.0, "d": 60.0, "e": 75.0, "s": 5.0, "t": 20.0}  # of a row's measured rounds


@dataclass(frozen=True)
class Bench:
    """What the rows share.

    Attributes:
        prepared: where every path starts.
        texts: documents and questions.
        name: of the backbone.
        device: where to compute.
        quick: measure one round, and the most important variants alone.
        rounds: so many of each row; ``None`` goes by :data:`SECONDS`.
        with_peaks: measure peak memory.
    """

    prepared: Prepared
    texts: Texts
    name: str
    device: torch.device
    quick: bool = False
    rounds: int | None = None
    with_peaks: bool = True

    def rounds_of(self, key: str) -> Rounds:
        """How often the variants of a row take their turns."""
        if self.rounds is not None or self.quick:
            count = self.rounds or 1
            return Rounds(0.0, least=count, most=count)
        return Rounds(SECONDS[key])


def measure(work: Work, bench: Bench) -> Row:
    """Measure a row."""
    ours, plain = bench.prepared.open_ours(bench.device), bench.prepared.open_plain(bench.device)
    variants: dict[str, Callable[[], object]] = {OURS: work.begin(ours), PLAIN: work.begin(plain)}
    if work.key == "a" and not bench.quick:
        variants[WITH_DROPOUT] = work.begin(bench.prepared.open_ours(bench.device, dropout=DROPOUT))
        variants[FLOAT32_ADAPTERS] = work.begin(bench.prepared.open_plain(bench.device, float32_adapters=True))
    backbone = ours.backbone
    dtype = backbone.causal_lm.dtype
    turns = take_turns(variants, rounds=bench.rounds_of(work.key), device=bench.device, dtype=dtype)
    row = Row(
        work.key,
        work.title,
        turns.seconds,
        tokens=work.tokens(backbone.prompts),
        flops=Layers.of_config(backbone.causal_lm.config, rank=LORA.rank).flops(work.passes(backbone.prompts)),
        rate=turns.rate,
        difference=difference(turns.first[OURS], turns.first[PLAIN]),
        tolerance=work.tolerance,
    )
    del ours, plain, variants, backbone, turns
    give_back()
    if bench.with_peaks:
        row.peaks = {name: measure_apart(work.key, name, bench.prepared) for name in (OURS, PLAIN)}
    return row


def difference(one: Any, other: Any) -> float:
    """Relative distance of two losses, or of two encodings."""
    return float((one.float() - other.float()).norm() / other.float().norm())
