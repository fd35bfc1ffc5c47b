"""What is finished: one line for each document, in files by the document's key; and what the teacher has said so far.

Both only grow, so that a killed run goes on where it was: no document is worked on twice, and no answer of a teacher is
asked for (and paid) twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.lines import GrowingFile, read_lines
from clara_lightning.synthesis.outcome import Outcome
from clara_lightning.synthesis.tasks import Request
from clara_lightning.synthesis.teacher import BadReplyError, Reply, Teacher, Usage

SHARDS = "0123456789abcdef"
_KEY = re.compile(rb'\{"key": "([0-9a-f]{32})"')  # all that is parsed of a line to find it again
_COMPACT_BYTES = 64 << 20


class Ledger:
    """The outcomes of documents, in ``outcomes/0.jsonl`` to ``f.jsonl`` by the first digit of their key.

    Args:
        folder: where the files lie.

    Attributes:
        finished: keys of the documents that have an outcome, 16 bytes each.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._files = {digit: GrowingFile(self._path(digit)) for digit in SHARDS}
        self.finished = {key for digit in SHARDS for key, _ in self._places(digit)}

    def record(self, outcome: Outcome) -> None:
        """Write an outcome down.

        Raises:
            ClaraError: it cannot be written.
        """
        self._files[outcome.key[0]].append(outcome.to_json())
        self.finished.add(bytes.fromhex(outcome.key))

    def outcomes(self, wanted: Callable[[bytes], bool]) -> Iterator[Outcome]:
        """Outcomes in the order of their keys, whatever order they were finished in; no more than one is held.

        Args:
            wanted: of a key, whether its outcome is.
        """
        for digit in SHARDS:
            places = sorted((key, start) for key, start in self._places(digit) if wanted(key))
            with self._path(digit).open("rb") as file:
                for _, start in places:
                    file.seek(start)
                    yield Outcome.from_json(json.loads(file.readline()))

    def close(self) -> None:
        """Bring everything to the disk."""
        for file in self._files.values():
            file.close()

    def _path(self, digit: str) -> Path:
        return self.folder / f"{digit}.jsonl"

    def _places(self, digit: str) -> Iterator[tuple[bytes, int]]:
        for start, line in read_lines(self._path(digit)):
            found = _KEY.match(line)
            if found is None:
                raise ClaraError(f"{self._path(digit)}: byte {start}: no line of clara synthesize")
            yield bytes.fromhex(found[1].decode()), start


class Journal:
    """Answers of the teacher about documents that are not finished.

    Args:
        path: the file.
        finished: keys of finished documents, whose answers are no longer needed.
    """

    def __init__(self, path: Path, *, finished: set[bytes]) -> None:
        self.path = path
        self._rows: dict[str, dict[str, Mapping[str, Any]]] = {}
        for _, line in read_lines(path):
            row = json.loads(line)
            if bytes.fromhex(row["document"]) not in finished:
                self._rows.setdefault(row["document"], {})[row["request"]] = row
        self._file = self._rewritten()

    async def ask(self, document: str, request: Request, teacher: Teacher) -> Reply:
        """What the teacher said to this request before, or says now.

        Args:
            document: key of the document.
            request: about this document.
            teacher: asked only if it was not before.

        Raises:
            BadReplyError: as from the teacher; this too is asked only once.
            UnavailableError: as from the teacher.
            ClaraError: as from the teacher, or the answer cannot be written down.
        """
        row = self._rows.get(document, {}).get(request.key)
        if row is None:
            row = {"document": document, "request": request.key, **await _said(request, teacher)}
            self._note(row)
        usage = Usage(**row["usage"])
        if row["value"] is None:
            raise BadReplyError(row["fault"], usage)
        return Reply(row["value"], usage)

    def forget(self, document: str) -> None:
        """Let go of the answers about a document that is finished."""
        self._rows.pop(document, None)

    def close(self) -> None:
        """Close the file; with nothing unfinished there is none."""
        self._file.close()
        if not self._rows:
            self.path.unlink(missing_ok=True)

    def _note(self, row: Mapping[str, Any]) -> None:
        self._rows.setdefault(row["document"], {})[row["request"]] = row
        self._file.append(row)
        if self._file.size > _COMPACT_BYTES:
            self._file.close()
            self._file = self._rewritten()

    def _rewritten(self) -> GrowingFile:
        """The file with nothing in it but what is needed: the documents that are being worked on."""
        new = self.path.with_suffix(".new")
        new.unlink(missing_ok=True)
        file = GrowingFile(new)
        for rows in self._rows.values():
            for row in rows.values():
                file.append(row)
        file.close()
        new.replace(self.path)
        return GrowingFile(self.path)


async def _said(request: Request, teacher: Teacher) -> dict[str, Any]:
    try:
        reply = await teacher.reply(request)
    except BadReplyError as error:
        return {"value": None, "fault": str(error), "usage": vars(error.usage)}
    return {"value": reply.value, "usage": vars(reply.usage)}
