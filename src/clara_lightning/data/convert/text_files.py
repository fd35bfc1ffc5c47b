"""A folder of text and Markdown files as documents: passages that end where a paragraph, a sentence or a word does."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from clara_lightning.data.convert.conversion import Conversion, Row
from clara_lightning.data.convert.counts import Counts
from clara_lightning.data.convert.passages import cut
from clara_lightning.data.fields import RowError
from clara_lightning.data.records import Document
from clara_lightning.data.rows import RowSource, readable
from clara_lightning.errors import ClaraError

_MARKDOWN, _PLAIN = ".md", ".txt"
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(?P<text>.*?)([ \t]+#+)?[ \t]*")
_FENCE = re.compile(r" {0,3}(```|~~~)")


def text_files(conversion: Conversion) -> Iterator[Document]:
    """Passages of every ``.txt`` and ``.md`` file below a folder, in the order of their paths.

    A passage has the id ``PATH#NUMBER``, the title of its file (the first Markdown heading, or the file's name) and
    ``source``, the path, in its metadata. Links are not followed. They, files of other kinds and files without text are
    counted as left out.

    Raises:
        ClaraError: the source is no folder, ``max_words`` is below 1, or a file is not UTF-8.
    """
    if conversion.max_words < 1:
        raise ClaraError(f"--max-words must be >= 1, got {conversion.max_words}")
    folder = Path(conversion.source)
    if not folder.is_dir():
        raise ClaraError(f"{folder}: no such folder")
    paths = list(_files(folder, conversion.counts.left_out))  # before OUT is written, which may lie in the folder
    files = ((number, {"path": path}) for number, path in enumerate(paths, start=1))
    source = RowSource(conversion.source, "{name}: file {number}", files)
    make = partial(_documents, folder=folder, max_words=conversion.max_words, counts=conversion.counts)
    return conversion.records(source, make)


def _files(folder: Path, left_out: Counter[str]) -> Iterator[Path]:
    with readable(str(folder)):
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_symlink():  # one that leads out of the folder could show what is not meant to be shown
            left_out["links"] += 1
        elif entry.is_dir():
            yield from _files(Path(entry.path), left_out)
        elif entry.is_file() and Path(entry.name).suffix.lower() in (_MARKDOWN, _PLAIN):
            yield Path(entry.path)
        else:
            left_out["files of other kinds"] += 1


def _documents(row: Row, number: int, *, folder: Path, max_words: int, counts: Counts) -> list[Document]:
    path: Path = row["path"]
    name = path.relative_to(folder).as_posix()
    content = _decoded(path, name)
    title = (_first_heading(content) if path.suffix.lower() == _MARKDOWN else None) or path.stem
    documents = [
        Document(f"{name}#{count}", passage, title, {"source": name})
        for count, passage in enumerate(cut(content, max_words=max_words), start=1)
    ]
    counts.left_out["files without text"] += not documents
    return documents


def _decoded(path: Path, name: str) -> str:
    with readable(str(path)):
        content = path.read_bytes()
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RowError(f"{name}: not UTF-8: byte 0x{content[error.start]:02x} on line {line}") from error


def _first_heading(markdown: str) -> str | None:
    """The text of the first heading outside fenced code."""
    fenced = False
    for line in markdown.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and (heading := _HEADING.fullmatch(line)) and heading["text"]:
            return heading["text"]
    return None
