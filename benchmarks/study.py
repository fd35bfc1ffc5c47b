"""What the studies have in common: rows of overlays, the command line as a process, and steps that fit into minutes."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from clara_lightning.corpus.manifest import write_json
from clara_lightning.errors import ClaraError

_SKIPPED = 3  # first steps, which are not counted


def clara(*words: str) -> None:
    """Run a command of ``clara``.

    Raises:
        subprocess.CalledProcessError: it failed; it has said why.
    """
    print("$ clara " + " ".join(words), flush=True)
    subprocess.run([sys.executable, "-m", "clara_lightning", *words], check=True)


def check_overlays(names: Sequence[str], folder: Path) -> None:
    """Refuse names of which the folder has no file.

    Raises:
        ClaraError: naming those that there are.
    """
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    for name in names:
        if name not in known:
            raise ClaraError(f"{name!r} is no row: choose among {', '.join(known)}")


def options(settings: dict[str, object]) -> list[str]:
    """Settings as words of a command line."""
    return [word for name, value in settings.items() for word in (f"--{name}", str(value))]


class Paces:
    """Seconds of a step of each row on the reference machine, in a file; measured where they are missing.

    A row is timed beside a reference row, and only the ratio counts: a machine that is shared is fast at one hour and
    slow at the next, and how two rows relate changes less.

    Args:
        path: the file; without one a first reference row is timed by itself.
        reference: name of the row that the others are timed beside.
    """

    def __init__(self, path: Path, *, reference: str) -> None:
        self.path = path
        self.reference = reference

    def seconds(self, name: str, measure: Callable[[str], float]) -> float:
        """Seconds of a step.

        Args:
            name: of the row.
            measure: times a step of a row now.
        """
        known = json.loads(self.path.read_text(encoding="utf-8")) if self.path.is_file() else {}
        if self.reference not in known:
            known[self.reference] = round(measure(self.reference), 3)
        if name not in known:
            known[name] = round(measure(name) / measure(self.reference) * known[self.reference], 3)
        write_json(self.path, dict(sorted(known.items())))
        return float(known[name])


def step_seconds(fit: Sequence[str], run: Path, *, accumulate: int = 1, steps: int = 15) -> float:
    """Median over a few steps of a run that is made for it and thrown away, in seconds of an optimizer step.

    Args:
        fit: the command, of which this sets the number of steps.
        run: its folder.
        accumulate: batches of an optimizer step.
        steps: of the run, of single batches.
    """
    shutil.rmtree(run, ignore_errors=True)
    short = {"max_steps": steps, "log_every_n_steps": 1, "accumulate_grad_batches": 1, "limit_val_batches": 0}
    clara(*fit, *options({f"trainer.{name}": value for name, value in short.items()}))
    events = EventAccumulator(str(run)).Reload().Scalars("train/step_seconds")
    return accumulate * float(statistics.median(event.value for event in events[_SKIPPED:]))
