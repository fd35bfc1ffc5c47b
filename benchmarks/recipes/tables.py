"""The study's results as tables and curves in docs/recipes.md: ``python -m benchmarks.recipes.tables``."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D

from benchmarks.recipes.__main__ import MEASURED_LENGTHS, RESULTS

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- recipes -->", "<!-- /recipes -->"
LENGTHS = sorted(MEASURED_LENGTHS, reverse=True)
Result = dict[str, Any]
Group = tuple[str, int, float]
HEAD = (
    "| recipe | seeds | steps | s a step | retained | gold memory: cover-EM | F1 | another's | none | text |",
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
)
SCREENED = (64, 32, 16, 8, 4)
SCREEN_HEAD = (
    "| recipe | seed | steps | s a step | 64 tokens | 32 | 16 | 8 | 4 | nats: none | text | 64 | 16 |",
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
)


def read_results(folder: Path = RESULTS) -> list[Result]:
    """All results."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def _recipe(result: Result) -> str:
    return " + ".join(result["overlays"]) or "published"


def grouped(results: Iterable[Result]) -> dict[Group, list[Result]]:
    """Runs that differ in their seed alone, by recipe, measured length and minutes; each with that length's figures."""
    groups: dict[Group, list[Result]] = defaultdict(list)
    for result in results:
        for length, measured in result["measured"].items():
            groups[_recipe(result), int(length), result["minutes"]].append(result | {"measured": measured})
    return dict(groups)


def tables(results: Sequence[Result]) -> str:
    """Markdown: a table for each budget and length, the best recipe first."""
    groups = grouped(results)
    parts: list[str] = []
    for minutes, length in sorted({(minutes, length) for _, length, minutes in groups}, reverse=True):
        rows = [(name, runs) for (name, *key), runs in groups.items() if key == [length, minutes]]
        rows.sort(key=lambda row: -_mean(row[1], "gold_memory", "information_retained"))
        rate = f"{256 / length:g}x: {length} memory tokens for 256"
        parts += [f"### {minutes:g} minutes, {rate}", "", *HEAD, *(_line(*row) for row in rows), ""]
    return "\n".join(parts)


def screens(results: Sequence[Result]) -> str:
    """Markdown: of the rows that wrote no answers what they retained at the end of training, the best at 16x first."""
    parts: list[str] = []
    screened = [result for result in results if not result["measured"]]
    for minutes in sorted({result["minutes"] for result in screened}):
        rows = [result for result in screened if result["minutes"] == minutes]
        rows.sort(key=lambda row: [-_retained(row, length) for length in LENGTHS[::-1]])
        parts += [f"### {minutes:g} minutes, screened on 128 rows", "", *SCREEN_HEAD, *map(_screen_line, rows), ""]
    return "\n".join(parts)


def _retained(result: Result, length: int) -> float:
    """At the end of training; minus infinity where the row has no such length."""
    return float(result["curve"][-1].get(_figure("information_retained", result, length), -math.inf))


def _figure(name: str, result: Result, length: int) -> str:
    """The name of a figure of the validation: of the row's own length it has no number."""
    return f"val/{name}" + ("" if length == result["length"] else f"_{length}")


def _screen_line(result: Result) -> str:
    last = result["curve"][-1]
    retained = [last.get(_figure("information_retained", result, length)) for length in SCREENED]
    nats = [last.get("val/ce_none"), last.get("val/ce_text")]
    nats += [last.get(_figure("ce_memory", result, length)) for length in LENGTHS]
    cells = [_recipe(result), str(result["seed"]), str(result["steps"]), f"{result['step_seconds']:.2f}"]
    cells += ["" if value is None else f"{value:.3f}" for value in retained]
    cells += ["" if value is None else f"{value:.2f}" for value in nats]
    return f"| {' | '.join(cells)} |"


def _line(name: str, runs: Sequence[Result]) -> str:
    cells = [
        name,
        str(len(runs)),
        f"{statistics.mean(run['steps'] for run in runs):.0f}",
        f"{statistics.mean(run['step_seconds'] for run in runs):.2f}",
        _spread(runs),
        *(f"{_mean(runs, 'gold_memory', figure):.3f}" for figure in ("cover_em", "f1")),
        *(f"{_mean(runs, condition, 'cover_em'):.3f}" for condition in ("another", "none", "gold_text")),
    ]
    return f"| {' | '.join(cells)} |"


def _spread(runs: Sequence[Result]) -> str:
    """Mean, and in brackets the least and the most over seeds, or of a single run its interval over questions."""
    values = [run["measured"]["gold_memory"]["information_retained"] for run in runs]
    mean = statistics.mean(value["value"] for value in values)
    if len(values) == 1:
        return f"{mean:.3f} [{values[0]['low']:.2f}, {values[0]['high']:.2f}]"
    return (
        f"{mean:.3f} ({min(value['value'] for value in values):.3f} to {max(value['value'] for value in values):.3f})"
    )


def _mean(runs: Sequence[Result], condition: str, figure: str) -> float:
    return float(statistics.mean(run["measured"][condition][figure]["value"] for run in runs))


def draw_curves(results: Sequence[Result], path: Path) -> None:
    """Information retained over the minutes of training, at each of the study's lengths; a colour is a recipe's."""
    matplotlib.use("Agg")
    figure, panels = plt.subplots(1, len(LENGTHS), figsize=(11, 5), sharey=True)
    drawn = [each for each in results if each["measured"]]
    recipes = sorted({_recipe(each) for each in drawn})
    for axes, length in zip(panels, LENGTHS, strict=True):
        for result in drawn:
            own = _figure("information_retained", result, length)
            points = [point for point in result["curve"] if own in point]
            minutes = [(point["step"] + 1) * result["step_seconds"] / 60 for point in points]
            colour = f"C{recipes.index(_recipe(result))}"
            axes.plot(minutes, [point[own] for point in points], marker=".", color=colour)
        axes.set(title=f"{256 / length:g}x", xlabel="minutes of training", xlim=(0, None), ylim=(0, 1))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("information retained, 128 held-out questions")
    lines = [Line2D([], [], color=f"C{number}", marker=".") for number in range(len(recipes))]
    below = {_recipe(each) for each in drawn if _ends_below_nothing(each)}
    names = [recipe + " (below 0: worse than no memory)" * (recipe in below) for recipe in recipes]
    figure.legend(lines, names, loc="lower center", fontsize=8, ncols=2)
    figure.tight_layout(rect=(0, 0.04 + 0.02 * len(recipes), 1, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _ends_below_nothing(result: Result) -> bool:
    return max(_retained(result, length) for length in LENGTHS) < 0


def main() -> None:
    """Write both."""
    results = read_results()
    page = DOCS / "recipes.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    found = "\n".join([BEGIN, "", tables(results), *filter(None, [screens(results)]), END])
    page.write_text(f"{before}{found}{rest.partition(END)[2]}", encoding="utf-8")
    draw_curves(results, DOCS / "recipes-curves.png")


if __name__ == "__main__":
    main()
