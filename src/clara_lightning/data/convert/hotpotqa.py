"""HotpotQA and 2WikiMultiHopQA, whose rows are of one form.

A row holds ``_id`` (``id`` on the hub), ``question``, ``answer``, ``context`` (paragraphs of a title and sentences) and
``supporting_facts`` (a title and a sentence's number each). The two last are lists of pairs in the published files,
objects of two lists on the hub, and either of these as a string of JSON in some copies. A paragraph is gold where
``supporting_facts`` names its title.

Sources: HotpotQA, "JSON Format", https://github.com/hotpotqa/hotpot, and its card on the hub,
https://huggingface.co/datasets/hotpotqa/hotpot_qa; 2WikiMultiHopQA, "Dataset Contents",
https://github.com/Alab-NII/2wikimultihop.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from clara_lightning.data import fields
from clara_lightning.data.convert.conversion import Conversion, Row
from clara_lightning.data.convert.counts import Counts
from clara_lightning.data.fields import RowError
from clara_lightning.data.records import Passage, Question
from clara_lightning.data.rows import open_rows

_COLUMNS = frozenset({"_id", "id", "question", "answer", "context", "supporting_facts"})


def hotpotqa(conversion: Conversion) -> Iterator[Question]:
    """Questions with their paragraphs, those that the answer follows from marked gold.

    Counted as left out are paragraphs without text, and gold titles that no paragraph of the question has.
    """
    rows = open_rows(conversion.source, columns=_COLUMNS)
    return conversion.records(rows, partial(_questions, counts=conversion.counts))


def _questions(row: Row, number: int, *, counts: Counts) -> list[Question]:
    gold = {title for title, _ in _pairs(row, "supporting_facts", "sent_id")}
    paragraphs = [
        (title, _text(sentences, f"context[{index}].sentences"))
        for index, (title, sentences) in enumerate(_pairs(row, "context", "sentences"))
    ]
    question = Question(
        id=fields.text_at(row, "id" if row.get("_id") is None else "_id"),
        question=fields.text_at(row, "question"),
        answers=(fields.text_at(row, "answer"),),
        passages=tuple(Passage(text, title in gold, title=title) for title, text in paragraphs if text),
    )
    counts.left_out["paragraphs without text"] += len(paragraphs) - len(question.passages)
    counts.left_out["gold titles without a paragraph"] += len(gold - {passage.title for passage in question.passages})
    return [question]


def _pairs(row: Row, key: str, second: str) -> list[tuple[str, Any]]:
    """The pairs of a title and something in ``row[key]``, whichever form they have."""
    value = fields.required(row, key)
    if isinstance(value, str):
        value = _parsed(value, key)
    if isinstance(value, Mapping):
        columns = [fields.as_list(fields.required(value, name, prefix=f"{key}."), key) for name in ("title", second)]
        if len(columns[0]) != len(columns[1]):
            raise RowError(f"{key}: {len(columns[0])} of title, and {len(columns[1])} of {second}")
        value = [list(pair) for pair in zip(*columns, strict=True)]
    return [_pair(item, f"{key}[{index}]", second) for index, item in enumerate(fields.as_list(value, key))]


def _pair(item: Any, field: str, second: str) -> tuple[str, Any]:
    if not isinstance(item, list) or len(item) != 2:
        raise fields.wrong_type(item, field, f"a pair of title and {second}")
    return fields.as_text(item[0], f"{field}.title"), item[1]


def _text(sentences: Any, field: str) -> str:
    # Some files begin a sentence with a space, others do not; a sentence may be empty.
    for index, sentence in enumerate(fields.as_list(sentences, field)):
        if not isinstance(sentence, str):
            raise fields.wrong_type(sentence, f"{field}[{index}]", "a string")
    return " ".join(sentence.strip() for sentence in sentences if sentence.strip())


def _parsed(text: str, field: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RowError(f"{field}: a string, but not of JSON: {error}") from error
