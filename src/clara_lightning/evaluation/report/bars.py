"""Pictures with a bar for each condition: how well it answers, and where its answers were lost.

Labels stand above their bars: beside them they would take half of a phone's width.
"""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Patch

from clara_lightning.evaluation.report.canvas import Picture, drawn, new_canvas, png
from clara_lightning.evaluation.report.tables import LOSSES, condition_label, show
from clara_lightning.evaluation.results import Figure, Results

# Inches, which are the units of these pictures from top to bottom.
LINE = 0.17  # of a label
BAR = 0.17
GAP = 0.14  # below a bar
FRAME = 1.15  # title, axis with its label, and legend
UNITS = {"f1": "token F1", "cross_entropy": "nats per token of the right answer"}

READERS: dict[str, dict[str, Any]] = {
    "generator": {"label": "trained generator", "facecolor": "#2f6db0", "edgecolor": "#2f6db0"},
    "backbone": {"label": "backbone alone", "facecolor": "#f2c98d", "edgecolor": "#8a5a14", "hatch": "///"},
}
PARTS: dict[str, dict[str, Any]] = {
    "retrieved_answered": {"color": "#2f6db0"},
    "retrieved_wrong": {"facecolor": "#bcd3ec", "edgecolor": "#2f6db0", "hatch": "///"},
    "missed_answered": {"color": "#c98a2b"},
    "missed_wrong": {"facecolor": "#e6e6e6", "edgecolor": "#8c8c8c", "hatch": "\\\\\\"},
}


def answers_picture(results: Results, *, figure: str, title: str) -> Picture | None:
    """Each condition's figure with its interval; ``None`` where none has it.

    Args:
        results: the evaluation.
        figure: ``f1`` or ``cross_entropy``.
        title: what it shows.
    """
    found = {name: each[figure] for name, each in results.answers.items() if math.isfinite(each[figure].value)}
    if not found:
        return None
    canvas, axes, places = _rows(results, list(found))
    readers = [results.conditions[name].reader for name in found]
    for place, each, reader in zip(places, found.values(), readers, strict=True):
        axes.barh(place, each.value, height=BAR, **READERS[reader])
        axes.errorbar(each.value, place, xerr=error(each), color="black", capsize=3, linewidth=1.3)
        beside = axes.get_yaxis_transform()
        axes.text(1, place - 0.6 * BAR, f"{each.value:.3f}", transform=beside, va="bottom", ha="right")
    axes.set(title=title, xlabel=UNITS[figure], xlim=(0, 1) if figure == "f1" else (0, None))
    if len(set(readers)) > 1:
        canvas.legend(handles=[Patch(**style) for style in READERS.values()], loc="outside lower center", ncols=2)
    alt = "; ".join(f"{condition_label(results, name)} {show(each)}" for name, each in found.items())
    return Picture(f"answers_{figure}", f"{title}: {alt}.", png(canvas))


def losses_picture(results: Results) -> Picture | None:
    """Shares of the questions: were the documents found, was the answer right; ``None`` where nothing was retrieved."""
    if not results.losses:
        return None
    title = "Found and answered, shares of the questions"
    canvas, axes, places = _rows(results, list(results.losses), frame=FRAME + LINE)
    for place, shares in zip(places, results.losses.values(), strict=True):
        left = 0.0
        for part, style in PARTS.items():
            axes.barh(place, shares[part], left=left, height=BAR, **style)
            if shares[part] >= 0.14:  # room for the number beside its colour
                _number(axes, left + shares[part] / 2, place, shares[part])
            left += shares[part]
    axes.set(title=title, xlabel="share of the questions", xlim=(0, 1))
    handles = [Patch(**style, label=LOSSES[part]) for part, style in PARTS.items()]
    canvas.legend(handles=handles, loc="outside lower center", ncols=2)
    alt = "; ".join(
        f"{condition_label(results, name)}: "
        + ", ".join(f"{words} {shares[part]:.3f}" for part, words in LOSSES.items())
        for name, shares in results.losses.items()
    )
    return Picture("losses", f"{title}. {alt}.", png(canvas))


def error(figure: Figure) -> list[list[float]]:
    """Distances from the value down and up to the limits of its interval; 0 where it has none."""
    return [[max(0.0, figure.value - figure.low)], [max(0.0, figure.high - figure.value)]]


def _rows(results: Results, names: list[str], *, frame: float = FRAME) -> tuple[Canvas, Axes, list[float]]:
    """An empty picture with the label of each condition, and the places of their bars, which go below the labels."""
    labels = [drawn(condition_label(results, name)) for name in names]
    places, bottom = [], 0.0
    for label in labels:
        bottom += (label.count("\n") + 1) * LINE + BAR + GAP
        places.append(bottom - GAP - BAR / 2)
    canvas = new_canvas(height=bottom + frame)
    axes = canvas.subplots()
    for place, label in zip(places, labels, strict=True):
        axes.text(0, place - 0.6 * BAR, label, transform=axes.get_yaxis_transform(), va="bottom")
    axes.set_ylim(bottom, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return canvas, axes, places


def _number(axes: Axes, across: float, down: float, share: float) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    axes.text(across, down, f"{100 * share:.0f} %", ha="center", va="center", fontsize=8.5, bbox=box)
