"""Files that may be compressed: their names, and the bytes inside."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from typing import BinaryIO, cast

SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
DAMAGE = (EOFError, zlib.error, lzma.LZMAError)
"""What is raised, beside ``OSError``, while a file that is cut short or no such file is read."""


def uncompressed_name(name: str) -> str:
    """The name without the suffix of a compression, so that its end says what is inside.

    Example:
        >>> uncompressed_name("wiki/a.jsonl.gz"), uncompressed_name("b.txt")
        ('wiki/a.jsonl', 'b.txt')
    """
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)


def open_bytes(name: str) -> BinaryIO:
    """Open a file to read what is in it, decompressed as the end of its name says.

    Raises:
        OSError: it cannot be opened. Damage is found while it is read: ``OSError`` or one of :data:`DAMAGE`.
    """
    if name.endswith(".gz"):
        return cast(BinaryIO, gzip.open(name))
    if name.endswith(".bz2"):
        return cast(BinaryIO, bz2.open(name))
    if name.endswith(".xz"):
        return cast(BinaryIO, lzma.open(name))
    if name.endswith(".zst"):
        import pyarrow  # type: ignore[import-untyped,unused-ignore]

        return io.BufferedReader(pyarrow.input_stream(name, compression="zstd"))
    return open(name, "rb")
