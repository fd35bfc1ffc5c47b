"""What a report says, in its order, before it becomes Markdown or HTML."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from clara_lightning.evaluation.report.rules import Finding
from clara_lightning.evaluation.report.samples import Sample, samples
from clara_lightning.evaluation.report.sections import Pictures, Section, sections
from clara_lightning.evaluation.report.tables import Rows
from clara_lightning.evaluation.report.verdict import verdict
from clara_lightning.evaluation.report.words import Word, glossary
from clara_lightning.evaluation.results import Costs, Prediction, Results


class Page(NamedTuple):
    """A whole report.

    Attributes:
        summary: what was evaluated, in one line.
        findings: the verdict.
        sections: pictures and tables.
        notes: what was cut, left out or not measured.
        words: what the words mean.
        samples: questions with their answers.
        samples_text: how they were chosen.
        command: that repeats the evaluation; empty where the settings do not tell.
        settings: a table of what was measured and how.
    """

    summary: str
    findings: list[Finding]
    sections: list[Section]
    notes: list[str]
    words: list[Word]
    samples: list[Sample]
    samples_text: str
    command: str
    settings: Rows


def make_page(results: Results, costs: Costs, predictions: Sequence[Prediction], *, pictures: Pictures) -> Page:
    """Put a report together.

    Args:
        results: the figures; ``command`` among their settings is shown apart.
        costs: what they took.
        predictions: every answer.
        pictures: by name.
    """
    shown = samples(results, predictions)
    settings = {name: value for name, value in results.settings.items() if name != "command"}
    return Page(
        summary=_summary(results),
        findings=verdict(results, costs),
        sections=sections(results, costs, pictures=pictures),
        notes=results.notes,
        words=list(glossary(results)),
        samples=shown,
        samples_text=f"{len(shown)} of {results.questions} questions, those whose F1 differs most between the "
        "conditions. All answers are in predictions.jsonl.",
        command=str(results.settings.get("command", "")),
        settings=[["setting", "value"], *map(list, _flat(settings | {"adapters": results.adapters}))],
    )


def _summary(results: Results) -> str:
    corpus = "a store of" if results.corpus == "store" else "their own passages,"
    reader = f"{results.adapters['backbone']} with the adapters of stage {results.adapters['stage']}"
    return f"{results.questions} questions over {corpus} {results.documents} documents, answered by {reader}."


def _flat(values: Mapping[str, Any], *, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names with dots and values as text, of nested settings."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, prefix=f"{prefix}{name}.")
        else:
            yield prefix + name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
