"""The sections of a report: pictures and tables about one thing, with a word on how to read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from clara_lightning.evaluation.report import tables
from clara_lightning.evaluation.report.canvas import Picture
from clara_lightning.evaluation.report.tables import Rows
from clara_lightning.evaluation.report.words import SCALES
from clara_lightning.evaluation.results import Costs, Results

Pictures = Mapping[str, Picture]


class Table(NamedTuple):
    """A table; its caption is empty where the section says enough."""

    caption: str
    rows: Rows


class Section(NamedTuple):
    """Pictures and tables about one thing, and how to read them."""

    title: str
    text: str
    pictures: tuple[Picture, ...]
    tables: tuple[Table, ...]


def sections(results: Results, costs: Costs, *, pictures: Pictures) -> list[Section]:
    """All sections that have a picture or a table.

    Args:
        results: the figures.
        costs: what they took.
        pictures: by name.
    """
    found = [
        _answers(results, pictures),
        _search(results, pictures),
        _losses(results, pictures),
        _cost(results, costs, pictures),
        _paraphrases(results),
    ]
    return [section for section in found if section.pictures or section.tables]


def _answers(results: Results, pictures: Pictures) -> Section:
    return _section(
        "Answers",
        "Each condition puts something else before the same questions. If the memory is used, gold memory stands near "
        "gold text and far from another document's memory. Lines and brackets are 95 % intervals.",
        [pictures.get("answers_f1"), pictures.get("answers_cross_entropy")],
        [Table("", tables.answer_rows(results))],
    )


def _search(results: Results, pictures: Pictures) -> Section:
    rankings = [
        Table(f"Ranking, {word.label}", tables.retrieval_rows(results, scale)) for scale, word in SCALES.items()
    ]
    return _section(
        "Search",
        "Whether the retrievers put the gold documents on top, and whether they find others for other questions.",
        [pictures.get("recall")],
        [*rankings, Table("Different documents for different questions", tables.collapse_rows(results))],
    )


def _losses(results: Results, pictures: Pictures) -> Section:
    return _section(
        "Where answers were lost",
        "Found: all gold documents were in the background. Answered: the answer contains a right one. Found but wrong "
        "is lost in reading, missed and wrong in search; missed but answered is known without them, or guessed.",
        [pictures.get("losses")],
        [Table("", tables.loss_rows(results))],
    )


def _cost(results: Results, costs: Costs, pictures: Pictures) -> Section:
    sizes = [f"{size:,.0f} bytes as {form}" for form, size in costs.bytes_per_document.items()]
    return _section(
        "What it costs",
        f"Device: {costs.device}; processes: {costs.processes}; the whole evaluation took {costs.seconds:.0f} s."
        + (f" A document takes {', '.join(sizes)}." if sizes else ""),
        [pictures.get("compression")],
        [
            Table("Lengths", tables.length_rows(results)),
            Table("Time and memory", tables.cost_rows(results, costs)),
        ],
    )


def _paraphrases(results: Results) -> Section:
    return _section(
        "Paraphrases",
        "The reader says a document in other words: near the document if its background holds what the document says.",
        [],
        [Table("", tables.paraphrase_rows(results))],
    )


def _section(title: str, text: str, pictures: Iterable[Picture | None], told: Iterable[Table]) -> Section:
    """A section of what there is."""
    drawn = tuple(picture for picture in pictures if picture is not None)
    return Section(title, text, drawn, tuple(table for table in told if table.rows))
