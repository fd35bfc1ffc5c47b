"""The row formats of the reference project (apple/ml-clara) and of its published data sets.

They share ``docs``, a list of document strings:

- pretraining: ``question`` and ``answers`` are lists of the same length about the one document in ``docs``; where
  ``data_type`` names a paraphrase, ``answers`` are paraphrases of the document and ``question`` means nothing;
- instruction tuning and end-to-end training: one ``question`` string, its answer under one or several of
  :data:`ANSWER_KEYS`, and ``pos_index``, the position or positions of the gold documents in ``docs``.

A row may lack an ``id``; it is then made from the number of the row in its file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clara_lightning.data import fields
from clara_lightning.data.fields import RowError
from clara_lightning.data.records import Passage, QAPair, Question, SCPExample

Row = Mapping[str, Any]

# The order is the reference's for the training target, which is the first of Question.answers.
ANSWER_KEYS = ("answer", "answers", "golden_answers", "gold_answer")


def is_reference(row: Row) -> bool:
    """Whether ``row`` is of one of the reference's formats."""
    return row.get("docs") is not None


def is_pretraining(row: Row) -> bool:
    """Whether ``row`` is of the reference's pretraining format: pairs or paraphrases of one document.

    Raises:
        RowError: ``data_type`` is there and no string.
    """
    return is_reference(row) and (isinstance(row.get("question"), list) or _is_paraphrase(row))


def reference_questions(row: Row, number: int) -> list[Question]:
    """The questions in ``row``: one, or in the pretraining format one for each pair.

    Args:
        row: a row for which :func:`is_reference` is true.
        number: the row's number in its file, from 1.

    Raises:
        RowError: a field is missing, empty or of a wrong type, or the row holds a paraphrase and no question.
    """
    if _is_paraphrase(row):
        raise RowError("data_type: a paraphrase row holds no question; such a file can be read as SCP data")
    return _pretraining_questions(row, number) if is_pretraining(row) else [_question(row, number)]


def pretraining_examples(row: Row, number: int) -> list[SCPExample]:
    """The supervision in ``row``: one example with its pairs, or one for each of its paraphrases.

    Args:
        row: a row for which :func:`is_pretraining` is true.
        number: the row's number in its file, from 1.

    Raises:
        RowError: a field is missing, empty or of a wrong type, or ``docs`` holds more than one document.
    """
    name, document = _id(row, number), _only_document(row)
    if not _is_paraphrase(row):
        return [SCPExample(id=name, document=document, pairs=_pairs(row))]
    paraphrases = _one_or_more_texts(fields.required(row, "answers"), "answers")
    names = [name] if len(paraphrases) == 1 else [f"{name}-{index}" for index in range(len(paraphrases))]
    return [
        SCPExample(id=each, document=document, pairs=(), paraphrase=paraphrase)
        for each, paraphrase in zip(names, paraphrases, strict=True)
    ]


def _question(row: Row, number: int) -> Question:
    docs, gold = fields.texts_at(row, "docs"), _gold_positions(row)
    return Question(
        id=_id(row, number),
        question=fields.text_at(row, "question"),
        answers=_answers(row),
        passages=tuple(Passage(text=doc, gold=position in gold) for position, doc in enumerate(docs)),
    )


def _answers(row: Row) -> tuple[str, ...]:
    given = [key for key in ANSWER_KEYS if row.get(key) is not None]
    if not given:
        raise RowError(f"answer: missing (also none of {', '.join(ANSWER_KEYS[1:])})")
    return tuple(dict.fromkeys(text for key in given for text in _one_or_more_texts(row[key], key)))


def _gold_positions(row: Row) -> frozenset[int]:
    value, num_docs = row.get("pos_index"), len(row["docs"])
    positions = value if isinstance(value, list) else [] if value is None else [value]
    for position in positions:
        if not isinstance(position, int) or isinstance(position, bool):
            raise fields.wrong_type(position, "pos_index", "positions in docs")
        if not 0 <= position < num_docs:
            raise RowError(f"pos_index: {position} is no position in docs, which holds {num_docs}")
    return frozenset(positions)


def _pretraining_questions(row: Row, number: int) -> list[Question]:
    name, passage = _id(row, number), Passage(text=_only_document(row), gold=True)
    return [
        Question(id=f"{name}-{index}", question=pair.question, answers=(pair.answer,), passages=(passage,))
        for index, pair in enumerate(_pairs(row))
    ]


def _pairs(row: Row) -> tuple[QAPair, ...]:
    asked, answered = fields.texts_at(row, "question"), fields.texts_at(row, "answers")
    if len(asked) != len(answered):
        raise RowError(f"answers: expected one for each of {len(asked)} questions, got {len(answered)}")
    return tuple(QAPair(question=q, answer=a) for q, a in zip(asked, answered, strict=True))


def _only_document(row: Row) -> str:
    docs = fields.texts_at(row, "docs")
    if len(docs) != 1:
        raise RowError(f"docs: expected one document in a pretraining row, got {len(docs)}")
    return docs[0]


def _is_paraphrase(row: Row) -> bool:
    data_type = row.get("data_type")
    return data_type is not None and "paraphrase" in fields.as_text(data_type, "data_type").lower()


def _id(row: Row, number: int) -> str:
    return fields.optional_text_at(row, "id") or f"row-{number}"


def _one_or_more_texts(value: Any, field: str) -> tuple[str, ...]:
    return (fields.as_text(value, field),) if isinstance(value, str) else fields.as_texts(value, field)
