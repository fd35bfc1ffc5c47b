"""``clara evaluate``: the report folder, its four conditions, and what does not change the figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOUR = ["none", "another", "gold_memory", "gold_text"]


@pytest.fixture(scope="module")
def report(commands: Any, run_here: Any, joint: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluation against the store."""
    out = tmp_path_factory.mktemp("evaluation") / "report"
    data = ("--data", commands.files.questions, "--store", store)
    assert run_here(*evaluate(joint, out), *data) == 0
    return out


def evaluate(adapters: Path, out: Path) -> list[object]:
    words = ("--dtype", "float32", "--device", "cpu", "--max-new-tokens", 3)
    return ["evaluate", "--adapters", adapters, "--out", out, *words]


def results(out: Path) -> dict[str, Any]:
    def no_nan(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads((out / "results.json").read_text(encoding="utf-8"), parse_constant=no_nan)  # type: ignore[no-any-return]


def predictions(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_report_holds_results_predictions_text_and_a_picture(report: Path) -> None:
    assert sorted(path.name for path in report.iterdir()) == [
        "conditions.png",
        "predictions.jsonl",
        "report.md",
        "results.json",
    ]
    assert (report / "conditions.png").read_bytes().startswith(b"\x89PNG")


def test_the_four_conditions_are_always_there(report: Path) -> None:
    assert list(results(report)["answers"]) == [*FOUR, "retrieved_memory"]


def test_predictions_have_one_row_a_question_and_condition(report: Path) -> None:
    rows = predictions(report)

    assert [(row["condition"], row["id"]) for row in rows] == [
        (condition, f"q{n}") for condition in [*FOUR, "retrieved_memory"] for n in range(8)
    ]


def test_results_text_and_predictions_agree(report: Path) -> None:
    figures, text = results(report), (report / "report.md").read_text(encoding="utf-8")
    for condition, label in (("none", "no memory"), ("gold_memory", "gold memory"), ("gold_text", "gold text")):
        row = figures["answers"][condition]
        cells = [f"{row[name]:.3f}" for name in ("em", "f1", "cover_em", "cross_entropy")]
        assert "| " + " | ".join([label, *cells]) + " |" in text
        answers = [each for each in predictions(report) if each["condition"] == condition]
        exact = [each["answer"].lower() in each["references"] for each in answers]
        assert row["em"] == pytest.approx(sum(exact) / 8)


def test_retrieval_is_shown_beside_bm25(report: Path) -> None:
    retrieval = results(report)["retrieval"]

    assert list(retrieval) == ["clara", "bm25"]
    assert list(retrieval["bm25"]["recall"]) == ["1", "2", "5"]
    assert retrieval["bm25"]["mrr"] > 0.2  # the number of the document stands in the question


def test_the_batch_size_changes_no_answer(
    commands: Any, clara: Any, joint: Path, store: Path, report: Path, tmp_path: Path
) -> None:
    options = ("--data", commands.files.questions, "--store", store, "--batch-size", 3)

    assert clara(*evaluate(joint, tmp_path / "report"), *options).code == 0

    assert predictions(tmp_path / "report") == predictions(report)
    for condition, row in results(report)["answers"].items():
        assert results(tmp_path / "report")["answers"][condition] == pytest.approx(row, rel=1e-5)
    assert results(tmp_path / "report")["retrieval"] == results(report)["retrieval"]


def test_without_a_store_each_question_is_asked_against_its_own_passages(
    commands: Any, clara: Any, joint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"

    assert clara(*evaluate(joint, out), "--data", commands.files.questions).code == 0

    assert list(results(out)["answers"]) == [*FOUR, "retrieved_memory"]
    assert results(out)["documents"] is None
    assert results(out)["retrieval"]["clara"]["recall"]["5"] == 1.0  # there are four passages a question


def test_where_there_is_nothing_to_choose_from_nothing_is_retrieved(
    commands: Any, clara: Any, joint: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in commands.files.questions.read_text(encoding="utf-8").splitlines()]
    alone = tmp_path / "alone.jsonl"
    with alone.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row | {"passages": [p for p in row["passages"] if p["gold"]]}) + "\n")
    out = tmp_path / "report"

    assert clara(*evaluate(joint, out), "--data", alone).code == 0

    assert list(results(out)["answers"]) == FOUR
    assert results(out)["retrieval"] == {}
    assert "Retrieval" not in (out / "report.md").read_text(encoding="utf-8")


def test_limit_takes_the_first_questions(commands: Any, clara: Any, joint: Path, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    options = ("--data", commands.files.questions, "--store", store, "--limit", 2)

    assert clara(*evaluate(joint, out), *options).code == 0

    assert {row["id"] for row in predictions(out)} == {"q0", "q1"}


def test_json_is_the_results_and_nothing_else_on_stdout(
    commands: Any, clara: Any, joint: Path, store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    options = ("--data", commands.files.questions, "--store", store, "--limit", 2, "--json")

    outcome = clara(*evaluate(joint, out), *options)

    assert json.loads(outcome.out) == results(out)


def test_a_report_may_be_written_again_but_nothing_else_is_overwritten(
    commands: Any, clara: Any, joint: Path, store: Path, report: Path, tmp_path: Path, bytes_of: Any
) -> None:
    data = ("--data", commands.files.questions, "--store", store, "--limit", 2)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thoughts.md").write_text("mine", encoding="utf-8")

    refused = clara(*evaluate(joint, tmp_path / "notes"), *data)

    assert refused.mistake.endswith("is there and no report: choose another folder")
    assert list(bytes_of(tmp_path / "notes")) == ["thoughts.md"]
    assert clara(*evaluate(joint, tmp_path / "again"), *data).code == 0
    assert clara(*evaluate(joint, tmp_path / "again"), *data).code == 0
