"""Work for other processes to do; it stands in a module that they can import by its name."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.outcome import Outcome, Pair


def make_documents(count: int) -> Iterator[Document]:
    for number in range(count):
        yield Document(id=f"d{number}", title=f"Town {number}", text="It sells salt.", metadata={"row": number})


def wait_for(condition: object) -> None:
    """Until a callable says so; half a minute at most."""
    end = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)


@dataclass(frozen=True)
class Factory:
    """Makes work that behaves as told.

    Attributes:
        notes: folder in which every process leaves a file of its id when it begins, and another when it ends.
        company: a process waits with its first chunk until so many have begun.
        mistake: raised by the work at the document of this id.
        bug: likewise, but no mistake of a user's.
        broken: raised where the work is made.
        kills: the process is killed at the document of this id, the first time that it is seen.
        stalls: the work stays at the document of this id for good.
    """

    notes: Path
    company: int = 1
    mistake: str = ""
    bug: str = ""
    broken: str = ""
    kills: str = ""
    stalls: str = ""

    def __call__(self) -> FakeWork:
        if self.broken:
            raise ClaraError(self.broken)
        return FakeWork(self)


class FakeWork:
    """Says of every document in which process it was, and what that process may use."""

    def __init__(self, how: Factory) -> None:
        self._how = how
        (how.notes / f"began-{os.getpid()}").touch()

    def run(self, documents: Sequence[Document]) -> Sequence[Outcome]:
        wait_for(lambda: len(list(self._how.notes.glob("began-*"))) >= self._how.company)
        return [self._outcome(document, len(documents)) for document in reversed(documents)]

    def close(self) -> None:
        (self._how.notes / f"ended-{os.getpid()}").touch()

    def _outcome(self, document: Document, chunk: int) -> Outcome:
        how = self._how
        if document.id == how.mistake:
            raise ClaraError(f"--teacher: no answer about {document.id}")
        if document.id == how.bug:
            raise ArithmeticError("a bug")
        if document.id == how.kills and not (how.notes / "killed").exists():
            (how.notes / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if document.id == how.stalls:
            (how.notes / "stalled").touch()
            time.sleep(600)
        seen = {name: os.environ.get(name, "") for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
        pair = Pair(f"Where is {document.title}?", document.text, "simple", "exact", 1)
        detail = f"{os.getpid()} {chunk} {seen['OMP_NUM_THREADS']} {seen['CUDA_VISIBLE_DEVICES']}"
        return Outcome(document.id, document.id, document.content, pairs=(pair,), detail=detail)


def drive(way: str, notes: str) -> None:
    """Work on documents of which one stalls, until somebody ends this process."""
    from clara_lightning.synthesis.workers import in_processes, in_ray

    factory = Factory(Path(notes), company=2, stalls="d9")
    if way == "processes":
        outcomes = in_processes(make_documents(40), factory, num_workers=2, chunk=4)
    else:
        outcomes = in_ray(make_documents(40), factory, address=None, num_actors=2, chunk=4)
    for _ in outcomes:
        pass


if __name__ == "__main__":
    drive(*sys.argv[1:])
