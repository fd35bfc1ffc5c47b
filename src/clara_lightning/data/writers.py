"""Records and lines to JSONL files, in the form that :mod:`clara_lightning.data.readers` reads."""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from clara_lightning.data.records import Document, Question, SCPExample
from clara_lightning.errors import ClaraError

Record = Document | Question | SCPExample

_OPTIONAL = frozenset({"title", "metadata", "passages", "gold_ids", "paraphrase", "teacher"})


def write_jsonl(path: str | Path, records: Iterable[Record]) -> int:
    """Write records as JSONL, all of them or none: the file appears under its name when it is whole and on the disk.

    Optional fields that are empty are left out. The same records give the same bytes.

    Args:
        path: the file; one that is there is replaced, and missing folders are made.
        records: records, taken one at a time.

    Returns:
        The number of records written.

    Raises:
        ClaraError: the name is not one of a JSONL file, the file cannot be written, or a record holds what JSON cannot.
    """
    return write_lines(path, _lines(records, Path(path)))


def write_lines(path: str | Path, lines: Iterable[bytes]) -> int:
    """Write lines as they are, each with a line end behind it, as :func:`write_jsonl` does: all of them or none.

    Args:
        path: the file; one that is there is replaced, and missing folders are made.
        lines: lines without their ends, taken one at a time.

    Returns:
        The number of lines written.

    Raises:
        ClaraError: the name is not one of a JSONL file, or the file cannot be written.
    """
    target, count = Path(path), 0
    if target.suffix not in (".jsonl", ".json"):
        raise ClaraError(f"{target}: expected a name that ends in .jsonl")
    with replacing(target) as file:
        for line in lines:
            with writable(target):
                file.write(line + b"\n")
            count += 1
    return count


def write_folder(path: str | Path, files: Mapping[str, Iterable[Record]]) -> None:
    """Write several files of records into a folder: they appear when all of them are whole and on the disk.

    Args:
        path: the folder, which is made where it is missing; files of the same names in it are replaced.
        files: the records of each file by its name, written in this order.

    Raises:
        ClaraError: as in :func:`write_jsonl`; the folder is then as it was.
    """
    folder = Path(path)
    write_line_files(path, {name: _lines(records, folder / name) for name, records in files.items()})


def write_line_files(path: str | Path, files: Mapping[str, Iterable[bytes]]) -> dict[str, int]:
    """Write several files of lines into a folder, as :func:`write_folder` does.

    Args:
        path: the folder, which is made where it is missing; files of the same names in it are replaced.
        files: the lines of each file by its name, without their ends, written in this order.

    Returns:
        The number of lines of each file.

    Raises:
        ClaraError: as in :func:`write_lines`; the folder is then as it was.
    """
    target = Path(os.path.abspath(path))  # "." has no name to make another of
    temporary = _temporary(target)
    try:
        counts = {name: write_lines(temporary / name, lines) for name, lines in files.items()}
        with writable(target):
            target.mkdir(exist_ok=True)
            for name in files:
                (temporary / name).replace(target / name)
            _sync_folder(target)
            _sync_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return counts


def check_target(
    target: Path, sources: Iterable[str | Path], *, files: Collection[str] | None = None, replace: bool
) -> None:
    """Refuse to write over what is there, unless it was asked for and nothing else is lost.

    Args:
        target: what will be written.
        sources: what is read.
        files: the names of the files if ``target`` is a folder.
        replace: whether it was asked for.

    Raises:
        ClaraError: ``target`` is there, and was not to be replaced, is read, or holds something else.
    """
    if not os.path.lexists(target):
        return
    if target.exists() and any(Path(source).exists() and target.samefile(source) for source in sources):
        raise ClaraError(f"{target}: OUT is what is read")
    if not replace:
        raise ClaraError(f"{target}: is there already; --replace writes over it")
    if files is None:
        could_be_ours = target.is_file() and not target.is_symlink()
    else:
        could_be_ours = target.is_dir() and not target.is_symlink() and {p.name for p in target.iterdir()} <= {*files}
    if not could_be_ours:
        kind = "a plain file" if files is None else f"a folder that holds nothing but {' and '.join(files)}"
        raise ClaraError(f"{target}: --replace writes over {kind}, and this is none")


def _lines(records: Iterable[Record], target: Path) -> Iterator[bytes]:
    return (_line(record, target) for record in records)


def _line(record: Record, target: Path) -> bytes:
    try:
        return json.dumps(_row(record), ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError) as error:  # a date in the metadata, a NaN, half of a surrogate pair
        raise ClaraError(f"{target}: record {record.id!r} cannot be written as JSON: {error}") from error


def _row(record: Record) -> dict[str, Any]:
    row = {key: value for key, value in asdict(record).items() if key not in _OPTIONAL or value}
    if "passages" in row:
        row["passages"] = [_passage_row(passage) for passage in row["passages"]]
    return row


def _passage_row(passage: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in passage.items() if key not in ("id", "title") or value}


@contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the name ``target`` if all goes well and else is removed.

    It is on the disk before it has its name. Who writes to it does so within :func:`writable`.

    Raises:
        ClaraError: the file cannot be made or renamed.
    """
    temporary = _temporary(target)
    with writable(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        file = temporary.open("wb")
    try:
        yield file
        with writable(target):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            temporary.replace(target)
            _sync_folder(target.parent)
    finally:
        with suppress(OSError):  # a full disk was reported already, and close() would report it again
            file.close()
        temporary.unlink(missing_ok=True)


def remove_leftovers(target: Path) -> None:
    """Remove what processes that were killed left of the file ``target`` under other names.

    Only where no other process can be writing it.

    Raises:
        ClaraError: something cannot be removed.
    """
    with writable(target):
        for leftover in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
            leftover.unlink()


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


def _sync_folder(folder: Path) -> None:
    # The rename itself is on the disk only when the folder is.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def writable(target: Path) -> Iterator[None]:
    """Turn an ``OSError`` (a full disk, a place that is none of ours) into one line about ``target``."""
    try:
        yield
    except OSError as error:
        raise ClaraError(f"{target}: cannot be written: {error.strerror or error}") from error
