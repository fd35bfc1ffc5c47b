"""The elements of a file that is one JSON list, one after the other, without holding the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from clara_lightning.errors import ClaraError

# A string, in which nothing means anything here; a mark of structure; a quote whose string is not there to its end.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[][{},]|"', re.DOTALL)
_DEEPER = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


def split_list(chunks: Iterable[bytes], *, name: str) -> Iterator[bytes]:
    """Cut a JSON list between its elements, without parsing them.

    Only brackets, commas and strings are looked at. A mistake inside an element is found by whoever parses it, and is a
    mistake of this element alone. No more is held than an element and a chunk.

    Args:
        chunks: the list's bytes, in pieces of any size.
        name: what a message calls the list.

    Raises:
        ClaraError: the list does not begin or end, or something follows it.

    Example:
        >>> list(split_list([b'[{"a": "],', b' ["}, ', b'[2, 3]]'], name="file"))
        [b'{"a": "], ["}', b'[2, 3]']
    """
    pieces = _pieces(chunks)
    before, mark = next(pieces)
    if before.strip() or mark != b"[":
        raise ClaraError(f"{name}: expected a JSON list")
    depth, is_first = 1, True
    element: list[bytes] = []
    for text, mark in pieces:
        depth += _DEEPER.get(mark, 0)
        if depth == 0 or (depth == 1 and mark == b","):
            whole = b"".join([*element, text]).strip()
            if whole or depth or not is_first:  # an empty list has no element
                yield whole
            element, is_first = [], False
            if depth == 0:
                break
        else:
            element += (text, mark)
    if mark != b"]":
        raise ClaraError(f"{name}: the JSON list is not closed")
    if any(rest.strip() or mark for rest, mark in pieces):
        raise ClaraError(f"{name}: something follows the JSON list")


def _pieces(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The bytes up to each mark of structure, with the mark; and what is left at the end, with none."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        start = 0
        for token in _TOKEN.finditer(rest):
            if token[0] == b'"':  # its string goes on in the next chunk
                break
            if len(token[0]) == 1:
                yield rest[start : token.start()], token[0]
                start = token.end()
        rest = rest[start:]
    yield rest, b""
