"""``clara evaluate compare`` and ``spread`` over reports made by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.errors import ClaraError
from clara_lightning.evaluation.compare import compare, spread
from clara_lightning.evaluation.conditions import possible_conditions
from clara_lightning.evaluation.figures import answer_samples, figures_of
from clara_lightning.evaluation.results import Prediction, Results
from clara_lightning.objectives.bootstrap import Bootstrap

CONDITIONS = ("none", "gold_memory", "gold_text")


def prediction(number: int, condition: str, f1: float) -> Prediction:
    return Prediction(
        id=f"q{number}",
        condition=condition,
        question="?",
        answers=("yes",),
        prediction="yes",
        documents=(("d", None),),
        gold=("d",),
        em=float(f1 == 1.0),
        f1=f1,
        cover_em=float(f1 == 1.0),
        words=1,
        nll={"none": 4.0, "gold_memory": 2.0 - f1, "gold_text": 0.5}[condition],
        answer_tokens=2,
        input_positions=9,
        background_positions=4,
        document_tokens=16,
    )


def report(folder: Path, scores: Sequence[float], *, ranks: Sequence[int | None] = (), first: int = 0) -> Path:
    """A report in which question ``first + n`` has F1 ``scores[n]`` from gold memory, and 0 without memory."""
    folder.mkdir()
    numbered = [(first + place, score) for place, score in enumerate(scores)]
    rows = {
        name: [prediction(number, name, score if name == "gold_memory" else 0.0) for number, score in numbered]
        for name in CONDITIONS
    }
    possible = possible_conditions({}, whole_corpus=False)
    conditions = {name: possible[name] for name in CONDITIONS}
    readers = {name: info.reader for name, info in conditions.items()}
    samples = answer_samples(rows, Bootstrap(len(scores)), readers=readers)
    results = Results(
        settings={},
        adapters={},
        questions=len(scores),
        documents=1,
        corpus="store",
        conditions=conditions,
        answers={name: figures_of(each) for name, each in samples.items()},
        retrieval={},
        recall_curves={},
        losses={},
    )
    lines = [plain(each) for name in CONDITIONS for each in rows[name]]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    ranked = [ranking(first + place, name, rank) for name in ("clara", "bm25") for place, rank in enumerate(ranks)]
    (folder / "rankings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in ranked), encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(results.to_json()), encoding="utf-8")
    return folder


def plain(row: Prediction) -> dict[str, Any]:
    return {**vars(row), "documents": [{"id": name, "score": score} for name, score in row.documents]}


def ranking(number: int, retriever: str, rank: int | None) -> dict[str, Any]:
    """BM25 has the gold document one place later."""
    place = rank + 1 if rank is not None and retriever == "bm25" else rank
    return {
        "id": f"q{number}",
        "scale": "corpus",
        "retriever": retriever,
        "documents": [{"id": "d", "score": 1.0}],
        "gold": ["d"],
        "gold_ranks": [place],
        "ranked": 30,
    }


BETTER, WORSE = [1.0, 1.0, 0.5, 1.0, 0.0, 1.0], [0.5, 1.0, 0.0, 0.5, 0.0, 0.5]


def test_runs_are_compared_in_every_system_that_both_have(tmp_path: Path) -> None:
    ours, theirs = report(tmp_path / "a", WORSE), report(tmp_path / "b", BETTER)

    rows = {(row.first, row.figure): row for row in compare(str(ours), str(theirs))}

    assert {system for system, _ in rows} == set(CONDITIONS)
    f1 = rows["gold_memory", "f1"]
    assert f1.questions == 6
    assert (f1.values[0].value, f1.values[1].value) == pytest.approx((sum(WORSE) / 6, sum(BETTER) / 6))
    assert f1.difference.value == pytest.approx((sum(BETTER) - sum(WORSE)) / 6)
    assert f1.difference.low > 0 and f1.difference.p_value < 0.05
    assert rows["none", "f1"].difference == pytest.approx((0.0, 0.0, 0.0, 1.0))


def test_information_retained_is_compared_over_the_same_questions(tmp_path: Path) -> None:
    ours, theirs = report(tmp_path / "a", WORSE), report(tmp_path / "b", BETTER)

    rows = {(row.first, row.figure): row for row in compare(str(ours), str(theirs))}

    retained = rows["gold_memory", "information_retained"].values[1].value
    assert retained == pytest.approx((4.0 - (2.0 - sum(BETTER) / 6)) / (4.0 - 0.5))


def test_two_systems_of_one_report_are_compared(tmp_path: Path) -> None:
    ours = report(tmp_path / "a", BETTER)

    rows = {row.figure: row for row in compare(f"{ours}:none", f"{ours}:gold_memory")}

    assert rows["f1"].difference.value == pytest.approx(sum(BETTER) / 6)
    assert rows["cross_entropy"].difference.value < 0


def test_a_change_beyond_that_of_another_condition_is_a_difference_of_differences(tmp_path: Path) -> None:
    ours, theirs = report(tmp_path / "a", WORSE), report(tmp_path / "b", BETTER, ranks=[1, 2, 1, 4, None, 1])

    plain_rows = {(row.first, row.figure): row for row in compare(str(ours), str(theirs))}
    rows = {(row.first, row.figure): row for row in compare(str(ours), str(theirs), beyond="gold_memory")}

    assert {system for system, _ in rows} == {"none", "gold_text"}
    margin, gained = rows["none", "f1"], plain_rows["gold_memory", "f1"]
    assert [each.value for each in margin.values] == pytest.approx([-sum(WORSE) / 6, -sum(BETTER) / 6])
    low, high = gained.difference.low, gained.difference.high
    assert margin.difference[:3] == pytest.approx((-gained.difference.value, -high, -low))
    named = compare(f"{ours}:gold_memory", f"{theirs}:gold_memory", beyond="none")
    assert [row.difference for row in named if row.figure == "f1"] == [gained.difference]


def test_rankings_are_compared_question_by_question(tmp_path: Path) -> None:
    ours = report(tmp_path / "a", BETTER, ranks=[1, 2, 1, 4, None, 1])

    rows = {row.figure: row for row in compare(f"{ours}:corpus/bm25", f"{ours}:corpus/clara")}

    assert rows["recall@1"].difference.value == pytest.approx(3 / 6)
    assert rows["mrr"].difference.value == pytest.approx((1 / 2 + 1 / 6 + 1 / 2 + 1 / 20 + 0 + 1 / 2) / 6)


def test_only_questions_that_both_have_count(tmp_path: Path) -> None:
    ours, theirs = report(tmp_path / "a", BETTER), report(tmp_path / "b", BETTER, first=4)

    rows = compare(str(ours), str(theirs))

    assert {row.questions for row in rows} == {2}


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("a", "nowhere", "nowhere is no report of clara evaluate"),
        ("a", "far", "the two reports have no question in common"),
        ("a:gold", "a:none", "has no system 'gold', only none, gold_memory, gold_text"),
        ("a:none", "a", "name a system of both reports"),
        ("a:none", "a:corpus/clara", "answers and rankings have no figure in common"),
    ],
)
def test_what_cannot_be_compared_is_said(tmp_path: Path, first: str, second: str, message: str) -> None:
    report(tmp_path / "a", BETTER, ranks=[1] * 6)
    report(tmp_path / "far", BETTER, first=50)

    with pytest.raises(ClaraError, match=message):
        compare(f"{tmp_path}/{first}", f"{tmp_path}/{second}")


@pytest.mark.parametrize(
    ("systems", "beyond", "message"),
    [
        ("", "closed_book", "--beyond: .*a has no condition 'closed_book', only none, gold_memory, gold_text"),
        (":corpus/clara", "none", "--beyond none: no other condition is compared"),
        (":none", "none", "--beyond none: no other condition is compared"),
    ],
)
def test_what_cannot_be_counted_from_is_said(tmp_path: Path, systems: str, beyond: str, message: str) -> None:
    ours = report(tmp_path / "a", BETTER, ranks=[1] * 6)
    with pytest.raises(ClaraError, match=message):
        compare(f"{ours}{systems}", f"{ours}{systems}", beyond=beyond)


def test_a_report_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    ours = report(tmp_path / "a", BETTER)
    (ours / "predictions.jsonl").write_text('{"id": "q0", ', encoding="utf-8")

    with pytest.raises(ClaraError, match="not a report that this version reads"):
        compare(str(ours), str(ours))


def test_the_spread_is_mean_and_deviation_over_reports(tmp_path: Path) -> None:
    scores = [[1.0] * 4, [1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]]
    paths = [str(report(tmp_path / str(number), each)) for number, each in enumerate(scores)]

    rows = {(row.system, row.figure): row for row in spread(paths)}

    f1 = rows["gold_memory", "f1"]
    assert f1.values == (1.0, 0.5, 0.75)
    assert (f1.mean, f1.deviation) == pytest.approx((0.75, 0.25))
    assert rows["none", "f1"].deviation == 0.0
    assert all(math.isfinite(row.mean) for row in rows.values())


def test_one_report_has_no_spread(tmp_path: Path) -> None:
    with pytest.raises(ClaraError, match="at least two reports are needed, got 1"):
        spread([str(report(tmp_path / "a", BETTER))])


def test_the_commands_print_tables_or_json(clara: Any, tmp_path: Path) -> None:
    ours, theirs = report(tmp_path / "a", WORSE), report(tmp_path / "b", BETTER)

    table = clara("evaluate", "compare", ours, theirs)
    printed = json.loads(clara("evaluate", "compare", ours, theirs, "--json").out)
    spread_rows = json.loads(clara("evaluate", "spread", ours, theirs, "--json").out)

    assert table.code == 0 and "gold_memory" in table.out
    assert "gold_memory, less none: 6 questions" in clara("evaluate", "compare", ours, theirs, "--beyond", "none").out
    assert {row["figure"] for row in printed} >= {"em", "f1", "cross_entropy", "information_retained"}
    assert {row["system"] for row in spread_rows} == set(CONDITIONS)
    refused = clara("evaluate", "compare", ours, tmp_path)
    assert refused.mistake == f"{tmp_path} is no report of clara evaluate (it has no results.json)"
