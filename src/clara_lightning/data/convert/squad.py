"""SQuAD 1.1 and 2.0: questions about paragraphs of articles.

A file is one object whose ``data`` lists articles with ``title`` and ``paragraphs``; a paragraph has ``context`` and
``qas``; each of those ``id``, ``question``, ``answers`` (a list of objects with ``text``) and, in 2.0,
``is_impossible``.

Source: the files of https://rajpurkar.github.io/SQuAD-explorer/.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from clara_lightning.data import fields
from clara_lightning.data.convert.conversion import Conversion, Row
from clara_lightning.data.convert.counts import Counts
from clara_lightning.data.fields import RowError
from clara_lightning.data.records import Passage, Question
from clara_lightning.data.rows import RowSource, parse_row, readable
from clara_lightning.errors import ClaraError


def squad(conversion: Conversion) -> Iterator[Question]:
    """Questions, each with its paragraph as the one gold passage; impossible ones are left out.

    The file is held as a whole: the largest that is published has 42 MB.
    """
    name = conversion.source
    with readable(name):
        content = Path(name).read_bytes()
    source = RowSource(name, "{name}: question {number}", enumerate(_flat_rows(content, name), start=1))
    return conversion.records(source, partial(_questions, counts=conversion.counts))


def _flat_rows(content: bytes, name: str) -> Iterator[Row]:
    """Every question with its paragraph, its article's title, and where it stands in the file."""
    try:
        file = parse_row(content.removeprefix(BOM_UTF8), expected="a JSON object")
        for article, where in _objects(file, "data"):
            title = fields.title_at(article, prefix=where)
            for paragraph, place in _objects(article, "paragraphs", where):
                context = fields.text_at(paragraph, "context", prefix=place)
                for qa, prefix in _objects(paragraph, "qas", place):
                    yield {"qa": qa, "prefix": prefix, "context": context, "title": title}
    except RowError as error:  # of the file, an article or a paragraph: there is no one question to skip
        raise ClaraError(f"{name}: {error}") from error


def _objects(row: Row, key: str, prefix: str = "") -> Iterator[tuple[Row, str]]:
    """The objects listed in ``row[key]``, each with the prefix of its fields."""
    for index, item in enumerate(fields.as_list(fields.required(row, key, prefix=prefix), prefix + key)):
        place = f"{prefix}{key}[{index}]"
        yield fields.as_object(item, place), f"{place}."


def _questions(row: Row, number: int, *, counts: Counts) -> list[Question]:
    qa, prefix = row["qa"], row["prefix"]
    if fields.flag_at(qa, "is_impossible", prefix=prefix, default=False):
        counts.left_out["questions that cannot be answered"] += 1
        return []
    answers = [fields.text_at(answer, "text", prefix=place) for answer, place in _objects(qa, "answers", prefix)]
    if not answers:
        raise RowError(f"{prefix}answers: empty list")
    return [
        Question(
            id=fields.text_at(qa, "id", prefix=prefix),
            question=fields.text_at(qa, "question", prefix=prefix),
            answers=tuple(dict.fromkeys(answers)),
            passages=(Passage(row["context"], gold=True, title=row["title"]),),
        )
    ]
