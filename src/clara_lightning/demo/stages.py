"""Steps of a long way through the commands of ``clara``: each leaves a stamp, and is kept while nothing changed.

Each step runs as a process of its own. A way that was interrupted goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from clara_lightning.corpus.manifest import write_json
from clara_lightning.errors import ClaraError

STAMPS = "stamps"
_STDERR = 2


@dataclass(frozen=True)
class Stage:
    """One step.

    Attributes:
        title: what the user reads.
        folder: what it makes; removed when it was made from something else.
        command: verb and options of ``clara``, or the words that describe ``action``.
        action: runs it, where it is no command.
        resumes: whether an interrupted run may be continued in the same folder.
    """

    title: str
    folder: Path
    command: tuple[str, ...]
    action: Callable[[], object] | None = None
    resumes: bool = False


def run_stages(stages: Sequence[Stage], console: Console, *, speaks_of_kept: bool = True) -> dict[str, float]:
    """Run what is not there yet, in order; returns the seconds that each took, by the name of its folder.

    Args:
        stages: the steps.
        console: where they say what they do; that of standard error keeps standard output free of the commands' too.
        speaks_of_kept: whether it says which steps were kept.

    Raises:
        ClaraError: a step failed.
    """
    stamp = ""
    seconds: dict[str, float] = {}
    for number, stage in enumerate(stages, start=1):
        stamp = _stamp(stage, stamp)
        found = _noted(stage, stamp)
        kept = found.get("finished", False) and stage.folder.exists()
        if speaks_of_kept or not kept:
            console.rule(f"{number}. {stage.title}", align="left")
        if kept and speaks_of_kept:
            console.print(f"unchanged, kept: {stage.folder}", style="dim")
        spent = found.get("seconds", 0.0) if stage.folder.exists() else 0.0
        seconds[stage.folder.name] = spent if kept else _run_stage(stage, stamp, spent, console)
    return seconds


def _note_file(stage: Stage) -> Path:
    return stage.folder.parent / STAMPS / f"{stage.folder.name}.json"


def _noted(stage: Stage, stamp: str) -> dict[str, Any]:
    """What an earlier call noted of the same stage, made from the same."""
    path = _note_file(stage)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found if found.get("stamp") == stamp else {}


def _run_stage(stage: Stage, stamp: str, spent: float, console: Console) -> float:
    """Run a stage, on which so many seconds were spent before; returns the seconds with those."""
    path = _note_file(stage)
    spent = spent if stage.resumes else 0.0
    if not spent:
        shutil.rmtree(stage.folder, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()

    def note(*, finished: bool) -> float:
        seconds = round(spent + time.monotonic() - started, 1)
        write_json(path, {"stamp": stamp, "seconds": max(seconds, 0.1), "finished": finished})
        return seconds

    note(finished=False)
    try:
        if stage.action is not None:
            stage.action()
        else:
            _call(stage, console)
    except BaseException:
        note(finished=False)
        raise
    return note(finished=True)


def _call(stage: Stage, console: Console) -> None:
    """Run ``clara`` in a process of its own, on this terminal."""
    console.print(escape("$ clara " + " ".join(stage.command)), style="dim", soft_wrap=True)
    output = _STDERR if console.stderr else None
    result = subprocess.run([sys.executable, "-m", "clara_lightning", *stage.command], check=False, stdout=output)
    if result.returncode == 130:
        raise KeyboardInterrupt
    if result.returncode != 0:
        raise ClaraError(f"a step failed with exit code {result.returncode}: clara {stage.command[0]} ...")


def _stamp(stage: Stage, parent: str) -> str:
    """Hash of everything that a stage's result depends on: its command, its configuration, what came before."""
    parts: list[str] = [parent, version("clara-lightning"), *stage.command]
    parts += [Path(word).read_text(encoding="utf-8") for word in _values(stage.command, "--config")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _values(command: Sequence[str], option: str) -> list[str]:
    return [value for name, value in pairwise(command) if name == option]
