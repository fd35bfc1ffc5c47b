"""Which kind of record each row of a file holds, and the records themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from clara_lightning.data import formats
from clara_lightning.data.fields import RowError
from clara_lightning.data.records import Document, Question, SCPExample
from clara_lightning.data.reference_formats import is_pretraining, is_reference
from clara_lightning.data.rows import open_rows, parse_row
from clara_lightning.errors import ClaraError

Record = Document | Question | SCPExample
Kind = Literal["documents", "questions", "supervision"]
"""What the rows of a file are read as; ``supervision`` is that of the compressor (SCP)."""
RowFormat = Literal["document", "question", "SCP", "reference question", "reference pretraining"]
"""How a row is written."""

KINDS: Mapping[RowFormat, Kind] = {
    "document": "documents",
    "question": "questions",
    "SCP": "supervision",
    "reference question": "questions",
    "reference pretraining": "supervision",
}


@dataclass(frozen=True)
class Row:
    """One row of a file.

    Attributes:
        number: from 1; lines of a file count all, blank ones too.
        place: how a message names the row.
        content: the bytes of its JSON, or the row of a table.
        format: how it is written; ``None`` where that is not known.
        records: what it holds; nothing where it is bad.
        mistake: ``FIELD: what is wrong``, or nothing.
        has_id: whether it names an id; those of the reference's rows may be made of their number.
    """

    number: int
    place: str
    content: bytes | Mapping[str, Any]
    format: RowFormat | None
    records: tuple[Record, ...]
    mistake: str = ""
    has_id: bool = False

    @property
    def kind(self) -> Kind | None:
        """What it is read as."""
        return self.format and KINDS[self.format]


def read_rows(path: str | Path, *, all_columns: bool = False) -> Iterator[Row]:
    """Every row of a file, good and bad ones, one after the other.

    A row whose keys do not say what it is to be is taken for one like those before it.

    Args:
        path: as in :func:`~clara_lightning.data.readers.read_documents`.
        all_columns: also read columns of tables that mean nothing here.

    Raises:
        ClaraError: there is nothing at ``path`` (at once), or it cannot be read to its end.
    """
    source = open_rows(path, columns=None if all_columns else formats.KNOWN_FIELDS)

    def rows() -> Iterator[Row]:
        before: RowFormat | None = None
        for number, content in source.rows:
            row = _read(number, source.place(number), content, source.expected, before)
            before = row.format or before
            yield row

    return rows()


def good_rows(path: str | Path, *, all_columns: bool = False) -> Iterator[Row]:
    """As :func:`read_rows`, where every row must be good and all of one kind.

    Raises:
        ClaraError: also where a row is bad, or of another kind than the first (when it is reached).
    """
    return _good(read_rows(path, all_columns=all_columns))


def _good(rows: Iterator[Row]) -> Iterator[Row]:
    first: Row | None = None
    for row in rows:
        first = first or row
        if row.mistake:
            raise ClaraError(f"{row.place}: {row.mistake}")
        if row.kind != first.kind:
            raise ClaraError(f"{row.place}: the row holds {row.kind}, the first one of its file {first.kind}")
        yield row


def format_of(row: Mapping[str, Any]) -> RowFormat | None:
    """How a row is written, by its keys; ``None`` where they do not say.

    Raises:
        RowError: ``data_type`` is there and no string.
    """
    if is_reference(row):
        return "reference pretraining" if is_pretraining(row) else "reference question"
    has = {key: row.get(key) is not None for key in ("document", "question", "answers", "text", "pairs", "paraphrase")}
    if has["document"]:
        return "SCP"
    if has["question"] and (has["answers"] or not has["text"]):
        return "question"
    if has["text"]:
        return "document"
    return "SCP" if has["pairs"] or has["paraphrase"] else None


def _read(number: int, place: str, content: bytes | Mapping[str, Any], expected: str, before: RowFormat | None) -> Row:
    written: RowFormat | None = None
    try:
        row = parse_row(content, expected=expected)
        written = format_of(row) or before
        return Row(number, place, content, written, _records(row, written, number), has_id=row.get("id") is not None)
    except RowError as error:
        return Row(number, place, content, written, (), str(error))


def _records(row: Mapping[str, Any], written: RowFormat | None, number: int) -> tuple[Record, ...]:
    match written and KINDS[written]:
        case "documents":
            return (formats.document(row),)
        case "questions":
            return tuple(formats.questions(row, number))
        case "supervision":
            return tuple(formats.scp_examples(row, number))
        case _:
            raise RowError("the row: no text (a document), question, document (SCP) or docs (the reference's rows)")
