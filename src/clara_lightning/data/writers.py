"""Records to JSONL files, in the form that :mod:`clara_lightning.data.readers` reads."""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
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
    target, count = Path(path), 0
    if target.suffix not in (".jsonl", ".json"):
        raise ClaraError(f"{target}: expected a name that ends in .jsonl")
    with replacing(target) as file:
        for record in records:
            line = _line(record, target)
            with writable(target):
                file.write(line)
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
    target = Path(os.path.abspath(path))  # "." has no name to make another of
    temporary = _temporary(target)
    try:
        for name, records in files.items():
            write_jsonl(temporary / name, records)
        with writable(target):
            target.mkdir(exist_ok=True)
            for name in files:
                (temporary / name).replace(target / name)
            _sync_folder(target)
            _sync_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _line(record: Record, target: Path) -> bytes:
    try:
        return json.dumps(_row(record), ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"
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
