"""The report folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from clara_lightning.corpus.manifest import write_json
from clara_lightning.evaluation.report.html import html
from clara_lightning.evaluation.report.markdown import markdown
from clara_lightning.evaluation.report.page import make_page
from clara_lightning.evaluation.report.pictures import NAMES, pictures
from clara_lightning.evaluation.results import Costs, Paraphrased, Prediction, RankedQuestion, Results, finite

RESULTS = "results.json"


def write_report(
    folder: Path,
    results: Results,
    costs: Costs,
    predictions: Sequence[Prediction],
    rankings: Sequence[RankedQuestion],
    paraphrases: Sequence[Paraphrased],
) -> None:
    """Write the report; ``results.json`` comes last, so a folder that has it is complete.

    Every file appears whole or not at all. What an earlier report left in the folder is replaced or removed.

    Args:
        folder: is made where it is missing.
        results: the figures.
        costs: what they took.
        predictions: every answer.
        rankings: every ranking.
        paraphrases: every paraphrase; without any there is no file of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = pictures(results)
    page = make_page(results, costs, predictions, pictures=drawn)
    files = {
        "predictions.jsonl": _lines(_record(each) for each in predictions),
        "rankings.jsonl": _lines(_record(each) for each in rankings),
        **({"paraphrases.jsonl": _lines(asdict(each) for each in paraphrases)} if paraphrases else {}),
        **{f"{name}.png": picture.png for name, picture in drawn.items()},
        "report.md": markdown(page).encode(),
        "report.html": html(page).encode(),
    }
    for name in (RESULTS, "paraphrases.jsonl", *(f"{name}.png" for name in NAMES)):
        if name not in files:
            (folder / name).unlink(missing_ok=True)
    for name, content in files.items():
        _write(folder / name, content)
    write_json(folder / "cost.json", finite(asdict(costs)))
    write_json(folder / RESULTS, results.to_json())


def _record(record: Prediction | RankedQuestion) -> dict[str, Any]:
    """A record with its documents as objects."""
    return asdict(record) | {"documents": [{"id": name, "score": score} for name, score in record.documents]}


def _lines(records: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(finite(record), ensure_ascii=False) + "\n" for record in records).encode()


def _write(path: Path, content: bytes) -> None:
    """Write a file by rename, so that a reader sees the old or the new one."""
    working = path.with_name(f".{path.name}.tmp")
    working.write_bytes(content)
    working.replace(path)
