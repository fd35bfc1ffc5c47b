"""Checksums of files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

EDGE_BYTES = 1 << 20


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def edges_sha256(path: Path) -> str:
    """Hex sha256 of a file's first and last MiB, which is quick at any size."""
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(EDGE_BYTES))
        file.seek(max(0, file.seek(0, os.SEEK_END) - EDGE_BYTES))
        digest.update(file.read(EDGE_BYTES))
    return digest.hexdigest()
