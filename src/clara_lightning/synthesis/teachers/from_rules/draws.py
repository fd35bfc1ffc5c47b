"""Choices that look random and are the same in every process: Python's own ``hash`` of a string is not."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypeVar

Choice = TypeVar("Choice")


def draw(*parts: str) -> int:
    """A number from 0 to 2**32 - 1 that depends on ``parts`` alone."""
    # JSON may hold half of a surrogate pair, which plain UTF-8 refuses.
    return zlib.crc32("\x1f".join(parts).encode("utf-8", "surrogatepass"))


def pick(options: Sequence[Choice], *parts: str) -> Choice:
    """One of ``options``, chosen by ``parts`` alone."""
    return options[draw(*parts) % len(options)]
