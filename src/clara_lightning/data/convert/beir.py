"""BEIR: a corpus, queries, and judgements of which documents are relevant to a query.

A folder holds ``corpus.jsonl`` (``_id``, ``title``, ``text``, and in some sets ``metadata``), ``queries.jsonl``
(``_id``, ``text``) and ``qrels/SPLIT.tsv`` with the columns ``query-id``, ``corpus-id`` and ``score`` under a header.

Source: "Dataset Structure" of https://huggingface.co/datasets/BeIR/msmarco-qrels, and BEIR's own loader,
https://github.com/beir-cellar/beir/blob/main/beir/datasets/data_loader.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from clara_lightning.data import fields
from clara_lightning.data.convert.conversion import Conversion, Row
from clara_lightning.data.fields import RowError
from clara_lightning.data.records import Document, Question
from clara_lightning.data.rows import RowSource, line_rows, open_rows
from clara_lightning.errors import ClaraError

_COLUMNS = frozenset({"_id", "title", "text", "metadata"})
_HEADER = b"query-id\tcorpus-id\tscore"


def beir(conversion: Conversion) -> Mapping[str, Iterator[Document] | Iterator[Question]]:
    """The corpus, and the queries with a relevant document as questions without answers; to be taken in this order.

    Held are the judgements of the split and the ids of the corpus. Counted as left out are documents without title and
    text, queries and judgements that lead to no document of the corpus, and judgements that deny relevance.
    """
    folder = Path(conversion.source)
    # Opened before anything is read: that the last file is missing shows at once.
    documents, queries = (open_rows(folder / name, columns=_COLUMNS) for name in ("corpus.jsonl", "queries.jsonl"))
    relevant: dict[str, dict[str, None]] = {}
    for query, document in _judgements(conversion, folder / "qrels"):
        relevant.setdefault(query, {})[document] = None
    corpus: set[str] = set()
    return {
        "documents.jsonl": _documents(conversion, documents, corpus),
        "questions.jsonl": _questions(conversion, queries, corpus, relevant),
    }


def _documents(conversion: Conversion, source: RowSource, corpus: set[str]) -> Iterator[Document]:
    """The documents; their ids are gathered in ``corpus``."""

    def documents(row: Row, number: int) -> list[Document]:
        name, title, metadata = fields.text_at(row, "_id"), fields.title_at(row), row.get("metadata")
        if name in corpus:
            raise RowError(f"_id: {name!r} is the id of an earlier document")
        text = fields.required(row, "text")
        if not isinstance(text, str):
            raise fields.wrong_type(text, "text", "a string")
        if not text.strip():
            title, text = "", title  # several sets have documents that are a title alone
        if not text.strip():
            conversion.counts.left_out["documents without text"] += 1
            return []
        corpus.add(name)
        return [Document(name, text, title, {} if metadata is None else fields.as_object(metadata, "metadata"))]

    return conversion.records(source, documents)


def _questions(
    conversion: Conversion, source: RowSource, corpus: set[str], relevant: dict[str, dict[str, None]]
) -> Iterator[Question]:
    """The judged queries; they are taken out of ``relevant``, which holds the relevant documents of each."""
    left_out = conversion.counts.left_out

    def questions(row: Row, number: int) -> list[Question]:
        name, text = fields.text_at(row, "_id"), fields.text_at(row, "text")
        judged = relevant.pop(name, {})
        gold = tuple(document for document in judged if document in corpus)
        left_out["relevant documents that the corpus lacks"] += len(judged) - len(gold)
        left_out["queries without a relevant document"] += not gold
        return [Question(name, text, (), gold_ids=gold)] if gold else []

    yield from conversion.records(source, questions)
    left_out["judged queries that are not in queries.jsonl"] += len(relevant)


def _judgements(conversion: Conversion, folder: Path) -> Iterator[tuple[str, str]]:
    """Query and document of every judgement that says relevant."""
    path = folder / f"{conversion.split}.tsv"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in folder.glob("*.tsv"))) or "none"
        raise ClaraError(f"{path}: no such file; --split takes one of those that are there: {there}")

    def judgements(row: Row, number: int) -> list[tuple[str, str]]:
        query, document, score = _judgement(row["line"])
        if score <= 0:
            conversion.counts.left_out["judgements that deny relevance"] += 1
        return [(query, document)] if score > 0 else []

    lines = ((number, {"line": line}) for number, line in line_rows(str(path)) if line != _HEADER)
    yield from conversion.records(RowSource(str(path), "{name}:{number}", lines), judgements)


def _judgement(line: bytes) -> tuple[str, str, int]:
    try:
        columns = line.decode("utf-8").split("\t")
    except UnicodeDecodeError as error:
        raise RowError(f"not UTF-8: byte 0x{line[error.start]:02x} at column {error.start + 1}") from error
    if len(columns) != 3:
        raise RowError(f"expected query-id, corpus-id and score between tabs, got {len(columns)} columns")
    query, document, score = columns
    if not re.fullmatch(r"-?\d+", score):
        raise RowError(f"score: expected a whole number, got {score!r}")
    return fields.as_text(query, "query-id"), fields.as_text(document, "corpus-id"), int(score)
