"""Pictures over an axis of numbers: recall over the documents taken, quality over the compression."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from clara_lightning.evaluation.report.bars import READERS, error
from clara_lightning.evaluation.report.canvas import Picture, drawn, new_canvas, png
from clara_lightning.evaluation.report.tables import condition_label, retriever_label, show
from clara_lightning.evaluation.report.words import SCALES
from clara_lightning.evaluation.results import Results

# Colours that colour-blind people tell apart (Okabe and Ito), each with a marker of its own.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", ":", "-.")
FORMS = {"memory": "o", "text": "s", "tokens": "^"}
FILLS = {"generator": "full", "backbone": "none"}
PANEL = 2.4  # inches
LINE = 0.19  # inches: a line of a legend


def recall_picture(results: Results) -> Picture | None:
    """Recall@k over k for every retriever, a panel for each scale; ``None`` where nothing was ranked."""
    curves = {scale: systems for scale, systems in results.recall_curves.items() if any(systems.values())}
    if not curves:
        return None
    title = "Recall@k: share of the gold documents among the first k"
    retrievers = list(dict.fromkeys(name for systems in curves.values() for name in systems))
    labels = [drawn(retriever_label(results, name)) for name in retrievers]
    canvas = new_canvas(height=PANEL * len(curves) + _legend_height(labels))
    panels = canvas.subplots(len(curves), 1, squeeze=False)[:, 0]
    for axes, (scale, systems) in zip(panels, curves.items(), strict=True):
        lines = [_line(axes, place, systems.get(name, [])) for place, name in enumerate(retrievers)]
        axes.set(title=f"Recall@k, {SCALES[scale].label}", xlabel="k", ylabel="share found", ylim=(0, 1.03))
        _powers_of_two(axes, unit="")
    canvas.legend(lines, labels, loc="outside lower left")
    alt = "; ".join(
        f"{SCALES[scale].label}, {retriever_label(results, name)}: {curve[0]:.3f} at 1, {curve[-1]:.3f} at {len(curve)}"
        for scale, systems in curves.items()
        for name, curve in systems.items()
        if curve
    )
    return Picture("recall", f"{title}. {alt}.", png(canvas))


def compression_picture(results: Results) -> Picture | None:
    """F1 over the compression rate, over gold documents, so that only the form differs; ``None`` under two points."""
    points = {
        name: (figures["compression_rate"].value, figures["f1"])
        for name, figures in results.answers.items()
        if results.conditions[name].documents == "gold" and 0 < figures["compression_rate"].value < math.inf
    }
    if len(points) < 2:
        return None
    title = "Token F1 by compression, gold documents"
    labels = [drawn(condition_label(results, name)) for name in points]
    canvas = new_canvas(height=PANEL + _legend_height(labels))
    axes = canvas.subplots()
    rates: list[float] = []
    marks = []
    for name, (rate, figure) in points.items():
        info = results.conditions[name]
        look: dict[str, Any] = {"marker": FORMS[info.form], "fillstyle": FILLS[info.reader], "linestyle": "none"}
        # Points of nearly the same rate stand side by side, or their intervals would hide one another.
        place = rate * 1.1 ** sum(abs(math.log2(other / rate)) < 0.1 for other in rates)
        color = READERS[info.reader]["edgecolor"]
        drawing = axes.errorbar(place, figure.value, error(figure), color=color, markersize=8, capsize=3, **look)
        marks.append(drawing.lines[0])
        rates.append(rate)
    axes.set(title=title, xlabel="tokens of the documents for each position", ylim=(0, 1))
    _powers_of_two(axes, unit="x")
    axes.set_xlim(min(rates) / 1.3, max(*rates, 2.0) * 1.5)
    canvas.legend(marks, labels, loc="outside lower left")
    alt = "; ".join(
        f"{condition_label(results, name)} {show(figure)} at {rate:.1f}x" for name, (rate, figure) in points.items()
    )
    return Picture("compression", f"{title}: {alt}.", png(canvas))


def _line(axes: Axes, place: int, curve: list[float]) -> Line2D:
    """The curve of the retriever with this number; its markers are at 1, 2, 4, ... documents."""
    (line,) = axes.plot(
        range(1, len(curve) + 1),
        curve,
        color=COLORS[place % len(COLORS)],
        marker=MARKERS[place % len(MARKERS)],
        linestyle=LINES[place % len(LINES)],
        markevery=[2**power - 1 for power in range(len(curve).bit_length())],
    )
    return line


def _legend_height(labels: list[str]) -> float:
    return 0.2 + LINE * sum(label.count("\n") + 1 for label in labels)


def _powers_of_two(axes: Axes, *, unit: str) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}{unit}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
