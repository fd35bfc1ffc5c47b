"""Rows of a file, a saved dataset or a dataset on the hub, one after the other and not yet checked."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

from clara_lightning.data.compression import DAMAGE, SUFFIXES, open_bytes, uncompressed_name
from clara_lightning.data.fields import RowError, as_object
from clara_lightning.data.json_list import split_list
from clara_lightning.errors import ClaraError

_JSON_SUFFIXES = (".jsonl", ".json")
# One slash is enough: pathlib makes "hf:/owner/name" of "hf://owner/name".
_HUB_NAME = re.compile(r"hf://?(?P<repo>[^/:#]+/[^/:#]+)(:(?P<config>[^#]+))?#(?P<split>.+)")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PARQUET_BATCH_ROWS = 256
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class RowSource:
    """Where rows come from.

    Attributes:
        name: the path as the user wrote it.
        place_format: how a message names a row, from ``name`` and ``number``.
        rows: each row's number (a file's lines and a table's rows both count from 1) and its content: the bytes of
            a line, or a mapping. :func:`parse_row` reads both, so that a bad line does not end the iteration.
        expected: what the bytes of a row must be, in words.
    """

    name: str
    place_format: str
    rows: Iterator[tuple[int, bytes | Mapping[str, Any]]]
    expected: str = "a JSON object on one line"

    def place(self, number: int) -> str:
        """The name of one row in a message."""
        return self.place_format.format(name=self.name, number=number)


def open_rows(path: str | Path, *, columns: frozenset[str] | None) -> RowSource:
    """Choose the way to read ``path`` by its name, and check that it is there.

    Args:
        path: a ``.jsonl`` or ``.json`` file (one object a line; a ``.json`` file may be one list of objects), which may
            be compressed (``.gz``, ``.bz2``, ``.xz``, ``.zst``); a ``.parquet`` file; a folder written by
            ``datasets.save_to_disk``; or ``hf://owner/name[:config]#split``, the one that uses the network.
        columns: the columns that matter; of Parquet files and saved datasets no others are read. None reads all.

    Raises:
        ClaraError: there is nothing at ``path``, or nothing that can be read.
    """
    name = os.fspath(path)
    if name.startswith("hf:/"):
        return _table(name, _hub_rows(name, _hub_name(name)))
    if not os.path.exists(name):
        raise ClaraError(f"{name}: no such file or directory")
    if os.path.isdir(name):
        _check_dataset_folder(name)
        return _table(name, _folder_rows(name, columns))
    if name.endswith(".parquet"):
        return _table(name, _parquet_rows(name, columns))
    plain = uncompressed_name(name)
    if plain.endswith(".json") and _is_list(name):
        return RowSource(name, "{name}: row {number}", _list_rows(name), expected="a JSON object")
    if plain.endswith(_JSON_SUFFIXES):
        return RowSource(name, "{name}:{number}", line_rows(name))
    ends = f"{' or '.join(_JSON_SUFFIXES)} (and {', '.join(SUFFIXES)} behind it), or .parquet"
    raise ClaraError(f"{name}: unknown suffix; expected {ends}")


def holds_rows(name: str) -> bool:
    """Whether :func:`open_rows` reads a file of this name."""
    return uncompressed_name(name).endswith(_JSON_SUFFIXES) or name.endswith(".parquet")


def is_saved_dataset(folder: str | Path) -> bool:
    """Whether ``datasets.save_to_disk`` wrote a folder, with one split or with several."""
    return any((Path(folder) / name).is_file() for name in ("state.json", "dataset_dict.json"))


def parse_row(content: bytes | Mapping[str, Any], *, expected: str) -> Mapping[str, Any]:
    """The object in a row.

    Args:
        content: the row: the bytes of JSON, or what was parsed already.
        expected: what bytes must be, in words.

    Raises:
        RowError: the bytes are not UTF-8, not JSON, or JSON but no object.
    """
    if not isinstance(content, bytes):
        return content
    try:
        value = _JSON.decode(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise RowError(f"not UTF-8: byte 0x{byte:02x} at column {error.start + 1}") from error
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise RowError(f"not {expected}: {error.msg} at {line}column {error.colno}") from error
    except (ValueError, RecursionError) as error:  # NaN, a number of 5000 digits, 100,000 nested lists
        raise RowError(f"not JSON that can be read: {error}") from error
    if b"\\ud" in content.lower():
        _refuse_lone_surrogates(value)
    return as_object(value, "the row")


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON value")


_JSON = json.JSONDecoder(parse_constant=_refuse_constant)  # json.loads would make one for every row


def _refuse_lone_surrogates(value: Any) -> None:
    # Tokenizers and Parquet writers fail on them, much later and without the line.
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowError(f"half of a surrogate pair ({error.object[error.start]!r}) is no character") from error


def _table(name: str, rows: Iterator[Mapping[str, Any]]) -> RowSource:
    return RowSource(name, "{name}: row {number}", enumerate(rows, start=1))


def line_rows(name: str) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers from 1; blank lines, line ends and a byte order mark are left out.

    Raises:
        ClaraError: the file cannot be read.
    """
    # Lines are split as bytes, so that one which is not UTF-8 is one bad row and not the end of the file.
    with readable(name, *DAMAGE), open_bytes(name) as file:
        for number, line in enumerate(file, start=1):
            content = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
            if content.strip():
                yield number, content.rstrip(b"\r\n")  # so that the columns of JSON's messages stay on this line


def _is_list(name: str) -> bool:
    with readable(name, *DAMAGE), open_bytes(name) as file:
        return file.read(_CHUNK_BYTES).removeprefix(_BYTE_ORDER_MARK).lstrip()[:1] == b"["


def _list_rows(name: str) -> Iterator[tuple[int, bytes]]:
    with readable(name, *DAMAGE), open_bytes(name) as file:
        first = file.read(_CHUNK_BYTES).removeprefix(_BYTE_ORDER_MARK)
        chunks = chain([first], iter(lambda: file.read(_CHUNK_BYTES), b""))
        yield from enumerate(split_list(chunks, name=name), start=1)


def _parquet_rows(name: str, columns: frozenset[str] | None) -> Iterator[Mapping[str, Any]]:
    import pyarrow  # type: ignore[import-untyped,unused-ignore]
    import pyarrow.parquet  # type: ignore[import-untyped,unused-ignore]

    with readable(name, pyarrow.ArrowException), pyarrow.parquet.ParquetFile(name) as file:
        wanted = _chosen(file.schema_arrow.names, columns)
        for batch in file.iter_batches(batch_size=_PARQUET_BATCH_ROWS, columns=wanted):
            yield from batch.to_pylist()


def _check_dataset_folder(name: str) -> None:
    folder = Path(name)
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(str(state.parent) for state in folder.glob("*/state.json"))
        raise ClaraError(f"{name}: a dataset with several splits; name one of them: {', '.join(splits)}")
    if not (folder / "state.json").is_file():
        raise ClaraError(f"{name}: a directory, but no dataset that datasets.save_to_disk wrote")


def _folder_rows(name: str, columns: frozenset[str] | None) -> Iterator[Mapping[str, Any]]:
    import datasets  # type: ignore[import-untyped,unused-ignore]
    import pyarrow  # type: ignore[import-untyped,unused-ignore]

    with readable(name, ValueError, KeyError, pyarrow.ArrowException):
        dataset = datasets.load_from_disk(name)
        # A saved format may be of tensors; rows here are plain Python.
        yield from dataset.with_format(None).select_columns(_chosen(dataset.column_names, columns))


def _chosen(names: Sequence[str], columns: frozenset[str] | None) -> list[str]:
    return [name for name in names if columns is None or name in columns]


def _hub_name(name: str) -> re.Match[str]:
    match = _HUB_NAME.fullmatch(name)
    if match is None:
        raise ClaraError(f"{name}: expected hf://owner/name#split or hf://owner/name:config#split")
    return match


def _hub_rows(name: str, parts: re.Match[str]) -> Iterator[Mapping[str, Any]]:
    import datasets  # type: ignore[import-untyped,unused-ignore]
    import pyarrow  # type: ignore[import-untyped,unused-ignore]

    with readable(name, ValueError, KeyError, pyarrow.ArrowException, datasets.exceptions.DatasetsError):
        yield from datasets.load_dataset(parts["repo"], parts["config"], split=parts["split"], streaming=True)


@contextmanager
def readable(name: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn what goes wrong while a source is read (``OSError`` and ``errors``) into one line about the source."""
    expected: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        yield
    except expected as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ClaraError(f"{name}: cannot be read: {' '.join(reason.split()) or type(error).__name__}") from error
