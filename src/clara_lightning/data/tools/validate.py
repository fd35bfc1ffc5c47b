"""``clara data validate``: every mistake of a file, and what is allowed but rarely meant."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from clara_lightning.data.records import Document, Question, SCPExample
from clara_lightning.data.tools.contents import Asked, answer_stands, asked_in, documents_of, gold_of, key_of
from clara_lightning.data.tools.kinds import Kind, Record, Row, read_rows
from clara_lightning.data.tools.words import folded, stands_in
from clara_lightning.errors import ClaraError

WARNINGS = {
    "id": "an id that an earlier row has",
    "document": "a document that an earlier row has",
    "question": "a question that was asked before",
    "answer": "an answer that stands in no document of its question",
    "answer_in_question": "an answer that stands in its own question",
    "no_answer": "a question without an answer: it can be searched for, not learned from",
    "no_gold": "a question of which no document is known to hold the answer",
    "paraphrase": "a paraphrase that is the document",
    "kind": "a row of another kind than the first one",
}
"""What is allowed, by a short name."""


@dataclass(frozen=True)
class Warned:
    """How often something that is allowed was found.

    Attributes:
        what: in words.
        count: how often.
        of: among how many: questions, documents, examples or rows.
        first: where first.
    """

    what: str
    count: int
    of: int
    first: str


@dataclass(frozen=True)
class Validation:
    """What a check of a file found.

    Attributes:
        file: its path.
        rows: rows, bad ones among them.
        records: documents, questions or examples in the good ones.
        mistakes: how many rows are bad; the end of a file that breaks off counts as one.
        listed: what is wrong with the first of them, as ``file:line: field: what``.
        warnings: what was found, by its name in ``WARNINGS``.
    """

    file: str
    rows: int
    records: int
    mistakes: int
    listed: tuple[str, ...]
    warnings: dict[str, Warned]

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)


def validate_file(path: str, *, most: int = 20) -> Validation:
    """Check every row as the readers do. Of what was read, ids and keys of texts are kept.

    Of a row with several mistakes the first is found. Documents must have ids of their own, as in
    :func:`~clara_lightning.data.readers.read_documents`.

    Args:
        path: as there.
        most: so many mistakes are listed; 0 lists all.

    Raises:
        ClaraError: there is nothing at ``path``, or it holds no rows.
    """
    rows, check = read_rows(path), _Check(most)
    try:
        for row in rows:
            check.add_row(row)
    except ClaraError as error:  # the file breaks off: what was found before it is told too
        check.mistake(str(error))
    if not check.rows and not check.mistakes:
        raise ClaraError(f"{path}: holds no rows")
    return Validation(path, check.rows, check.records, check.mistakes, tuple(check.listed), check.warnings())


class _Check:
    """What was found so far."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.rows = self.records = self.mistakes = 0
        self.listed: list[str] = []
        self.found: dict[str, tuple[int, str]] = {}
        self.looked_at = dict.fromkeys(WARNINGS, 0)
        self.kinds: dict[Kind, None] = {}  # in the order in which they came up
        self.ids: set[str] = set()
        self.keys: dict[str, set[int]] = {"document": set(), "question": set()}

    def mistake(self, text: str) -> None:
        self.mistakes += 1
        if not self.most or self.mistakes <= self.most:
            self.listed.append(text)

    def warnings(self) -> dict[str, Warned]:
        return {
            name: Warned(what, self.found[name][0], self.looked_at[name], self.found[name][1])
            for name, what in WARNINGS.items()
            if name in self.found
        }

    def add_row(self, row: Row) -> None:
        self.rows += 1
        wrong = row.mistake or self._row(row) or self._ids(row)
        if wrong:
            self.mistake(f"{row.place}: {wrong}")
            return
        for record in row.records:
            self._record(record, row.place)

    def _row(self, row: Row) -> str:
        """Look at the kind of a good row, and at its document."""
        assert row.kind is not None
        self.kinds.setdefault(row.kind)
        if {"documents", "supervision"} <= {*self.kinds}:  # no reader takes both
            del self.kinds[row.kind]
            return f"the row holds {row.kind}, and earlier ones {' and '.join(self.kinds)}"
        self._note("kind", row.kind != next(iter(self.kinds)), row.place)
        if row.kind != "questions":
            (document,) = documents_of(row.records[0])
            self._note("document", self._is_known("document", document), row.place)
        return ""

    def _ids(self, row: Row) -> str:
        """Look for ids that an earlier record has, which no two documents may share."""
        for record in row.records:
            is_known = record.id in self.ids
            self.ids.add(record.id)
            if is_known and isinstance(record, Document):
                return f"id: {record.id!r} is the id of an earlier document"
            if not isinstance(record, Document):
                self._note("id", is_known, f"{row.place} ({record.id})")
        return ""

    def _record(self, record: Record, place: str) -> None:
        self.records += 1
        for asked in asked_in(record):
            self._asked(asked, place)
        if isinstance(record, Question):
            self._note("no_answer", not record.answers, place)
            self._note("no_gold", not (gold_of(record) or record.gold_ids), place)
        elif isinstance(record, SCPExample) and record.paraphrase is not None:
            self._note("paraphrase", folded(record.paraphrase) == folded(record.document), place)

    def _asked(self, asked: Asked, place: str) -> None:
        self._note("question", self._is_known("question", asked.question), place)
        if (stands := answer_stands(asked)) is not None:
            self._note("answer", not stands, place)
        if asked.answers:
            given = stands_in(folded(asked.answers[0]), folded(asked.question))
            self._note("answer_in_question", given, place)

    def _is_known(self, what: str, text: str) -> bool:
        keys, key = self.keys[what], key_of(text)
        is_known = key in keys
        keys.add(key)
        return is_known

    def _note(self, name: str, is_found: bool, place: str) -> None:
        self.looked_at[name] += 1
        if is_found:
            count, first = self.found.get(name, (0, place))
            self.found[name] = (count + 1, first)
