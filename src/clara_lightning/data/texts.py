"""Files of plain text and Markdown: one document each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from clara_lightning.data.compression import DAMAGE, open_bytes, uncompressed_name
from clara_lightning.data.rows import RowSource, readable

TEXT_SUFFIXES = (".md", ".txt")

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(?P<text>.*?)([ \t]+#+)?[ \t]*")
_FENCE = re.compile(r" {0,3}(```|~~~)")


def is_text(name: str) -> bool:
    """Whether a file of this name is text, compressed or not."""
    return uncompressed_name(name).lower().endswith(TEXT_SUFFIXES)


def text_rows(name: str, *, place: str) -> RowSource:
    """One text as the row of a document, whose number is a line of the file.

    Args:
        name: the file.
        place: the document's id, and the ``source`` in its metadata; its title is that of :func:`title_of`.
    """
    return RowSource(name, "{name}:{number}", _rows(name, _characters(place)), expected="a text")


def _rows(name: str, place: str) -> Iterator[tuple[int, bytes | Mapping[str, Any]]]:
    content = read_bytes(name)
    try:
        text = decoded(content)
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        yield number, content.split(b"\n", number)[number - 1]  # who parses this line will say what is wrong with it
        return
    yield 1, {"id": place, "title": title_of(place, text), "text": text, "metadata": {"source": place}}


def read_bytes(name: str) -> bytes:
    """What is in a file, without a byte order mark.

    Raises:
        ClaraError: it cannot be read.
    """
    with readable(name, *DAMAGE), open_bytes(name) as file:
        return file.read().removeprefix(_BYTE_ORDER_MARK)


def decoded(content: bytes) -> str:
    """The text in UTF-8, its lines ended by a line feed alone.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
    """
    return content.decode("utf-8").replace("\r\n", "\n")


def title_of(name: str, text: str) -> str:
    """The first heading of Markdown, or else the file's name without its ends."""
    path = PurePath(uncompressed_name(name))
    return (_first_heading(text) if path.suffix.lower() == ".md" else None) or path.stem


def files_below(folder: Path, left_out: Counter[str], *, wanted: Callable[[Path], bool]) -> Iterator[Path]:
    """What is wanted below a folder, each folder in the order of its names.

    Args:
        folder: where to look.
        left_out: counts what is passed over. Links are not followed: one that leads out of the folder could show what
            is not meant to be shown.
        wanted: says so of a file, or of a folder, which is then not looked into.

    Raises:
        ClaraError: a folder cannot be read.
    """
    with readable(str(folder)):
        paths = sorted(folder.iterdir(), key=lambda path: path.name)
    for path in paths:
        if path.is_symlink():
            left_out["links"] += 1
        elif wanted(path):
            yield path
        elif path.is_dir():
            yield from files_below(path, left_out, wanted=wanted)
        else:
            left_out["files of other kinds"] += 1


def _characters(name: str) -> str:
    """A name of a file whose bytes are not UTF-8 has half characters, which cannot be stored."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _first_heading(markdown: str) -> str | None:
    """The text of the first heading outside fenced code."""
    fenced = False
    for line in markdown.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and (heading := _HEADING.fullmatch(line)) and heading["text"]:
            return heading["text"]
    return None
