"""From text to memory: in the first part of a run some documents stand as text."""

from __future__ import annotations

from dataclasses import dataclass

from clara_lightning.errors import ClaraError


@dataclass(frozen=True)
class CurriculumConfig:
    """The generator first learns what is asked of it from text, which it can read already.

    Args:
        text_share: share of the examples whose documents stand as text in the first step; it falls in a straight line.
        until: part of the run after which none does.
    """

    text_share: float = 0.0
    until: float = 0.3

    def __post_init__(self) -> None:
        for name, value in (("text_share", self.text_share), ("until", self.until)):
            if not 0.0 <= value <= 1.0:
                raise ClaraError(f"model.init_args.curriculum.{name} must be in [0, 1], got {value}")

    def share(self, step: int, *, total: int) -> float:
        """Share of the examples that are read as text at an optimizer step of ``total``.

        Example:
            >>> [round(CurriculumConfig(0.8, 0.5).share(step, total=100), 2) for step in (0, 25, 50, 90)]
            [0.8, 0.4, 0.0, 0.0]
        """
        length = self.until * total
        return self.text_share * max(0.0, 1.0 - step / length) if length else 0.0
