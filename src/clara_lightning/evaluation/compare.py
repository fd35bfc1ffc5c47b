"""``clara evaluate compare`` and ``spread``: reports beside each other."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from clara_lightning.errors import ClaraError
from clara_lightning.evaluation.answering import prediction_of
from clara_lightning.evaluation.figures import (
    BASES,
    Samples,
    answer_samples,
    figure,
    ranking_samples,
)
from clara_lightning.evaluation.ranking import DEPTH
from clara_lightning.evaluation.results import Figure, Prediction, RankedQuestion, Results
from clara_lightning.evaluation.settings import RESULTS
from clara_lightning.objectives.bootstrap import Bootstrap, Difference

SHOWN = ("em", "f1", "cover_em", "cross_entropy", "information_retained", "words")


@dataclass(frozen=True)
class Report:
    """A report folder, read back.

    Attributes:
        path: the folder.
        results: its figures.
        predictions: by condition, then by question.
        rankings: by ``SCALE/RETRIEVER``, then by question.
    """

    path: Path
    results: Results
    predictions: Mapping[str, Mapping[str, Prediction]]
    rankings: Mapping[str, Mapping[str, RankedQuestion]]

    @classmethod
    def read(cls, path: str | Path) -> Report:
        """Read a folder that ``clara evaluate`` wrote.

        Raises:
            ClaraError: it is none, or one of another version.
        """
        folder = Path(path)
        if not (folder / RESULTS).is_file():
            raise ClaraError(f"{folder} is no report of clara evaluate (it has no {RESULTS})")
        try:
            results = Results.from_json(json.loads((folder / RESULTS).read_text(encoding="utf-8")))
            predictions: dict[str, dict[str, Prediction]] = {}
            for row in _lines(folder / "predictions.jsonl"):
                prediction = prediction_of(row)
                predictions.setdefault(prediction.condition, {})[prediction.id] = prediction
            rankings: dict[str, dict[str, RankedQuestion]] = {}
            for row in _lines(folder / "rankings.jsonl"):
                ranked = _ranked(row)
                rankings.setdefault(f"{ranked.scale}/{ranked.retriever}", {})[ranked.id] = ranked
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ClaraError(f"{folder}: not a report that this version reads: {error}") from error
        return cls(folder, results, predictions, rankings)

    @property
    def systems(self) -> list[str]:
        """Names of the conditions and rankings."""
        return [*self.predictions, *self.rankings]


@dataclass(frozen=True)
class Compared:
    """One figure of two systems over the questions that both have.

    Attributes:
        first, second: names of the systems.
        figure: name of the figure.
        questions: how many.
        values: of both; with ``beyond`` how far each is from that condition.
        difference: second - first, question by question.
    """

    first: str
    second: str
    figure: str
    questions: int
    values: tuple[Figure, Figure]
    difference: Difference

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        first, second = (value.value for value in self.values)
        return {
            "systems": [self.first, self.second],
            "figure": self.figure,
            "questions": self.questions,
            "values": [first, second],
            **self.difference._asdict(),
        }


def compare(first: str, second: str, *, beyond: str | None = None, seed: int = 0) -> list[Compared]:
    """Paired bootstrap between two runs, or between two systems.

    With ``beyond`` a condition's figures are its distance from that one, and the difference is a difference of
    differences: what a training added to answers from memory, less what it added to answers without (``none``).

    Args:
        first: ``REPORT`` or ``REPORT:SYSTEM``: a condition, or ``SCALE/RETRIEVER``.
        second: the same; both name a system, or neither does, and then every system that both reports have is compared.
        beyond: a condition that both reports have.
        seed: of the bootstrap.

    Raises:
        ClaraError: there is no such report, system or condition, or the two have no question in common.
    """
    (ours, name), (theirs, other) = _side(first), _side(second)
    if (name is None) != (other is None):
        raise ClaraError("compare: name a system of both reports (REPORT:SYSTEM), or of neither")
    if name is None or other is None:
        pairs = [(each, each) for each in ours.systems if each in theirs.systems]
        if not pairs:
            raise ClaraError(f"compare: {ours.path} and {theirs.path} have no system in common")
    else:
        pairs = [(name, other)]
    if beyond is not None:
        pairs = _answered_beyond(ours, theirs, pairs, beyond=beyond)
    return [row for pair in pairs for row in _compare_systems(ours, theirs, *pair, beyond=beyond, seed=seed)]


def _answered_beyond(
    ours: Report, theirs: Report, pairs: Sequence[tuple[str, str]], *, beyond: str
) -> list[tuple[str, str]]:
    """The pairs of other conditions."""
    for report in (ours, theirs):
        if beyond not in report.predictions:
            raise ClaraError(
                f"--beyond: {report.path} has no condition {beyond!r}, only {', '.join(report.predictions)}"
            )
    known = {*ours.predictions, *theirs.predictions} - {beyond}
    found = [pair for pair in pairs if known.issuperset(pair)]
    if not found:
        raise ClaraError(f"--beyond {beyond}: no other condition is compared")
    return found


def _side(given: str) -> tuple[Report, str | None]:
    """A report and the system that is named behind it."""
    path, _, name = given.rpartition(":")
    if not path or Path(given).is_dir():
        return Report.read(given), None
    report = Report.read(path)
    if name not in report.systems:
        raise ClaraError(f"compare: {path} has no system {name!r}, only {', '.join(report.systems)}")
    return report, name


def _compare_systems(
    ours: Report, theirs: Report, name: str, other: str, *, beyond: str | None, seed: int
) -> Iterator[Compared]:
    ranks = name in ours.rankings
    if ranks != (other in theirs.rankings):
        raise ClaraError(f"compare: {name} and {other}: answers and rankings have no figure in common")
    rows: tuple[Mapping[str, Any], Mapping[str, Any]] = (
        (ours.rankings[name], theirs.rankings[other]) if ranks else (ours.predictions[name], theirs.predictions[other])
    )
    ids = [question for question in rows[0] if question in rows[1]]
    if not ids:
        raise ClaraError(f"compare: {name} and {other}: the two reports have no question in common")
    bootstrap = Bootstrap(len(ids), seed=seed)
    sides = [
        _ranking(report, system, ids, bootstrap) if ranks else _answering(report, system, ids, bootstrap, beyond=beyond)
        for report, system in ((ours, name), (theirs, other))
    ]
    for figure_name in sides[0]:
        if figure_name in sides[1]:
            first, second = sides[0][figure_name], sides[1][figure_name]
            difference = Bootstrap.difference(second, first)
            if math.isfinite(difference.value):  # information retained is not measured of every condition
                yield Compared(name, other, figure_name, len(ids), (figure(first), figure(second)), difference)


def _answering(report: Report, name: str, ids: Sequence[str], bootstrap: Bootstrap, *, beyond: str | None) -> Samples:
    readers = {each: info.reader for each, info in report.results.conditions.items()}
    wanted = [each for each in report.predictions if each in (name, beyond, *BASES[readers[name]])]
    predictions = {each: [report.predictions[each][question] for question in ids] for each in wanted}
    samples = answer_samples(predictions, bootstrap, readers=readers)
    own = {figure_name: samples[name][figure_name] for figure_name in SHOWN}
    return own if beyond is None else {each: own[each] - samples[beyond][each] for each in SHOWN}


def _ranking(report: Report, name: str, ids: Sequence[str], bootstrap: Bootstrap) -> Samples:
    ranked = [report.rankings[name][question] for question in ids]
    longest = min(DEPTH, max(row.ranked for row in ranked))
    return ranking_samples(ranked, bootstrap, cutoffs=[k for k in (1, 5, 10, 20) if k <= longest])


@dataclass(frozen=True)
class Spread:
    """One figure over several reports, of different seeds for example.

    Attributes:
        system: condition, or ``SCALE/RETRIEVER``.
        figure: name of the figure.
        values: of each report.
    """

    system: str
    figure: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the reports."""
        return fmean(self.values)

    @property
    def deviation(self) -> float:
        """Standard deviation over the reports, with n - 1 below the line."""
        return stdev(self.values)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "system": self.system,
            "figure": self.figure,
            "values": list(self.values),
            "mean": self.mean,
            "standard_deviation": self.deviation,
        }


def spread(paths: Sequence[str]) -> list[Spread]:
    """Mean and standard deviation of every figure that all reports have.

    Args:
        paths: at least two report folders.

    Raises:
        ClaraError: there are fewer, or one is no report.
    """
    if len(paths) < 2:
        raise ClaraError(f"spread: at least two reports are needed, got {len(paths)}")
    tables = [_all_figures(Report.read(path).results) for path in paths]
    return [
        Spread(*key, tuple(table[key].value for table in tables))
        for key in tables[0]
        if all(key in table and math.isfinite(table[key].value) for table in tables)
    ]


def _all_figures(results: Results) -> dict[tuple[str, str], Figure]:
    systems = dict(results.answers)
    for scale, retrievers in results.retrieval.items():
        systems |= {f"{scale}/{name}": figures for name, figures in retrievers.items()}
    return {(system, name): value for system, figures in systems.items() for name, value in figures.items()}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _ranked(row: dict[str, Any]) -> RankedQuestion:
    documents = tuple((each["id"], each["score"]) for each in row["documents"])
    lists = {"documents": documents, "gold": tuple(row["gold"]), "gold_ranks": tuple(row["gold_ranks"])}
    return RankedQuestion(**row | lists)
