"""Natural Questions in its two open forms: questions alone, and questions with passages as DPR is trained on them.

NQ-open has ``question`` and ``answer``, a list, and no passage. DPR's retriever data has ``question``, ``answers``,
``positive_ctxs``, ``negative_ctxs`` and ``hard_negative_ctxs``, lists of passages with ``title`` and ``text``. Neither
has ids, so a question is named by its row.

Sources: NQ-open, https://github.com/google-research-datasets/natural-questions/tree/master/nq_open and
https://huggingface.co/datasets/google-research-datasets/nq_open; "Retriever input data format",
https://github.com/facebookresearch/DPR.
"""

from __future__ import annotations

from collections.abc import Iterator

from clara_lightning.data import fields
from clara_lightning.data.convert.conversion import Conversion, Row
from clara_lightning.data.records import Passage, Question
from clara_lightning.data.rows import open_rows

_PASSAGES = {"positive_ctxs": True, "hard_negative_ctxs": False, "negative_ctxs": False}
_COLUMNS = frozenset({"question", "answer", "answers", *_PASSAGES})


def open_questions(conversion: Conversion) -> Iterator[Question]:
    """Questions with their answers; with passages where the row has them, positive ones first and marked gold."""
    return conversion.records(open_rows(conversion.source, columns=_COLUMNS), _questions)


def _questions(row: Row, number: int) -> list[Question]:
    key = "answer" if row.get("answers") is None else "answers"
    return [
        Question(
            id=f"row-{number}",
            question=fields.text_at(row, "question"),
            answers=tuple(dict.fromkeys(fields.texts_at(row, key))),
            passages=tuple(passage for name, gold in _PASSAGES.items() for passage in _passages(row, name, gold=gold)),
        )
    ]


def _passages(row: Row, key: str, *, gold: bool) -> Iterator[Passage]:
    for index, item in enumerate([] if row.get(key) is None else fields.as_list(row[key], key)):
        passage, prefix = fields.as_object(item, f"{key}[{index}]"), f"{key}[{index}]."
        text = fields.text_at(passage, "text", prefix=prefix)
        yield Passage(text, gold, title=fields.title_at(passage, prefix=prefix))
