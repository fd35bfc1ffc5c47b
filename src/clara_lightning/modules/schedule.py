"""Learning rate over a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clara_lightning.errors import ClaraError


@dataclass(frozen=True)
class ScheduleConfig:
    """Linear warmup, then cosine to a share of the peak (paper, appendix: 3 %, a tenth).

    Args:
        warmup_share: part of all steps in which the learning rate rises.
        final_share: learning rate at the end, relative to the peak.
    """

    warmup_share: float = 0.03
    final_share: float = 0.1

    def __post_init__(self) -> None:
        for name, value in (("warmup_share", self.warmup_share), ("final_share", self.final_share)):
            if not 0.0 <= value <= 1.0:
                raise ClaraError(f"model.init_args.schedule.{name} must be in [0, 1], got {value}")


def share_of_peak(step: int, *, total: int, config: ScheduleConfig) -> float:
    """Learning rate at ``step``, relative to the peak.

    Args:
        step: optimizer steps taken so far.
        total: optimizer steps of the run.
        config: shares of warmup and of the end.

    Example:
        >>> round(share_of_peak(100, total=100, config=ScheduleConfig()), 3)
        0.1
    """
    warmup = max(1, math.ceil(config.warmup_share * total))
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return config.final_share + (1.0 - config.final_share) * 0.5 * (1.0 + math.cos(math.pi * progress))
