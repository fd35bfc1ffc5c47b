"""Where a corpus lies: in one file, a saved dataset, the hub, a folder, or the files that a pattern names."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PurePath

from clara_lightning.data.rows import RowSource, holds_rows, is_saved_dataset, open_rows
from clara_lightning.data.texts import TEXT_SUFFIXES, files_below, is_text, text_rows
from clara_lightning.errors import ClaraError

logger = logging.getLogger(__name__)

_MAGIC = re.compile(r"[*?[]")


def open_documents(path: str | Path, *, columns: frozenset[str]) -> Iterator[RowSource]:
    """The rows of a corpus, source after source.

    Args:
        path: what :func:`~clara_lightning.data.rows.open_rows` reads; a ``.txt`` or ``.md`` file, which is one document
            and may be compressed as rows may; a folder with such files, of one kind or the other, in it or below it;
            or a pattern that names such files: ``wiki/*.parquet``, with ``**`` for folders at any depth. A text has its
            path within the folder (the pattern's first part, or the file's own folder) for an id. Files are read in
            the order of their paths.
        columns: the columns that matter; of tables no others are read.

    Raises:
        ClaraError: there is nothing at ``path``, nothing that can be read, or both rows and texts (at once); another
            file than the first cannot be read (when it is reached).
    """
    base, (first, *others) = _find(os.fspath(path))
    return chain([_open(first, base, columns)], (_open(name, base, columns) for name in others))


def is_local(path: str | Path) -> bool:
    """Whether a corpus lies on this machine: a file, a folder, or a pattern that names some file."""
    name = os.fspath(path)
    return os.path.exists(name) or (_is_pattern(name) and any(_is_source(match) for match in _matches(name)))


def _open(name: str, base: str, columns: frozenset[str]) -> RowSource:
    if is_text(name) and os.path.isfile(name):
        return text_rows(name, place=PurePath(name).relative_to(base).as_posix())
    return open_rows(name, columns=columns)


def _find(name: str) -> tuple[str, list[str]]:
    """The folder that ids of texts are paths in, and the sources in the order in which they are read."""
    if os.path.isdir(name) and not is_saved_dataset(name):
        names = _in_folder(name)
        _refuse_mixture(name, names)
        return name, names
    if os.path.exists(name) or not _is_pattern(name):
        return str(PurePath(name).parent), [name]
    matches = _matches(name)
    names = [match for match in matches if not os.path.isdir(match) or is_saved_dataset(match)]
    if not names:
        folders = f" (but {len(matches)} folders: name their files)" if matches else ""
        raise ClaraError(f"{name}: no file matches{folders}")
    _refuse_mixture(name, names)
    return _fixed_part(name), names


def _in_folder(folder: str) -> list[str]:
    left_out: Counter[str] = Counter()
    names = [str(path) for path in files_below(Path(folder), left_out, wanted=lambda path: _is_source(str(path)))]
    counts = ", ".join(f"{what} {count}" for what, count in left_out.items())
    if not names:
        ends = f"files that end in .jsonl, .json, .parquet, {' or '.join(TEXT_SUFFIXES)}"
        raise ClaraError(
            f"{folder}: a folder that holds no documents: it is no saved dataset, and has no {ends}"
            f"{f' (left out: {counts})' if counts else ''}"
        )
    if counts:
        logger.warning("%s: left out: %s", folder, counts)
    return names


def _is_source(name: str) -> bool:
    if os.path.isdir(name):
        return is_saved_dataset(name)
    return os.path.isfile(name) and (is_text(name) or holds_rows(name))


def _refuse_mixture(path: str, names: list[str]) -> None:
    """A README beside data, or settings beside texts, are no documents."""
    texts = [name for name in names if is_text(name)]
    rows = [name for name in names if not is_text(name)]
    if texts and rows:
        pattern = f"{_fixed_part(path)}/**/*{PurePath(rows[0]).suffix}"
        raise ClaraError(
            f"{path}: texts (the first of {len(texts)} is {texts[0]}) and files of rows (the first of {len(rows)} is "
            f"{rows[0]}): choose one kind by a pattern such as {pattern}"
        )


def _is_pattern(name: str) -> bool:
    return not name.startswith("hf:/") and _MAGIC.search(name) is not None


def _matches(pattern: str) -> list[str]:
    return sorted(set(glob.glob(pattern, recursive=True)), key=lambda match: PurePath(match).parts)


def _fixed_part(pattern: str) -> str:
    """The folder in front of the first part that is a pattern; the whole of what is none."""
    parts = PurePath(pattern).parts
    first = next((number for number, part in enumerate(parts) if _MAGIC.search(part)), len(parts))
    return str(PurePath(*parts[:first]))
