"""MuSiQue: questions over twenty paragraphs, some of which cannot be answered from them.

A row holds ``id``, ``question``, ``answer``, ``answer_aliases``, ``answerable`` and ``paragraphs``, each with ``idx``,
``title``, ``paragraph_text`` and ``is_supporting``.

Source: the data of https://github.com/StonyBrookNLP/musique; an example row is in
https://github.com/oyar99/RAG-Scaling-for-QA/blob/main/src/datasets/musique/README.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from clara_lightning.data import fields
from clara_lightning.data.convert.conversion import Conversion, Row
from clara_lightning.data.convert.counts import Counts
from clara_lightning.data.records import Passage, Question
from clara_lightning.data.rows import open_rows

_COLUMNS = frozenset({"id", "question", "answer", "answer_aliases", "answerable", "paragraphs"})


def musique(conversion: Conversion) -> Iterator[Question]:
    """Questions with their paragraphs, the supporting ones marked gold; those without an answer are left out."""
    rows = open_rows(conversion.source, columns=_COLUMNS)
    return conversion.records(rows, partial(_questions, counts=conversion.counts))


def _questions(row: Row, number: int, *, counts: Counts) -> list[Question]:
    if not fields.flag_at(row, "answerable", default=True):
        counts.left_out["questions that cannot be answered"] += 1
        return []
    aliases = row.get("answer_aliases")
    answers = (
        fields.text_at(row, "answer"),
        *(() if aliases is None else fields.as_text_list(aliases, "answer_aliases")),
    )
    paragraphs = fields.as_list(fields.required(row, "paragraphs"), "paragraphs")
    return [
        Question(
            id=fields.text_at(row, "id"),
            question=fields.text_at(row, "question"),
            answers=tuple(dict.fromkeys(answers)),
            passages=tuple(_passage(item, f"paragraphs[{index}]") for index, item in enumerate(paragraphs)),
        )
    ]


def _passage(value: Any, field: str) -> Passage:
    row, prefix = fields.as_object(value, field), f"{field}."
    return Passage(
        text=fields.text_at(row, "paragraph_text", prefix=prefix),
        gold=fields.flag_at(row, "is_supporting", prefix=prefix),
        title=fields.title_at(row, prefix=prefix),
    )
