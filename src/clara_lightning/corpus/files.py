"""Where the files of a store are on this machine: in its folder, or brought here when they are first needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Files(Protocol):
    """Where the files of a store are on this machine."""

    def __call__(self, name: str, sha256: str) -> Path:
        """A file of the store, brought here if it is elsewhere.

        Args:
            name: its path within the store, with ``/`` between folders.
            sha256: what the manifest says of it.
        """
        ...


@dataclass(frozen=True)
class FolderFiles:
    """Files of a store that is a folder here; they are where they are, and not compared."""

    folder: Path

    def __call__(self, name: str, sha256: str) -> Path:
        """See :class:`Files`."""
        return self.folder / name
