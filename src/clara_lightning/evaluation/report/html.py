"""The report as one HTML file: pictures inside, no script, and nothing from the network."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from clara_lightning.evaluation.report.page import Page
from clara_lightning.evaluation.report.rules import MARKS
from clara_lightning.evaluation.report.tables import visible

TEMPLATE = "report.html"


def html(page: Page) -> str:
    """The report as HTML. Everything that the template puts in is escaped."""
    environment = Environment(
        loader=PackageLoader("clara_lightning.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
    return environment.get_template(TEMPLATE).render(page=page, marks=MARKS)


def _shown(value: Any) -> Any:
    return visible(value) if type(value) is str else value  # what a macro made is a Markup, and escaped already
