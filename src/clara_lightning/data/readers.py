"""Documents, questions and SCP supervision from files, checked row by row and streamed.

Every mistake is one line: ``data.jsonl:12: passages[3].text: empty`` (``data.parquet: row 12: ...`` for tables).
Keys that mean nothing here are ignored, and so are blank lines and a byte order mark. A null stands for a field that
is left out.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from clara_lightning.data import formats
from clara_lightning.data.fields import RowError
from clara_lightning.data.records import Document, PairKind, QAPair, Question, SCPExample, content_id
from clara_lightning.data.rows import RowSource, open_rows, parse_row
from clara_lightning.data.seen import SeenIds
from clara_lightning.data.sources import open_documents
from clara_lightning.errors import ClaraError

logger = logging.getLogger(__name__)

Record = TypeVar("Record")
Convert = Callable[[Mapping[str, Any], int], Iterable[Record]]


def read_documents(path: str | Path, *, skip_bad_rows: int = 0, seen: SeenIds | None = None) -> Iterator[Document]:
    """Read a corpus: texts, or rows of documents, or of questions, whose distinct passages are the documents then.

    Args:
        path: a file, a folder of files, or a pattern such as ``wiki/*.parquet``: see
            :func:`~clara_lightning.data.sources.open_documents`.
        skip_bad_rows: how many bad rows (or texts) to skip before one is an error; a warning at the end says how many
            were.
        seen: takes the ids of the documents; one that is in it is refused.

    Returns:
        The documents in the order of the files, read as they are asked for.

    Raises:
        ClaraError: ``path`` cannot be read (at once), or a row is bad or repeats an id (when it is reached).
    """
    seen = SeenIds() if seen is None else seen

    def convert(row: Mapping[str, Any], number: int) -> list[Document]:
        if row.get("text") is None and formats.is_question(row):
            passages = [passage for question in formats.questions(row, number) for passage in question.passages]
            if not passages:
                raise RowError("passages: a question without any has no documents")
            distinct = {passage.document_id: passage for passage in passages}
            return [Document(name, passage.text, passage.title) for name, passage in distinct.items() if seen.add(name)]
        document = formats.document(row)
        if not seen.add(document.id):
            raise RowError(f"id: {document.id!r} is the id of an earlier document")
        return [document]

    sources = open_documents(path, columns=formats.KNOWN_FIELDS)
    return _convert_all(sources, convert, skip_bad_rows=skip_bad_rows, name=os.fspath(path))


def read_questions(path: str | Path, *, skip_bad_rows: int = 0, require_answers: bool = False) -> Iterator[Question]:
    """Read questions with their answers, passages and gold documents.

    Rows of the reference project are read too (see :mod:`clara_lightning.data.formats`). One of them with several
    answer fields gives all of them, ``answer`` first. Without ``pos_index`` it marks no passage as gold.

    Args:
        path: as in :func:`~clara_lightning.data.rows.open_rows`.
        skip_bad_rows: as in :func:`read_documents`.
        require_answers: a question without answers, which can be searched for alone, is a bad row.

    Returns:
        The questions in the file's order, read as they are asked for.

    Raises:
        ClaraError: ``path`` cannot be read (at once), or a row is bad (when it is reached).
    """

    def convert(row: Mapping[str, Any], number: int) -> list[Question]:
        questions = formats.questions(row, number)
        for question in questions if require_answers else ():
            _check_answered(question)
        return questions

    return _read(path, convert, skip_bad_rows=skip_bad_rows)


def read_scp(path: str | Path, *, skip_bad_rows: int = 0) -> Iterator[SCPExample]:
    """Read supervision for the compressor: SCP rows, the reference's pretraining rows, or QA rows.

    SCP and pretraining rows are streamed. QA rows are gathered: each distinct gold passage of the file becomes one
    example that holds all its questions, each with its first answer, in the order of the file. So the gold passages
    of a QA file are held in memory, and their examples come after the last row. A question with several gold passages
    goes to each of them, as a ``complex`` pair; one with none, or without an answer, is a bad row.

    Args:
        path: as in :func:`~clara_lightning.data.rows.open_rows`.
        skip_bad_rows: as in :func:`read_documents`.

    Returns:
        The examples.

    Raises:
        ClaraError: ``path`` cannot be read (at once), or a row is bad (when it is reached).
    """
    gathered = _GoldDocuments()

    def convert(row: Mapping[str, Any], number: int) -> list[SCPExample]:
        if not formats.is_question(row):
            return formats.scp_examples(row, number)
        for question in formats.questions(row, number):
            gathered.add(question)
        return []

    return chain(_read(path, convert, skip_bad_rows=skip_bad_rows), gathered.examples())


class _GoldDocuments:
    """The distinct gold passages of a file's questions, each with its questions as pairs."""

    def __init__(self) -> None:
        self._pairs: dict[str, list[QAPair]] = {}

    def add(self, question: Question) -> None:
        _check_answered(question)
        gold = dict.fromkeys(passage.content for passage in question.passages if passage.gold)
        if not gold:
            raise RowError("passages: none is marked gold, so there is no document to learn to compress")
        kind: PairKind = "simple" if len(gold) == 1 else "complex"
        for content in gold:
            self._pairs.setdefault(content, []).append(QAPair(question.question, question.answers[0], kind))

    def examples(self) -> Iterator[SCPExample]:
        for content, pairs in self._pairs.items():
            yield SCPExample(id=content_id(content), document=content, pairs=tuple(pairs))


def convert_rows(source: RowSource, convert: Convert[Record], *, skip_bad_rows: int) -> Iterator[Record]:
    """The records of every row of a source, made as they are asked for.

    Args:
        source: the rows.
        convert: makes the records of one row, given its number; raises ``RowError`` where the row is bad.
        skip_bad_rows: how many bad rows to skip before one is an error; a warning at the end says how many were.

    Raises:
        ClaraError: ``skip_bad_rows`` is negative (at once), or a row is bad (when it is reached).
    """
    return _convert_all([source], convert, skip_bad_rows=skip_bad_rows, name=source.name)


def _convert_all(
    sources: Iterable[RowSource], convert: Convert[Record], *, skip_bad_rows: int, name: str
) -> Iterator[Record]:
    if skip_bad_rows < 0:
        raise ClaraError(f"skip_bad_rows must be >= 0, got {skip_bad_rows}")
    return _records(sources, convert, skip_bad_rows, name)


def _check_answered(question: Question) -> None:
    if not question.answers:
        raise RowError(f"answers: question {question.id!r} has none: it can be searched for, not learned from")


def _read(path: str | Path, convert: Convert[Record], *, skip_bad_rows: int) -> Iterator[Record]:
    # Not a generator itself: a missing file is refused by the call, not by the first next().
    return convert_rows(open_rows(path, columns=formats.KNOWN_FIELDS), convert, skip_bad_rows=skip_bad_rows)


def _records(sources: Iterable[RowSource], convert: Convert[Record], allowed: int, name: str) -> Iterator[Record]:
    num_skipped, first_mistake = 0, ""
    try:
        for source, number, content in _rows(sources):
            try:
                records = convert(parse_row(content, expected=source.expected), number)
            except RowError as error:
                mistake = f"{source.place(number)}: {error}"
                if num_skipped == allowed:
                    raise ClaraError(mistake) from error
                num_skipped, first_mistake = num_skipped + 1, first_mistake or mistake
            else:
                yield from records
    finally:  # also when the caller stops early or a later row is an error
        if num_skipped:
            logger.warning("%s: skipped bad rows: %d; the first: %s", name, num_skipped, first_mistake)


def _rows(sources: Iterable[RowSource]) -> Iterator[tuple[RowSource, int, bytes | Mapping[str, Any]]]:
    for source in sources:
        for number, content in source.rows:
            yield source, number, content
