"""A folder of text and Markdown files as documents: passages that end where a paragraph, a sentence or a word does."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from clara_lightning.data.convert.conversion import Conversion, Row
from clara_lightning.data.convert.counts import Counts
from clara_lightning.data.convert.passages import cut
from clara_lightning.data.fields import RowError
from clara_lightning.data.records import Document
from clara_lightning.data.rows import RowSource
from clara_lightning.data.texts import decoded, files_below, is_text, read_bytes, title_of
from clara_lightning.errors import ClaraError


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
    # Listed before OUT is written, which may lie in the folder.
    paths = list(files_below(folder, conversion.counts.left_out, wanted=_is_text_file))
    files = ((number, {"path": path}) for number, path in enumerate(paths, start=1))
    source = RowSource(conversion.source, "{name}: file {number}", files)
    make = partial(_documents, folder=folder, max_words=conversion.max_words, counts=conversion.counts)
    return conversion.records(source, make)


def _is_text_file(path: Path) -> bool:
    return is_text(path.name) and path.is_file()


def _documents(row: Row, number: int, *, folder: Path, max_words: int, counts: Counts) -> list[Document]:
    path: Path = row["path"]
    name = path.relative_to(folder).as_posix()
    text = _text(path, name)
    title = title_of(name, text)
    documents = [
        Document(f"{name}#{count}", passage, title, {"source": name})
        for count, passage in enumerate(cut(text, max_words=max_words), start=1)
    ]
    counts.left_out["files without text"] += not documents
    return documents


def _text(path: Path, name: str) -> str:
    content = read_bytes(str(path))
    try:
        return decoded(content)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RowError(f"{name}: not UTF-8: byte 0x{content[error.start]:02x} on line {line}") from error
