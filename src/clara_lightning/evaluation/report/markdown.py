"""The report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clara_lightning.evaluation.report.page import Page
from clara_lightning.evaluation.report.rules import MARKS
from clara_lightning.evaluation.report.sections import Section
from clara_lightning.evaluation.report.tables import Rows, visible

# What starts an element inside a line, and what starts a block where the text begins one. A bracket alone is no link.
_INSIDE = re.compile(r"([\\`*_#|~$]|\](?=[(\[:]))")
_AT_START = re.compile(r"^(\d*)([-+.)=])(?=[-=\s]|$)")


def markdown(page: Page) -> str:
    """The report as Markdown; its pictures are files beside it."""
    return "\n\n".join(_blocks(page)) + "\n"


def inline(text: str) -> str:
    r"""Text from outside on one line, so that no Markdown and no HTML in it works.

    Example:
        >>> inline("a|b\n<script>*c*")
        'a\\|b &lt;script&gt;\\*c\\*'
    """
    line = visible(" ".join(text.split()))
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _AT_START.sub(r"\1\\\2", _INSIDE.sub(r"\\\1", line))


def _blocks(page: Page) -> Iterator[str]:
    yield "# Evaluation"
    yield inline(page.summary)
    yield "## Verdict"
    for finding in page.findings:
        head = f"- {MARKS[finding.mark]} **{inline(finding.question)}** {inline(finding.answer)}"
        yield f"{head}\\\n  {inline(finding.evidence)}"
    for section in page.sections:
        yield from _section(section)
    if page.notes:
        yield "## Notes"
        yield "\n".join(f"- {inline(note)}" for note in page.notes)
    yield "## What the words mean"
    yield "\n".join(f"- **{inline(word.label)}**: {inline(word.meaning)}" for word in page.words)
    yield "## Samples"
    yield inline(page.samples_text)
    for sample in page.samples:
        yield f"### {inline(sample.question)}"
        yield inline(sample.facts)
        yield _table(sample.rows)
    yield "## To repeat it"
    if page.command:
        yield "    " + visible(" ".join(page.command.split()))  # indented, all of it is code
    yield _table(page.settings)


def _section(section: Section) -> Iterator[str]:
    yield f"## {section.title}"
    yield inline(section.text)
    for picture in section.pictures:
        yield f"![{inline(picture.alt)}]({picture.name}.png)"
    for table in section.tables:
        if table.caption:
            yield f"**{inline(table.caption)}**"
        yield _table(table.rows)


def _table(rows: Rows) -> str:
    head, *body = [[inline(cell) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body])
