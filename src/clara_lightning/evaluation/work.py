"""Batches of an evaluation: each is done once, by one process, and remembered, so that a killed run goes on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from clara_lightning.evaluation.processes import Processes

JOURNAL = "journal-{rank}.jsonl"
Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger(__name__)


class Journal:
    """The batches that are done, a line each, in the report folder until the report is there.

    Batches of a run with other weights, data or settings are forgotten; a line that a kill cut short is too.

    Args:
        folder: the report folder.
        identity: everything that a batch's result depends on.
        processes: each writes a file of its own, and reads all.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], processes: Processes) -> None:
        self.folder = folder
        self._head = json.dumps(dict(identity), sort_keys=True)
        self._done: dict[str, Any] = {}
        for path in sorted(folder.glob(JOURNAL.format(rank="*"))):
            self._done.update(self._read(path))
        processes.wait()  # before one of the files is written anew
        self._path = folder / JOURNAL.format(rank=processes.rank)
        folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps([key, value]) for key, value in self._done.items()]
        self._path.write_text("\n".join([self._head, *lines, ""]), encoding="utf-8")

    def __contains__(self, key: str) -> bool:
        return key in self._done

    def __getitem__(self, key: str) -> Any:
        return self._done[key]

    def add(self, key: str, value: Any) -> Any:
        """Remember a batch; returns it as a later run will read it."""
        line = json.dumps([key, value])
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self._done[key] = json.loads(line)[1]
        return self._done[key]

    def remove(self) -> None:
        """Delete the files of all processes."""
        for path in self.folder.glob(JOURNAL.format(rank="*")):
            path.unlink()

    def _read(self, path: Path) -> dict[str, Any]:
        head, *lines = path.read_text(encoding="utf-8").split("\n")
        if head != self._head:
            return {}
        return dict(json.loads(line) for line in lines[:-1])  # what stands behind the last line break is no whole line


class Work:
    """Runs batches over processes, with progress and a memory.

    Batches are the same whatever the number of processes is, so results are the same to the last bit.

    Args:
        journal: of this evaluation.
        processes: among whom the batches are shared.
    """

    def __init__(self, journal: Journal, processes: Processes) -> None:
        self.journal = journal
        self.processes = processes
        self._console = Console(stderr=True, quiet=not processes.leads)

    def run(self, name: str, batches: Sequence[Item], do: Callable[[Item], list[Any]]) -> list[Any]:
        """The results of all batches, one after the other; those of an earlier run are not made again.

        Args:
            name: of the work; unique in an evaluation.
            batches: what is done.
            do: makes a batch's results, as plain values of JSON.
        """
        keys = [f"{name}/{number}" for number in range(len(batches))]
        known = {number: self.journal[key] for number, key in enumerate(keys) if key in self.journal}
        missing = [number for number in range(len(batches)) if number not in known]
        found = self.spread(name, missing, lambda number: self.journal.add(keys[number], do(batches[number])))
        done = known | dict(zip(missing, found, strict=True))
        return [value for number in range(len(batches)) for value in done[number]]

    def spread(self, name: str, batches: Sequence[Item], do: Callable[[Item], Result]) -> list[Result]:
        """Each batch's result, made by one process and given to all.

        Args:
            name: what is shown beside the progress.
            batches: what is done.
            do: makes a batch's result.
        """
        own = range(self.processes.rank, len(batches), self.processes.size)
        if self.processes.leads and own and not self._console.is_terminal:
            log.info("%s: %d batches", name, len(batches))
        with self._progress() as progress:
            made = {number: do(batches[number]) for number in progress.track(own, description=name)}
        everything = self.processes.collect(made)
        return [everything[number] for number in range(len(batches))]

    def _progress(self) -> Progress:
        columns = (
            TextColumn("{task.description:<32}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
        )
        return Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)


class _Rate(ProgressColumn):
    """Batches a minute."""

    def render(self, task: Task) -> Text:
        return Text(f"{60 * task.speed:.0f} batches/min" if task.speed else "")


def in_batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Numbers of items in batches of similar length, longest first: what does not fit is found out at once."""
    order = sorted(range(len(lengths)), key=lambda number: (-lengths[number], number))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
