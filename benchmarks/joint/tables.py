"""The study's results in docs/joint-training.md, tables and a picture: ``python -m benchmarks.joint.tables``."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D

from benchmarks.joint.__main__ import ANSWERS, RANKED, RESULTS, STARTS

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- joint -->", "<!-- /joint -->"
SYSTEMS = (("bm25", "BM25"), ("dense", "all-MiniLM-L6-v2"))
SCALES = (("candidates", "20 candidates"), ("corpus", "the whole corpus"))
CONDITIONS = (("retrieved_memory", "retrieved"), ("none", "none"), ("gold_memory", "gold memory"))
Result = dict[str, Any]


def read_results(folder: Path = RESULTS) -> list[Result]:
    """All results."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def retrieval_table(results: Sequence[Result], scale: str) -> list[str]:
    """Where gold documents stand, by start and recipe: first what is not trained, of each start the start itself."""
    figures = ("Recall@1", "Recall@5", "MRR")
    head = ["start", "recipe", "minutes", "seeds", "steps", *figures, *(f"with BM25: {name}" for name in figures[:2])]
    lines = [_cells(head), _cells(["---", "---", *["---:"] * (len(head) - 2)])]
    for system, label in SYSTEMS:
        measured = [found for each in results if (found := each["retrieval"].get(scale, {}).get(system))]
        if measured:
            lines.append(_cells(["", label, "", "", "", *_intervals(measured[0]), "", ""]))
    return lines + [
        _retrieval_line(runs, scale) for runs in grouped(each for each in results if scale in each["retrieval"])
    ]


def answers_table(results: Sequence[Result]) -> list[str]:
    """What is answered; F1, cover-EM and nats an answer token under each condition."""
    head = ["start", "recipe", "minutes", "seeds", "questions", "retrieved from"]
    head += [f"{label}: {name}" for _, label in CONDITIONS for name in ("F1", "cover-EM", "nats")]
    lines = [_cells(head), _cells(["---", "---", *["---:"] * 3, "---", *["---:"] * (len(head) - 6)])]
    for runs in grouped(each for each in results if each["answers"]):
        cells = [*_names(runs)[:4], str(runs[0]["answered"]), dict(SCALES)[runs[0]["answers_from"]]]
        for condition, _ in CONDITIONS:
            found = [{name: run["answers"][condition][name] for name in ANSWERS} for run in runs]
            single, *more = (f"{statistics.mean(each[name]['value'] for each in found):.3f}" for name in ANSWERS)
            f1 = found[0]["f1"]
            cells += [f"{single} [{f1['low']:.2f}, {f1['high']:.2f}]" if len(runs) == 1 else single, *more]
        lines.append(_cells(cells))
    return lines


def grouped(results: Iterable[Result]) -> Iterator[list[Result]]:
    """Runs that differ in their seed alone; by start, a start itself first, then the best at Recall@5."""
    groups: dict[tuple[str, str, float], list[Result]] = {}
    for each in results:
        groups.setdefault((each["start"], each["recipe"], each["minutes"]), []).append(each)

    def place(key: tuple[str, str, float]) -> tuple[int, bool, float]:
        values = [run["retrieval"]["candidates"]["clara"]["recall@5"]["value"] for run in groups[key]]
        return STARTS.index(key[0]), key[2] > 0, -statistics.mean(values)

    for key in sorted(groups, key=place):
        yield groups[key]


def _retrieval_line(runs: Sequence[Result], scale: str) -> str:
    ours, fused = (
        [run["retrieval"][scale][system] for run in runs if system in run["retrieval"].get(scale, {})]
        for system in ("clara", "hybrid")
    )
    cells = _intervals(ours[0]) if len(ours) == 1 else [_spread(ours, name) for name in RANKED]
    both = [f"{statistics.mean(each[name]['value'] for each in fused):.3f}" if fused else "" for name in RANKED[:2]]
    return _cells([*_names(runs), *cells, *both])


def _names(runs: Sequence[Result]) -> list[str]:
    """Start, recipe, minutes, number of seeds, steps."""
    first = runs[0]
    minutes = f"{first['minutes']:g}" if first["minutes"] else ""
    taken = [run["steps"] for run in runs if run.get("steps")]
    steps = " to ".join(map(str, sorted({min(taken), max(taken)}))) if taken else ""
    return [first["start"], first["recipe"].replace("+", " + "), minutes, str(len(runs)) if minutes else "", steps]


def _intervals(figures: dict[str, Any]) -> list[str]:
    """Of a single run: values with their interval over questions."""
    found = (figures[name] for name in RANKED)
    return [f"{each['value']:.3f} [{each['low']:.2f}, {each['high']:.2f}]" for each in found]


def _spread(figures: Sequence[dict[str, Any]], name: str) -> str:
    """Of several seeds: the mean, and the least and the most."""
    values = [each[name]["value"] for each in figures]
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def draw_curves(results: Sequence[Result], path: Path) -> None:
    """Recall@5 among 20 candidates over the minutes of training, from each start; a colour is a recipe's."""
    matplotlib.use("Agg")
    figure, panels = plt.subplots(1, len(STARTS), figsize=(11, 5), sharey=True)
    recipes = sorted({each["recipe"] for each in results if each["minutes"]})
    for axes, start in zip(panels, STARTS, strict=True):
        own = [each for each in results if each["start"] == start]
        for system, label in SYSTEMS:
            for found in [found for each in results if (found := each["retrieval"]["candidates"].get(system))][:1]:
                axes.axhline(_recall(found), color="grey", linestyle="--", linewidth=1)
                axes.text(0, _recall(found) + 0.005, label, fontsize=8, color="grey")
        for recipe in recipes:
            points: dict[float, list[float]] = {}
            for each in own:
                if each["recipe"] in (recipe, "start"):
                    points.setdefault(each["minutes"], []).append(_recall(each["retrieval"]["candidates"]["clara"]))
            if set(points) <= {0}:
                continue
            colour, minutes = f"C{recipes.index(recipe)}", sorted(points)
            axes.plot(minutes, [statistics.mean(points[minute]) for minute in minutes], color=colour)
            for minute in minutes:
                axes.plot([minute] * len(points[minute]), points[minute], ".", color=colour)
        axes.set(title=f"{start} start", xlabel="minutes of training")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("Recall@5 among 20 candidates, 488 questions")
    lines = [Line2D([], [], color=f"C{number}", marker=".") for number in range(len(recipes))]
    figure.legend(lines, recipes, loc="lower center", fontsize=8, ncols=4)
    figure.tight_layout(rect=(0, 0.12, 1, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _recall(figures: dict[str, Any]) -> float:
    return float(figures["recall@5"]["value"])


def page(results: Sequence[Result]) -> str:
    """All tables."""
    parts: list[str] = []
    for scale, label in SCALES:
        parts += [f"### Gold documents among {label}", "", *retrieval_table(results, scale), ""]
    return "\n".join([*parts, "### Answers", "", *answers_table(results), ""])


def main() -> None:
    """Write both."""
    results = read_results()
    path = DOCS / "joint-training.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    path.write_text(f"{before}{BEGIN}\n\n{page(results)}{END}{rest.partition(END)[2]}", encoding="utf-8")
    draw_curves(results, DOCS / "joint-training.png")


if __name__ == "__main__":
    main()
