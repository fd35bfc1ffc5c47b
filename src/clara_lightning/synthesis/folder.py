"""The folder beside the output that holds a run's work: what it was begun with, what is finished, and the report.

scp.jsonl                     the output
scp.synthesis/settings.json   teacher, prompts and parameters, and their fingerprint
scp.synthesis/plan.json       documents that are worked on; left_out.jsonl: those that are not, and why
scp.synthesis/outcomes/       what became of each document, appended when it is finished
scp.synthesis/replies.jsonl   the teacher's answers about unfinished documents; gone afterwards
scp.synthesis/rejects.jsonl   rejected documents, with the reason
scp.synthesis/report.html     the quality report; report.json: its figures
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clara_lightning.errors import ClaraError

_SHOWN = 60


def fingerprint_of(identity: Mapping[str, Any]) -> str:
    """A hash of what a run was begun with: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


class WorkFolder:
    """The folder of one output file; while it is open no other process can open it.

    Args:
        out: the output file, a name that ends in ``.jsonl``.

    Raises:
        ClaraError: the name is another, the folder is in use, or it cannot be made.
    """

    def __init__(self, out: str) -> None:
        self.out = Path(out)
        if self.out.suffix != ".jsonl" or self.out.is_dir():
            raise ClaraError(f"--out: {out}: expected the name of a file that ends in .jsonl")
        self.path = self.out.with_suffix(".synthesis")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise ClaraError(f"{self.path}: cannot be written: {error.strerror or error}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it when the process dies
        except OSError as error:
            os.close(self._lock)
            raise ClaraError(f"--out: {out}: another clara synthesize is at work on it") from error

    def begin(self, identity: Mapping[str, Any]) -> str:
        """Note what the run is begun with, or check that it is what the run was begun with; returns the fingerprint.

        Raises:
            ClaraError: it was begun with something else.
        """
        path = self.path / "settings.json"
        if path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))["identity"]
            if changed := next(_differences(before, json.loads(json.dumps(identity))), None):
                raise ClaraError(f"--out: {self.out} was begun with {changed}; choose another --out, or go on as begun")
        else:
            rows = {"fingerprint": fingerprint_of(identity), "identity": identity}
            temporary = path.with_suffix(".new")
            temporary.write_text(json.dumps(rows, indent=2, ensure_ascii=False), encoding="utf-8")
            temporary.replace(path)
        return fingerprint_of(identity)

    def close(self) -> None:
        """Let others in."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """What differs, as ``name BEFORE, now NOW``."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from _differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        yield f"{name} {_shown(before)}, now {_shown(now)}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
