"""All pictures of a report."""

from __future__ import annotations

import matplotlib

from clara_lightning.evaluation.report.bars import answers_picture, losses_picture
from clara_lightning.evaluation.report.canvas import STYLE, Picture
from clara_lightning.evaluation.report.curves import compression_picture, recall_picture
from clara_lightning.evaluation.results import Results

NAMES = ("answers_f1", "answers_cross_entropy", "recall", "losses", "compression")


def pictures(results: Results) -> dict[str, Picture]:
    """The pictures by name, those of :data:`NAMES` that there is something to draw in."""
    with matplotlib.rc_context(STYLE):
        made = [
            answers_picture(results, figure="f1", title="Token F1 (higher is better)"),
            answers_picture(results, figure="cross_entropy", title="Cross-entropy, nats per token (lower is better)"),
            recall_picture(results),
            losses_picture(results),
            compression_picture(results),
        ]
    return {picture.name: picture for picture in made if picture is not None}
