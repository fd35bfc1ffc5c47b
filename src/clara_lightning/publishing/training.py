"""What a model card tells of a training."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_ON_HUB = re.compile(r"hf://?(?P<repo>[^/:#]+/[^/:#]+)")
SHORT = 16  # characters of a sha256 that are shown


@dataclass(frozen=True)
class DataFile:
    """A file of data, by what is the same on every machine.

    Attributes:
        name: its name without folders, or its address on the hub.
        rows: of it that are used.
        sha256: of its content; None on the hub.
    """

    name: str
    rows: int
    sha256: str | None = None

    @property
    def hub_id(self) -> str | None:
        """The data set on the hub, where it is one."""
        found = _ON_HUB.match(self.name)
        return found["repo"] if found else None


@dataclass(frozen=True)
class Training:
    """A training up to the step of its newest checkpoint.

    Attributes:
        settings: some of the settings in effect, by name.
        steps: optimizer steps done.
        rows_seen: rows of training data read by these steps, each as often as it was read; None where not known.
        seconds: of training, validations apart, over all parts of a resumed run; None where not measured.
        train: what was trained on; None for a DataModule of the user's own.
        validation: what was validated on.
        answered_rows: so many rows of it were answered.
        metrics: a row of ``metrics.csv`` after another: ``step`` and what was logged.
        monitor: figure that the best step is kept by, and whether its ``max`` or ``min`` is best.
        license: an identifier of the hub, for these adapters.
        data_license: words of the user's on the licence of the training data.
    """

    settings: Mapping[str, str]
    steps: int
    rows_seen: int | None = None
    seconds: float | None = None
    train: DataFile | None = None
    validation: DataFile | None = None
    answered_rows: int = 0
    metrics: Sequence[Mapping[str, float]] = ()
    monitor: tuple[str, str] | None = None
    license: str | None = None
    data_license: str | None = None

    @property
    def epochs(self) -> float | None:
        """How often the training data was read."""
        return self.rows_seen / self.train.rows if self.train and self.rows_seen is not None else None
