"""``clara convert``: a foreign file or folder into files of the project."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from clara_lightning.data.convert.conversion import Conversion
from clara_lightning.data.convert.counts import Counts, Record
from clara_lightning.data.convert.registry import FORMATS
from clara_lightning.data.writers import check_target, write_folder, write_jsonl
from clara_lightning.errors import ClaraError


def convert(
    name: str,
    source: str,
    out: str,
    *,
    skip_bad_rows: int = 0,
    split: str | None = None,
    max_words: int | None = None,
    replace: bool = False,
) -> Counts:
    """Convert ``source`` and write ``out``, whole or not at all.

    Args:
        name: the format of ``source``, a key of ``FORMATS``.
        source: the file or folder to read.
        out: the file to write, or for a format of several files the folder.
        skip_bad_rows: so many rows of a file may be bad; they are counted.
        split: which judgements to take, for the format ``beir`` (default: test).
        max_words: words of a passage at most, for the format ``text`` (default: 120).
        replace: whether ``out`` may be there already, if it is a file or folder that this function could have written.

    Returns:
        What was read, written and left out.

    Raises:
        ClaraError: an option is wrong, ``out`` is there, or something is wrong in ``source``; nothing is written then.
    """
    if name not in FORMATS:
        raise ClaraError(f"--from: no such format: {name} (there are {', '.join(FORMATS)})")
    options: dict[str, Any] = {
        key: value for key, value in (("split", split), ("max_words", max_words)) if value is not None
    }
    _check_options(name, options)
    conversion = Conversion(source, skip_bad_rows, **options)
    records = FORMATS[name].convert(conversion)
    files = records if isinstance(records, Mapping) else None
    check_target(Path(out), [source], files=files, replace=replace)
    if isinstance(records, Mapping):
        write_folder(out, {file: _counted(of_file, conversion) for file, of_file in records.items()})
    else:
        write_jsonl(out, _counted(records, conversion))
    return conversion.counts


def _counted(records: Iterable[Record], conversion: Conversion) -> Iterator[Record]:
    """The records, each counted; at least one, since an empty file is what a wrong source gives."""
    is_empty = True
    for record in conversion.counts.counted(records):
        is_empty = False
        yield record
    if is_empty:
        raise ClaraError(f"{conversion.source}: nothing to convert: {conversion.counts.sentence()}")


def _check_options(name: str, options: Iterable[str]) -> None:
    for option in options:
        if option not in FORMATS[name].options:
            users = ", ".join(other for other, known in FORMATS.items() if option in known.options)
            raise ClaraError(f"--{option.replace('_', '-')}: has no effect with --from {name}, only with {users}")
