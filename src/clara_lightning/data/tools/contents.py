"""What a record holds that is counted and checked: documents, questions, answers, and which belong together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import NamedTuple

from clara_lightning.data.records import Document, Question, SCPExample
from clara_lightning.data.tools.kinds import Record
from clara_lightning.data.tools.words import folded, stands_in


class Asked(NamedTuple):
    """A question with its answers, and the documents that should hold one of them; none where they are not known."""

    question: str
    answers: tuple[str, ...]
    documents: tuple[str, ...]


def documents_of(record: Record) -> Sequence[str]:
    """What the compressor reads of a record: the document, or all passages."""
    if isinstance(record, Question):
        return [passage.content for passage in record.passages]
    return [record.document if isinstance(record, SCPExample) else record.content]


def gold_of(record: Record) -> Sequence[str]:
    """The documents that a record is about: of a question its gold passages."""
    if isinstance(record, Question):
        return [passage.content for passage in record.passages if passage.gold]
    return documents_of(record)


def asked_in(record: Record) -> Iterator[Asked]:
    """The questions of a record."""
    gold = tuple(gold_of(record))
    if isinstance(record, Question):
        yield Asked(record.question, record.answers, gold)
    elif isinstance(record, SCPExample):
        yield from (Asked(pair.question, (pair.answer,), gold) for pair in record.pairs)


def key_of(text: str) -> int:
    """A number that stands for a text; texts that differ in white space alone have the same, in every process."""
    return _key(" ".join(text.split()))


def record_key(record: Record) -> int:
    """A number that stands for all that a record holds but its id."""
    values = asdict(record)
    del values["id"]
    if isinstance(record, Document):
        values["metadata"] = dict(record.metadata)
    return _key(json.dumps([type(record).__name__, values], sort_keys=True, default=str))


def _key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def answer_stands(asked: Asked) -> bool | None:
    """Whether an answer stands in a document that should hold it; ``None`` where there is no answer or no document."""
    if not asked.answers or not asked.documents:
        return None
    texts = [_folded(document) for document in asked.documents]
    return any(stands_in(folded(answer), text) for answer in asked.answers for text in texts)


# Questions about one document follow each other in most files.
_folded = lru_cache(maxsize=256)(folded)
