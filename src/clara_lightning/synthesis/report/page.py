"""The report's folder: ``report.html`` for people, ``report.json`` for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.outcome import Outcome
from clara_lightning.synthesis.report.context import context_sections
from clara_lightning.synthesis.report.figures import Figures, Tally
from clara_lightning.synthesis.report.samples import Samples, sample
from clara_lightning.synthesis.report.sections import sections
from clara_lightning.synthesis.report.text import shown
from clara_lightning.synthesis.report.words import MARKS, findings, headline

PAGE = "report.html"
DATA = "report.json"


def write_report(folder: str | Path, outcomes: Iterable[Outcome], context: Mapping[str, object]) -> Figures:
    """Count outcomes and write the report: the page first, then the figures; earlier ones are replaced.

    The same outcomes in any order, with the same context, give the same bytes.

    Args:
        folder: where to; it is made where it is missing. Every file appears whole or not at all.
        outcomes: of all documents, taken one at a time.
        context: what else is told, see :mod:`clara_lightning.synthesis.report.context`.

    Returns:
        The figures.

    Raises:
        ClaraError: the folder cannot be written.
    """
    tally, samples = Tally(), Samples()
    for outcome in outcomes:
        tally.add(outcome)
        samples.add(outcome)
    figures = tally.result()
    data = {"figures": figures.to_json(), "context": context}
    target = Path(folder)
    _write(target / PAGE, html(figures, samples, context))
    _write(target / DATA, json.dumps(data, ensure_ascii=False, allow_nan=False, indent=2) + "\n")
    return figures


def html(figures: Figures, samples: Samples, context: Mapping[str, object]) -> str:
    """The page: one file without a script, and nothing from the network. Everything that is put in is escaped.

    Args:
        figures: of the synthesis.
        samples: documents to read.
        context: what else is told.
    """
    environment = Environment(
        loader=PackageLoader("clara_lightning.synthesis.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\N{NO-BREAK SPACE}%")
    groups = {"accepted": samples.accepted, "rejected": samples.rejected}
    return environment.get_template(PAGE).render(
        teacher=str(context.get("teacher", "")),
        headline=headline(figures),
        findings=findings(figures),
        marks=MARKS,
        sections=sections(figures) + context_sections(figures, context),
        samples={name: [sample(outcome) for outcome in group] for name, group in groups.items()},
        totals={"accepted": figures.accepted.count, "rejected": figures.documents - figures.accepted.count},
    )


def _harmless(value: Any) -> Any:
    return shown(value) if type(value) is str else value  # what a macro made is a Markup, and escaped already


def _write(path: Path, content: str) -> None:
    """Write a file by rename. Half of a surrogate pair, which UTF-8 cannot hold, becomes JSON's escape for it."""
    working = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            working.write_bytes(content.encode("utf-8", "backslashreplace"))
            working.replace(path)
        finally:
            working.unlink(missing_ok=True)
    except OSError as error:
        raise ClaraError(f"{path}: cannot be written: {error.strerror or error}") from error
