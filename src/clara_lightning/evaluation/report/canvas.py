"""What all pictures share: size, style, and how text from data is drawn."""

from __future__ import annotations

import io
import textwrap
from typing import Any, NamedTuple

from matplotlib.figure import Figure as Canvas

from clara_lightning.evaluation.report.tables import visible

WIDTH = 3.9  # inches: about what a phone shows, so that ten points stay ten points there
DOTS_PER_INCH = 220
STYLE: dict[Any, Any] = {  # so that the user's own matplotlibrc decides as little as possible
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "white",
    "figure.facecolor": "white",
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "hatch.linewidth": 1.0,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.06,
}


class Picture(NamedTuple):
    """A picture of the report.

    Attributes:
        name: of its file, without ``.png``.
        alt: what it shows, in words and numbers.
        png: the file.
    """

    name: str
    alt: str
    png: bytes


def new_canvas(*, height: float) -> Canvas:
    """An empty canvas; ``height`` in inches."""
    return Canvas(figsize=(WIDTH, height), layout="constrained")


def png(canvas: Canvas) -> bytes:
    """The finished picture, without the version of the program that drew it."""
    file = io.BytesIO()
    canvas.savefig(file, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return file.getvalue()


def drawn(text: str, *, width: int = 42, lines: int = 2) -> str:
    r"""Text from data, to be drawn: in short lines, a dollar sign being no formula.

    Args:
        text: the text.
        width: characters of a line.
        lines: at most; what is longer ends in three dots.

    Example:
        >>> drawn("a\tlabel for $5", width=9)
        'a label\nfor \\$5'
    """
    line = visible(" ".join(text.split()))
    return "\n".join(textwrap.wrap(line, width, max_lines=lines, placeholder="...")).replace("$", r"\$")
