"""Files of lines that only grow: a kill or a full disk costs at most the line that was being written."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clara_lightning.errors import ClaraError

SYNC_SECONDS = 5.0
"""So much of the work a loss of power may cost; a kill costs nothing that was written."""
_BLOCK_BYTES = 1 << 16


class GrowingFile:
    """JSON objects, one a line, appended.

    Args:
        path: the file; it is made where it is missing. What follows the last line end is half a line, and is cut off.

    Raises:
        ClaraError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._synced = time.monotonic()
        with _writable(self.path):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            self._end = _end_of_lines(self._file)
            os.ftruncate(self._file, self._end)

    @property
    def size(self) -> int:
        """Its bytes."""
        return self._end

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a line.

        Raises:
            ClaraError: it cannot be written; the file is as it was.
        """
        line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
        with _writable(self.path):
            try:
                written = os.pwrite(self._file, line, self._end)
                while written < len(line):  # a disk that fills up takes a part, and refuses the next
                    written += os.pwrite(self._file, line[written:], self._end + written)
            except OSError:
                os.ftruncate(self._file, self._end)
                raise
            self._end += len(line)
            if time.monotonic() - self._synced > SYNC_SECONDS:
                os.fsync(self._file)
                self._synced = time.monotonic()

    def close(self) -> None:
        """Bring everything to the disk."""
        if self._file >= 0:
            with _writable(self.path):
                os.fsync(self._file)
                os.close(self._file)
            self._file = -1


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ClaraError(
            f"{path}: cannot be written: {error.strerror or error}; "
            "what is finished is kept: run the same command again to go on"
        ) from error


def _end_of_lines(file: int) -> int:
    """Bytes up to the last line end."""
    end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        place = os.pread(file, end - start, start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Where each whole line begins, and its bytes; nothing for a file that is missing."""
    if not path.exists():
        return
    with path.open("rb") as file:
        start = 0
        for line in file:
            if line.endswith(b"\n"):
                yield start, line
            start += len(line)
