"""The report folder: ``results.json``, ``predictions.jsonl``, ``report.md`` and a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from unicodedata import category

from rich.markup import escape
from rich.table import Table

from clara_lightning.corpus.manifest import write_json
from clara_lightning.evaluation.conditions import LABELS
from clara_lightning.evaluation.results import Prediction, Results

SYSTEMS = {"clara": "CLaRa", "bm25": "BM25"}


def write_report(folder: Path, results: Results, predictions: Sequence[Prediction]) -> None:
    """Write the report; ``results.json`` comes last, so a folder that has it is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(asdict(prediction), ensure_ascii=False) for prediction in predictions]
    (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown(results), encoding="utf-8")
    plot_conditions(folder / "conditions.png", results)
    write_json(folder / "results.json", results.to_json())


def markdown(results: Results) -> str:
    """The report as Markdown."""
    answers = answer_rows(results)
    retrieval = retrieval_rows(results)
    parts = [
        "# Evaluation",
        f"{results.questions} questions, stage {results.stage}, compressor `{results.fingerprint[:16]}`, "
        + (f"store of {results.documents} documents" if results.documents else "each question's own passages")
        + f", top-k {results.settings['top_k']}, {results.documents_cut} gold documents cut, {results.seconds} s.",
        "## Answers",
        _table(answers),
        f"Information retained: **{results.information_retained:.3f}** "
        "(0: the memory says nothing, 1: as much as the text; cross-entropies of no memory, gold memory, gold text).",
    ]
    if len(retrieval) > 1:
        parts += ["## Retrieval", _table(retrieval)]
    return "\n\n".join(parts) + "\n"


def answer_rows(results: Results) -> list[list[str]]:
    """Table of the conditions, the header first."""
    rows = [["background", "EM", "F1", "cover-EM", "cross-entropy"]]
    for condition, figures in results.answers.items():
        shares = [f"{value:.3f}" for value in (figures.em, figures.f1, figures.cover_em, figures.cross_entropy)]
        rows.append([LABELS[condition], *shares])
    return rows


def retrieval_rows(results: Results) -> list[list[str]]:
    """Table of the retrieval systems, the header first."""
    if not results.retrieval:
        return []
    cutoffs = list(next(iter(results.retrieval.values())).recall)
    rows = [["retrieval", *[f"Recall@{k}" for k in cutoffs], "MRR"]]
    for name, figures in results.retrieval.items():
        rows.append([SYSTEMS[name], *[f"{figures.recall[k]:.3f}" for k in cutoffs], f"{figures.mrr:.3f}"])
    return rows


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def screen_table(rows: Sequence[Sequence[str]], *, title: str) -> Table:
    """A table of text cells, the first row as its header; the first column to the left, figures to the right."""
    head, *body = rows
    result = Table(title=title, title_justify="left")
    for number, name in enumerate(head):
        result.add_column(name, justify="left" if number == 0 else "right")
    for row in body:
        result.add_row(*[plain(cell) for cell in row])
    return result


def plain(text: str) -> str:
    """Text from outside, without markup and without control characters, which could steer the terminal."""
    return escape("".join("\N{REPLACEMENT CHARACTER}" if category(c) == "Cc" and c not in "\n\t" else c for c in text))


def plot_conditions(path: Path, results: Results) -> None:
    """Bars of F1 and cross-entropy under each condition."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    names = [LABELS[condition] for condition in results.answers]
    left.barh(names, [figures.f1 for figures in results.answers.values()], color="#3b6ea5")
    left.set(xlabel="token F1", xlim=(0, 1), title="Answers")
    right.barh(names, [figures.cross_entropy for figures in results.answers.values()], color="#a55a3b")
    right.set(xlabel="nats per answer token (lower is better)", title="Cross-entropy of the right answer")
    right.set_yticks([])
    for axes in (left, right):
        axes.invert_yaxis()
    figure.savefig(path, dpi=150)
