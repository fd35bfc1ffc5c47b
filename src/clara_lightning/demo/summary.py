"""The end of the demo: five questions, the pictures, and a table that a stranger understands."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from clara_lightning.backbone.folder import AdapterFolder, build_from_folder, reasoner_of
from clara_lightning.corpus.manifest import write_json
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.readers import read_questions
from clara_lightning.data.records import Question
from clara_lightning.evaluation.conditions import LABELS, StoreLibrary
from clara_lightning.evaluation.report import plain, screen_table
from clara_lightning.evaluation.retrieval import rank_store, retrieval_figures
from clara_lightning.inference.pipeline import Answer, ClaraPipeline
from clara_lightning.objectives.answers import cover_exact_match

if TYPE_CHECKING:
    from clara_lightning.demo.run import DemoFolders

SHOWN = 5


@dataclass(frozen=True)
class DemoFigures:
    """What the table and the pictures show.

    Attributes:
        results: ``results.json`` of the evaluation.
        before: Recall@k of the stage-1 adapters over the same store and questions.
        seconds: of each stage, by folder.
    """

    results: dict[str, Any]
    before: dict[int, float]
    seconds: dict[str, float]


def show_summary(folders: DemoFolders, *, seconds: dict[str, float], total: float, console: Console) -> None:
    """Answer questions on the screen, draw the pictures, print the table."""
    results = json.loads((folders.report / "results.json").read_text(encoding="utf-8"))
    questions = list(read_questions(folders.data / "qa_val.jsonl"))[: results["questions"]]
    before = _recall_before(folders, questions)
    figures = DemoFigures(results, before, seconds)
    console.rule("Five questions about places that were never trained on", align="left")
    pipeline = ClaraPipeline.open(adapters=folders.joint / "adapters", store=folders.store)
    shown = _one_of_each_kind(questions)
    for question, answer in zip(shown, pipeline.answer([q.question for q in shown], max_new_tokens=12), strict=True):
        _show(question, answer, console)
    _plot(folders, figures)
    write_json(folders.out / "summary.json", {"before": before, "seconds": seconds, "results": results})
    console.rule("What was learnt", align="left")
    _print_tables(folders, figures, total=total, console=console)


def _recall_before(folders: DemoFolders, questions: Sequence[Question]) -> dict[int, float]:
    """Recall before joint training: the same store, searched by the compressor that the query reasoner starts from."""
    folder = AdapterFolder.open(folders.compressor / "adapters")
    store = LatentStore.open(folders.store)
    ranking = rank_store(
        build_from_folder(folder),
        store,
        questions,
        reasoner=reasoner_of(folder),
        retrieval=folder.retrieval,
        depth=5,
        batch_size=16,
    )
    library = StoreLibrary(store, questions, source=str(folders.data / "qa_val.jsonl"))
    return retrieval_figures(ranking, library, cutoffs=(1, 5)).recall


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
    answers = results["answers"]
    rows = [["The generator was given", "right answer in its words", "exact match", "nats per answer token"]]
    for name, values in answers.items():
        rows.append(
            [LABELS[name], _percent(values["cover_em"]), _percent(values["em"]), f"{values['cross_entropy']:.2f}"]
        )
    console.print(screen_table(rows, title=f"Answers to {results['questions']} questions about held-out places"))
    console.print(
        f"Information retained: {_percent(results['information_retained'])} of what a passage's text tells about the "
        "answer is still in its memory (0 %: as if there were no document, 100 %: as good as the text).\n"
    )
    rows = [["The right passage is found", "first", "among the first five"]]
    rows.append(["before joint training", *[_percent(figures.before[k]) for k in (1, 5)]])
    for name, label in (("clara", "after joint training"), ("bm25", "by BM25, word overlap")):
        recall = results["retrieval"][name]["recall"]
        rows.append([label, _percent(recall["1"]), _percent(recall["5"])])
    console.print(screen_table(rows, title=f"Search over {results['documents']} passages (Recall@1 and @5)"))
    times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in figures.seconds.items())
    console.print(f"Time: {times}; this run {total:.0f} s.")
    console.print(f"Run folder: {folders.out} (curves.png, retrieval.png, report/report.md)", soft_wrap=True)
    ask = f"clara ask --store {folders.store} --adapters {folders.joint / 'adapters'} --explain"
    console.print(f'Ask your own: {ask} "What is the capital of Kenya?"', soft_wrap=True, markup=False)


def _percent(share: float | None) -> str:
    return "not measurable" if share is None else f"{100 * share:.0f} %"


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

    retrieval = figures.results["retrieval"]
    systems = {
        "before joint training": [figures.before[k] for k in (1, 5)],
        "after joint training": [retrieval["clara"]["recall"][k] for k in ("1", "5")],
        "BM25": [retrieval["bm25"]["recall"][k] for k in ("1", "5")],
    }
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for number, (label, values) in enumerate(systems.items()):
        bars = axes.bar([place + 0.27 * number for place in (0, 1)], values, width=0.25, label=label)
        axes.bar_label(bars, fmt="%.2f")
    axes.set_xticks([0.27, 1.27], ["Recall@1", "Recall@5"])
    axes.set(ylim=(0, 1.12), title=f"{figures.results['documents']} passages, held-out questions")
    axes.legend(loc="upper left", fontsize="small")
    figure.savefig(path, dpi=130)


def _curve(path: Path, key: str) -> tuple[list[int], list[float]]:
    """Steps and values of one metric from ``metrics.csv``."""
    with path.open(encoding="utf-8", newline="") as file:
        points = [(int(row["step"]), float(row[key])) for row in csv.DictReader(file) if row.get(key)]
    return [step for step, _ in points], [value for _, value in points]
