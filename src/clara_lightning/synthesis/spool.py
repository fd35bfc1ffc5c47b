"""Strings that lie on the disk instead of in memory."""

from __future__ import annotations

import os
from array import array
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from clara_lightning.data.writers import writable


class Spool:
    """A list of strings in a file that nobody sees and that goes with the process: 8 bytes of memory each."""

    def __init__(self, folder: Path) -> None:
        """Begin with none.

        Args:
            folder: on the disk that is to hold them.

        Raises:
            ClaraError: nothing can be written to ``folder``; by the methods too.
        """
        self._folder = folder
        with writable(folder):
            self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as this object
        self._ends = array("Q", [0])
        self._is_flushed = True

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, text: str) -> None:
        """Put one at the end."""
        # The name of a file need not be UTF-8, and what stands for its bytes is half of a surrogate pair each.
        content = text.encode("utf-8", "surrogatepass")
        with writable(self._folder):
            self._file.write(content)
        self._ends.append(self._ends[-1] + len(content))
        self._is_flushed = False

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(index)
        if not self._is_flushed:
            with writable(self._folder):
                self._file.flush()
            self._is_flushed = True
        start, end = self._ends[index], self._ends[index + 1]
        return os.pread(self._file.fileno(), end - start, start).decode("utf-8", "surrogatepass")

    def close(self) -> None:
        """Remove them from the disk."""
        with suppress(OSError):  # a full disk was reported already, and close() would report it again
            self._file.close()
