"""The end of the demo: five questions, the pictures, and a table that a stranger understands."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from clara_lightning.corpus.manifest import write_json
from clara_lightning.data.readers import read_questions
from clara_lightning.data.records import Question
from clara_lightning.demo.run import BEFORE, SHORT, WARM, DemoFolders
from clara_lightning.evaluation.report.tables import plain, screen_table
from clara_lightning.evaluation.results import Figures, Results
from clara_lightning.inference.pipeline import Answer, ClaraPipeline
from clara_lightning.objectives.answers import cover_exact_match

SHOWN = 5
SEARCHES = {
    BEFORE: "before it was trained",
    WARM: "after its warm-up",
    "clara": "after joint training",
    "bm25": "by BM25, word overlap",
}


@dataclass(frozen=True)
class DemoFigures:
    """What the table and the pictures show.

    Attributes:
        results: of the evaluation.
        short: of that of the shorter memory.
        seconds: of each stage, by folder.
    """

    results: Results
    short: Results
    seconds: dict[str, float]

    @property
    def retrieval(self) -> dict[str, Figures]:
        """Figures over the whole store: before and after each training of the search, and by BM25."""
        found = self.results.retrieval["corpus"]
        return {label: found[name] for name, label in SEARCHES.items()}


def show_summary(folders: DemoFolders, *, seconds: dict[str, float], total: float, console: Console) -> None:
    """Answer questions on the screen, draw the pictures, print the table."""
    results, short = (_results(report) for report in (folders.report, folders.short_report))
    lines = (folders.report / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    asked = {json.loads(line)["id"] for line in lines}
    questions = [question for question in read_questions(folders.data / "qa_val.jsonl") if question.id in asked]
    figures = DemoFigures(results, short, seconds)
    console.rule("Five questions about places that were never trained on", align="left")
    pipeline = ClaraPipeline.open(adapters=folders.joint / "adapters", store=folders.store)
    shown = _one_of_each_kind(questions)
    for question, answer in zip(shown, pipeline.answer([q.question for q in shown], max_new_tokens=12), strict=True):
        _show(question, answer, console)
    _plot(folders, figures)
    summary = {"seconds": seconds, "results": results.to_json(), "results_short": short.to_json()}
    write_json(folders.out / "summary.json", summary)
    console.rule("What was learnt", align="left")
    _print_tables(folders, figures, total=total, console=console)


def _results(report: Path) -> Results:
    return Results.from_json(json.loads((report / "results.json").read_text(encoding="utf-8")))


def _one_of_each_kind(questions: Sequence[Question]) -> list[Question]:
    """Five questions: three simple ones, one over two passages, one comparison, where there are such."""
    kinds = ["simple", "bridge", "simple", "comparison", "simple"]
    left = list(questions)
    chosen = []
    for kind in kinds[: len(left)]:
        best = next((q for q in left if q.id.startswith(kind)), left[0])
        left.remove(best)
        chosen.append(best)
    return chosen


def _show(question: Question, answer: Answer, console: Console) -> None:
    right = cover_exact_match(answer.text, references=question.answers) > 0
    console.print(f"[bold]{plain(question.question)}[/bold]")
    mark = "[green]right[/green]" if right else "[red]wrong[/red]"
    console.print(f"  answer from memory: {plain(answer.text) or '(none)'}  ({mark})")
    console.print(f"  right answer:       {plain(' / '.join(question.answers))}")
    for hit in answer.hits:
        gold = "gold " if hit.document.id in question.gold_ids else "     "
        console.print(f"  [dim]{gold}{hit.score:.2f}  {plain(hit.document.content.replace(chr(10), ': '))}[/dim]")
    console.print()


def _print_tables(folders: DemoFolders, figures: DemoFigures, *, total: float, console: Console) -> None:
    results = figures.results
    rows = [["Given to the reader", "right answer in its words", "exact match", "nats per answer token"]]
    for name, values in results.answers.items():
        shares = (_percent(values[figure].value) for figure in ("cover_em", "em"))
        rows.append([results.conditions[name].label, *shares, f"{values['cross_entropy'].value:.2f}"])
    console.print(screen_table(rows, title=f"Answers to {results.questions} questions about held-out places"))
    long, short = (
        f"{_percent(each.value)} ({_percent(each.low)} to {_percent(each.high)})"
        for each in (found.answers["gold_memory"]["information_retained"] for found in (results, figures.short))
    )
    console.print(
        f"Information retained: {long} of what a passage's text tells about the answer is still in its memory; in the "
        f"memory of {SHORT} tokens {short} (0 %: as if there were no document, 100 %: as good as the text).\n"
    )
    rows = [["The right passage is found", "first", "among the first five"]]
    for label, found in figures.retrieval.items():
        rows.append([label, *(_percent(found[f"recall@{k}"].value) for k in (1, 5))])
    console.print(screen_table(rows, title=f"Search over {results.documents} passages (Recall@1 and @5)"))
    times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in figures.seconds.items())
    console.print(f"Time: {times}; this run {total:.0f} s.")
    console.print(f"Run folder: {folders.out} (curves.png, retrieval.png, report/report.html)", soft_wrap=True)
    ask = f"clara ask --store {folders.store} --adapters {folders.joint / 'adapters'} --explain"
    console.print(f'Ask your own: {ask} "What is the capital of Kenya?"', soft_wrap=True, markup=False)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if math.isfinite(share) else "not measurable"


def _plot(folders: DemoFolders, figures: DemoFigures) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    axes = figure.subplots(1, 3)
    for place, name in ((axes[0], "compressor"), (axes[2], "joint")):
        for key, style in (("train/loss", "."), ("val/loss", "o-")):
            steps, values = _curve(folders.out / name / "metrics.csv", key)
            place.plot(steps, values, style, label="training" if key == "train/loss" else "held-out places")
        place.set(xlabel="step", ylabel="nats per answer token")
        place.legend()
    axes[0].set_title("Stage 1: loss")
    axes[2].set_title("Stage 3: loss")
    axes[1].plot(*_curve(folders.compressor / "metrics.csv", "val/information_retained"), "o-", color="#3b6ea5")
    axes[1].set(title="Stage 1: information retained", xlabel="step", ylim=(min(0.0, axes[1].get_ylim()[0]), 1.0))
    figure.savefig(folders.out / "curves.png", dpi=130)
    _plot_retrieval(folders.out / "retrieval.png", figures)


def _plot_retrieval(path: Path, figures: DemoFigures) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for number, (label, found) in enumerate(figures.retrieval.items()):
        values = [found[f"recall@{k}"].value for k in (1, 5)]
        bars = axes.bar([place + 0.21 * number for place in (0, 1)], values, width=0.2, label=label)
        axes.bar_label(bars, fmt="%.2f")
    axes.set_xticks([0.315, 1.315], ["Recall@1", "Recall@5"])
    axes.set(ylim=(0, 1.12), title=f"{figures.results.documents} passages, held-out questions")
    axes.legend(loc="upper left", fontsize="small")
    figure.savefig(path, dpi=130)


def _curve(path: Path, key: str) -> tuple[list[int], list[float]]:
    """Steps and values of one metric from ``metrics.csv``."""
    with path.open(encoding="utf-8", newline="") as file:
        points = [(int(row["step"]), float(row[key])) for row in csv.DictReader(file) if row.get(key)]
    return [step for step, _ in points], [value for _, value in points]
