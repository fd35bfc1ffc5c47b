"""From a row (a parsed JSON object, a Parquet row) to records, in this project's formats or the reference's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from clara_lightning.data import fields
from clara_lightning.data.fields import RowError
from clara_lightning.data.records import Document, PairKind, Passage, QAPair, Question, SCPExample
from clara_lightning.data.reference_formats import (
    ANSWER_KEYS,
    is_pretraining,
    is_reference,
    pretraining_examples,
    reference_questions,
)

Row = Mapping[str, Any]

KNOWN_FIELDS = frozenset(
    {"id", "title", "text", "metadata", "question", "passages", "gold_ids"}
    | {"document", "pairs", "paraphrase", "teacher"}
    | {"data_type", "docs", "pos_index", *ANSWER_KEYS}
)


def document(row: Row) -> Document:
    """The document in ``row``.

    Raises:
        RowError: a field is missing, empty or of a wrong type.
    """
    metadata = row.get("metadata")
    return Document(
        id=fields.text_at(row, "id"),
        text=fields.text_at(row, "text"),
        title=fields.title_at(row),
        metadata={} if metadata is None else fields.as_object(metadata, "metadata"),
    )


def questions(row: Row, number: int) -> list[Question]:
    """The questions in ``row``: one, or in the reference's pretraining format one for each pair.

    Args:
        row: a row of the QA format or of one of the reference's.
        number: the row's number in its file, from 1; the id of a reference row without one.

    Raises:
        RowError: a field is missing, empty or of a wrong type, or the row holds no question.
    """
    return reference_questions(row, number) if is_reference(row) else [_question(row)]


def scp_examples(row: Row, number: int) -> list[SCPExample]:
    """The supervision in ``row`` of the SCP format or of the reference's pretraining format.

    Args:
        row: a row for which :func:`is_question` is false.
        number: the row's number in its file, from 1; the id of a reference row without one.

    Raises:
        RowError: a field is missing, empty or of a wrong type, or there is neither a pair nor a paraphrase.
    """
    return pretraining_examples(row, number) if is_pretraining(row) else [_scp_example(row)]


def is_question(row: Row) -> bool:
    """Whether ``row`` is a question (with its passages) and not supervision for one document."""
    return row.get("question") is not None and row.get("document") is None and not is_pretraining(row)


def _question(row: Row) -> Question:
    passages, gold_ids = row.get("passages"), row.get("gold_ids")
    question = Question(
        id=fields.text_at(row, "id"),
        question=fields.text_at(row, "question"),
        answers=fields.as_text_list(fields.required(row, "answers"), "answers"),
        passages=() if passages is None else _passages(passages),
        gold_ids=() if gold_ids is None else fields.as_text_list(gold_ids, "gold_ids"),
    )
    if not question.answers and not question.gold_document_ids:
        raise RowError("answers: empty list, and neither gold_ids nor a gold passage that could be searched for")
    return question


def _passages(value: Any) -> tuple[Passage, ...]:
    items = fields.as_list(value, "passages")
    return tuple(_passage(item, f"passages[{index}]") for index, item in enumerate(items))


def _passage(value: Any, field: str) -> Passage:
    row, prefix = fields.as_object(value, field), f"{field}."
    return Passage(
        text=fields.text_at(row, "text", prefix=prefix),
        gold=fields.flag_at(row, "gold", prefix=prefix),
        id=fields.optional_text_at(row, "id", prefix=prefix),
        title=fields.title_at(row, prefix=prefix),
    )


def _scp_example(row: Row) -> SCPExample:
    pairs, paraphrase = row.get("pairs"), fields.optional_text_at(row, "paraphrase")
    example = SCPExample(
        id=fields.text_at(row, "id"),
        document=fields.text_at(row, "document"),
        pairs=() if pairs is None else _pairs(pairs),
        paraphrase=paraphrase,
        teacher=fields.optional_text_at(row, "teacher"),
    )
    if not example.pairs and paraphrase is None:
        raise RowError("pairs: none, and no paraphrase either")
    return example


def _pairs(value: Any) -> tuple[QAPair, ...]:
    items = fields.as_list(value, "pairs")
    return tuple(_pair(item, f"pairs[{index}]") for index, item in enumerate(items))


def _pair(value: Any, field: str) -> QAPair:
    row, prefix = fields.as_object(value, field), f"{field}."
    kind: Any = "simple" if row.get("kind") is None else row["kind"]
    if kind not in get_args(PairKind):
        raise fields.wrong_type(kind, f"{prefix}kind", '"simple" or "complex"')
    return QAPair(
        question=fields.text_at(row, "question", prefix=prefix),
        answer=fields.text_at(row, "answer", prefix=prefix),
        kind=kind,
    )
