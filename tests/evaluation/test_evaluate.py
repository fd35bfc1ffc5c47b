"""``clara evaluate``: the report folder, its conditions and baselines, and what does not change the figures."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOUR = ["none", "another", "gold_memory", "gold_text"]
OVER_STORE = [
    *(*FOUR, "retrieved_memory", "oracle_memory", "retrieved_text", "bm25_memory"),
    *("backbone_none", "backbone_gold_text", "backbone_gold_tokens", "backbone_retrieved_text", "backbone_bm25_text"),
]
DETERMINED = ("results.json", "predictions.jsonl", "rankings.jsonl")


def evaluate(adapters: Path, out: Path, *options: object) -> list[object]:
    words = ("--dtype", "float32", "--device", "cpu", "--max-new-tokens", 3, "--dense", "none")
    return ["evaluate", "--adapters", adapters, "--out", out, *words, *options]


@pytest.fixture(scope="module")
def over_store(commands: Any, store: Path) -> tuple[object, ...]:
    return ("--data", commands.files.questions, "--store", store)


@pytest.fixture(scope="module")
def report(
    run_here: Any, joint: Path, over_store: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Evaluation against the store, under all conditions."""
    out = tmp_path_factory.mktemp("evaluation") / "report"
    assert run_here(*evaluate(joint, out, *over_store)) == 0
    return out


def results(out: Path) -> dict[str, Any]:
    def no_nan(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads((out / "results.json").read_text(encoding="utf-8"), parse_constant=no_nan)  # type: ignore[no-any-return]


def predictions(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


def texts(out: Path) -> dict[tuple[str, str], str]:
    return {(row["condition"], row["id"]): row["prediction"] for row in predictions(out)}


def all_values(out: Path) -> dict[tuple[str, str], float]:
    """Every figure of conditions and retrievers; nan for what was not measured."""
    found = results(out)
    tables = dict(found["answers"])
    for scale, systems in found["retrieval"].items():
        tables |= {f"{scale}/{name}": figures for name, figures in systems.items()}
    values = {(system, name): figure["value"] for system, each in tables.items() for name, figure in each.items()}
    return {key: math.nan if value is None else value for key, value in values.items()}


def test_a_report_holds_pages_pictures_and_every_record(report: Path) -> None:
    names = {path.name for path in report.iterdir()}

    assert {*DETERMINED, "cost.json", "report.md", "report.html"} <= names
    assert [name for name in names if name.endswith(".png")]
    assert not [name for name in names if name.startswith(("journal", "."))]


def test_all_conditions_and_baselines_stand_in_one_table(report: Path) -> None:
    assert list(results(report)["answers"]) == list(results(report)["conditions"]) == OVER_STORE


def test_predictions_have_one_row_a_question_and_condition(report: Path) -> None:
    rows = [(row["condition"], row["id"]) for row in predictions(report)]

    assert rows == [(condition, f"q{n}") for condition in OVER_STORE for n in range(8)]


def test_a_prediction_says_what_was_read_and_what_was_right(report: Path) -> None:
    (row,) = [row for row in predictions(report) if (row["condition"], row["id"]) == ("retrieved_memory", "q3")]

    assert row["answers"] == ["apples"] and row["gold"] == ["d3"]
    assert [set(document) for document in row["documents"]] == [{"id", "score"}] * 2
    assert row["background_positions"] == 2 * 4  # two documents of four memory tokens


def test_figures_are_means_of_the_predictions(report: Path) -> None:
    for condition, figures in results(report)["answers"].items():
        rows = [row for row in predictions(report) if row["condition"] == condition]
        assert figures["f1"]["value"] == pytest.approx(sum(row["f1"] for row in rows) / 8)
        tokens = sum(row["answer_tokens"] for row in rows)
        assert figures["cross_entropy"]["value"] == pytest.approx(sum(row["nll"] for row in rows) / tokens)


def test_retrieval_is_measured_over_the_corpus_and_over_candidates_beside_bm25(report: Path) -> None:
    retrieval = results(report)["retrieval"]

    assert {scale: list(systems) for scale, systems in retrieval.items()} == {
        "corpus": ["clara", "bm25"],
        "candidates": ["clara", "bm25"],
    }
    assert {"recall@1", "precision@5", "ndcg@10", "mrr", "map", "top_share"} <= set(retrieval["corpus"]["bm25"])
    assert retrieval["corpus"]["bm25"]["mrr"]["value"] > 0.2  # the number of the document stands in the question


def test_costs_are_kept_apart_from_the_figures(report: Path) -> None:
    costs = json.loads((report / "cost.json").read_text(encoding="utf-8"))

    assert {"compress", "search:clara", "search:bm25", *(f"answer:{name}" for name in OVER_STORE)} == set(
        costs["steps"]
    )
    assert costs["steps"]["answer:none"]["items"] == 8
    assert costs["bytes_per_document"]["memory"] == 4 * 32 * 2  # four tokens of 32 bfloat16 values


def test_the_bytes_of_a_document_are_those_of_the_stores_dtype(
    commands: Any, clara: Any, joint: Path, compressor: Path, tmp_path: Path
) -> None:
    store, out = tmp_path / "int8", tmp_path / "report"
    assert clara(*commands.predict(store, compressor, "--encoder.dtype", "int8")).code == 0
    options = ("--data", commands.files.questions, "--store", store, "--limit", 2, "--conditions", "none")

    assert clara(*evaluate(joint, out, *options)).code == 0

    size = json.loads((out / "cost.json").read_text(encoding="utf-8"))["bytes_per_document"]["memory"]
    assert size == 4 * (32 * 1 + 4)  # four tokens of 32 bytes, with a float32 scale each


def test_rarest_tokens_take_as_many_positions_as_memory_at_most(report: Path) -> None:
    answers = results(report)["answers"]
    memory = answers["gold_memory"]["background_positions"]["value"]

    assert 0 < answers["backbone_gold_tokens"]["background_positions"]["value"] <= memory
    assert answers["backbone_gold_text"]["background_positions"]["value"] > memory


def test_two_runs_with_one_seed_are_equal_to_the_last_bit(
    clara: Any, joint: Path, over_store: tuple[object, ...], report: Path, tmp_path: Path, bytes_of: Any
) -> None:
    assert clara(*evaluate(joint, tmp_path / "again", *over_store)).code == 0

    first, again = bytes_of(report), bytes_of(tmp_path / "again")
    assert [again[name] for name in DETERMINED] == [first[name] for name in DETERMINED]


def test_the_batch_size_changes_no_answer(
    clara: Any, joint: Path, over_store: tuple[object, ...], report: Path, tmp_path: Path
) -> None:
    assert clara(*evaluate(joint, tmp_path / "report", *over_store, "--batch-size", 3)).code == 0

    assert texts(tmp_path / "report") == texts(report)
    ours, theirs = all_values(tmp_path / "report"), all_values(report)
    assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6, nan_ok=True)


def test_the_order_of_the_questions_changes_no_answer(
    commands: Any, clara: Any, joint: Path, store: Path, report: Path, tmp_path: Path
) -> None:
    lines = commands.files.questions.read_text(encoding="utf-8").splitlines(keepends=True)
    shuffled = tmp_path / "shuffled.jsonl"
    shuffled.write_text("".join(random.Random(3).sample(lines, len(lines))), encoding="utf-8")

    assert clara(*evaluate(joint, tmp_path / "report", "--data", shuffled, "--store", store)).code == 0

    assert texts(tmp_path / "report") == texts(report)


def test_padding_changes_no_answer(
    commands: Any, clara: Any, joint: Path, store: Path, report: Path, tmp_path: Path
) -> None:
    """Alone in its batch a question has no padding; among the others it has."""
    options = ("--data", commands.files.questions, "--store", store, "--batch-size", 1)

    assert clara(*evaluate(joint, tmp_path / "report", *options)).code == 0

    assert texts(tmp_path / "report") == texts(report)


def test_two_processes_give_the_same_bytes_as_one(
    joint: Path, over_store: tuple[object, ...], report: Path, tmp_path: Path, bytes_of: Any
) -> None:
    words = [*map(str, evaluate(joint, tmp_path / "two", *over_store)), "--json"]
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "clara_lightning"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}

    done = subprocess.run(
        [sys.executable, "-m", *torchrun, *words], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    one, two = bytes_of(report), bytes_of(tmp_path / "two")
    assert [two[name] for name in DETERMINED] == [one[name] for name in DETERMINED]
    assert json.loads(done.stdout)["cost"]["processes"] == 2  # one of them alone prints


def test_a_killed_evaluation_goes_on_and_ends_in_the_same_bytes(
    start_clara: Any,
    kill_when: Any,
    clara: Any,
    joint: Path,
    over_store: tuple[object, ...],
    report: Path,
    tmp_path: Path,
    bytes_of: Any,
) -> None:
    out = tmp_path / "report"
    journal = out / "journal-0.jsonl"
    process = start_clara(*evaluate(joint, out, *over_store))
    kill_when(process, lambda: journal.is_file() and journal.read_text(encoding="utf-8").count("\n") > 6)

    assert not (out / "results.json").exists()
    assert clara(*evaluate(joint, out, *over_store)).code == 0

    first, again = bytes_of(report), bytes_of(out)
    assert [again[name] for name in DETERMINED] == [first[name] for name in DETERMINED]
    steps = json.loads((out / "cost.json").read_text(encoding="utf-8"))["steps"]
    assert "search:clara" not in steps  # it was done, and not done again


def test_without_a_store_each_question_is_asked_against_its_own_passages(
    commands: Any, clara: Any, joint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"

    assert clara(*evaluate(joint, out, "--data", commands.files.questions)).code == 0

    found = results(out)
    assert found["corpus"] == "passages"
    assert list(found["retrieval"]) == ["candidates"]
    assert found["recall_curves"]["candidates"]["clara"][-1] == 1.0  # of all four passages the gold one is one
    assert "oracle_memory" not in found["answers"]


def test_candidates_alone_are_ranked_as_beside_a_search_of_the_store(
    clara: Any, joint: Path, over_store: tuple[object, ...], report: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"

    assert clara(*evaluate(joint, out, *over_store, "--candidates-only", "--conditions", "retrieved_memory")).code == 0

    found, beside = results(out), results(report)
    assert list(found["retrieval"]) == ["candidates"]
    assert found["retrieval"]["candidates"] == beside["retrieval"]["candidates"]
    # The best of candidates that hold the gold documents.
    assert found["answers"]["retrieved_memory"] == beside["answers"]["oracle_memory"]
    assert any("Oracle" in note for note in found["notes"])


def test_candidates_alone_of_passages_is_refused(commands: Any, clara: Any, joint: Path, tmp_path: Path) -> None:
    outcome = clara(*evaluate(joint, tmp_path / "report", "--data", commands.files.questions, "--candidates-only"))
    assert outcome.mistake == "--candidates-only: without --store nothing but candidates is ranked"
    assert not (tmp_path / "report").exists()


@pytest.fixture
def alone(commands: Any, tmp_path: Path) -> Path:
    """Questions with their gold passage alone."""
    rows = [json.loads(line) for line in commands.files.questions.read_text(encoding="utf-8").splitlines()]
    path = tmp_path / "alone.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row | {"passages": [p for p in row["passages"] if p["gold"]]}) + "\n")
    return path


def test_where_there_is_nothing_to_choose_from_nothing_is_retrieved(
    clara: Any, joint: Path, tmp_path: Path, alone: Path
) -> None:
    out = tmp_path / "report"

    assert clara(*evaluate(joint, out, "--data", alone)).code == 0

    assert list(results(out)["answers"]) == [*FOUR, "backbone_none", "backbone_gold_text", "backbone_gold_tokens"]
    assert results(out)["retrieval"] == {}
    assert any("--candidates N" in note for note in results(out)["notes"])


def test_candidates_are_mined_among_the_files_other_passages(
    clara: Any, joint: Path, tmp_path: Path, alone: Path
) -> None:
    out = tmp_path / "report"
    options = ("--data", alone, "--candidates", 5, "--conditions", "retrieved_memory")

    assert clara(*evaluate(joint, out, *options)).code == 0

    rows = [json.loads(line) for line in (out / "rankings.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["ranked"] for row in rows} == {5}
    assert all(None not in row["gold_ranks"] for row in rows)
    assert list(results(out)["answers"]) == [*FOUR, "retrieved_memory"]


def test_another_query_reasoner_over_the_same_memory_is_a_retriever_more(
    clara: Any, joint: Path, compressor: Path, over_store: tuple[object, ...], report: Path, tmp_path: Path
) -> None:
    options = ("--reasoner", f"before={compressor}", "--reasoner", f"same={joint}", "--conditions", "before_memory")

    assert clara(*evaluate(joint, tmp_path / "report", *over_store, *options)).code == 0

    found = results(tmp_path / "report")
    assert list(found["retrieval"]["corpus"]) == ["clara", "before", "same", "bm25"]
    assert found["retrieval"]["corpus"]["same"] == found["retrieval"]["corpus"]["clara"]
    assert "before_memory" in found["answers"]
    assert found["answers"]["gold_memory"] == results(report)["answers"]["gold_memory"]


HYBRID = ("--hybrid", "weighted", "--hybrid-weight", 0.3)


def test_hybrid_search_is_a_retriever_more_and_changes_nothing_else(
    clara: Any, joint: Path, over_store: tuple[object, ...], report: Path, tmp_path: Path
) -> None:
    assert clara(*evaluate(joint, tmp_path / "report", *over_store, *HYBRID)).code == 0

    found, without = results(tmp_path / "report"), results(report)
    for scale in ("corpus", "candidates"):
        assert list(found["retrieval"][scale]) == ["clara", "bm25", "hybrid"]
        assert {name: found["retrieval"][scale][name] for name in ("clara", "bm25")} == without["retrieval"][scale]
    assert set(found["answers"]) - set(without["answers"]) == {"hybrid_memory", "backbone_hybrid_text"}
    assert {name: found["answers"][name] for name in OVER_STORE} == without["answers"]
    assert found["retrievers"]["hybrid"] == "CLaRa + BM25 (weighted, 0.3)"
    assert found["settings"].pop("hybrid") == {"method": "weighted", "weight": 0.3}
    assert found["settings"] == without["settings"]


def test_hybrid_search_without_a_store_ranks_candidates(commands: Any, clara: Any, joint: Path, tmp_path: Path) -> None:
    options = ("--data", commands.files.questions, "--hybrid", "reciprocal_rank", "--conditions", "hybrid_memory")

    assert clara(*evaluate(joint, tmp_path / "report", *options)).code == 0

    found = results(tmp_path / "report")
    assert list(found["retrieval"]["candidates"]) == ["clara", "bm25", "hybrid"]
    assert "hybrid_memory" in found["answers"]
    rows = [json.loads(line) for line in (tmp_path / "report" / "rankings.jsonl").read_text("utf-8").splitlines()]
    assert {row["ranked"] for row in rows} == {4}


@pytest.fixture
def indexed(store: Path, clara: Any, tmp_path: Path) -> Path:
    """The store with an index of its words."""
    shutil.copytree(store, tmp_path / "indexed")
    assert clara("store", "index", tmp_path / "indexed").code == 0
    return tmp_path / "indexed"


def test_a_stores_index_of_words_gives_the_figures_of_one_in_memory(
    commands: Any, clara: Any, joint: Path, indexed: Path, report: Path, tmp_path: Path
) -> None:
    options = ("--data", commands.files.questions, "--store", indexed)

    assert clara(*evaluate(joint, tmp_path / "report", *options)).code == 0

    found, without = bytes_but_the_stores_path(tmp_path / "report"), bytes_but_the_stores_path(report)
    assert found == without


@pytest.fixture
def halves(commands: Any, clara: Any, compressor: Path, tmp_path: Path) -> list[Path]:
    """The store's documents in two stores: of the first 24, which has an index of its words, and of the other 16."""
    lines = commands.files.documents.read_text(encoding="utf-8").splitlines(keepends=True)
    found = []
    for name, own in (("a", lines[:24]), ("b", lines[24:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(own), encoding="utf-8")
        found.append(tmp_path / name)
        command = commands.predict(found[-1], compressor, "--data.documents", tmp_path / f"{name}.jsonl")
        assert clara(*command).code == 0
    assert clara("store", "index", found[0]).code == 0
    return found


def test_several_stores_give_the_figures_of_one_and_are_all_named(
    commands: Any, clara: Any, joint: Path, halves: list[Path], report: Path, tmp_path: Path
) -> None:
    out, (a, b) = tmp_path / "report", halves

    assert clara(*evaluate(joint, out, "--data", commands.files.questions, "--store", a, "--store", b)).code == 0

    assert bytes_but_the_stores_path(out) == bytes_but_the_stores_path(report)
    assert results(out)["settings"]["store"] == [str(a), str(b)]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert str(a) in page and str(b) in page


def test_a_gold_document_in_chunks_is_found_with_any_of_them_and_counts_once(
    commands: Any, clara: Any, joint: Path, compressor: Path, tmp_path: Path
) -> None:
    store, out = tmp_path / "chunks", tmp_path / "report"
    assert clara(*commands.predict(store, compressor, "--data.chunk_tokens", 20)).code == 0
    rows = [json.loads(line) for line in commands.files.questions.read_text(encoding="utf-8").splitlines()]
    for number, row in enumerate(rows):
        row["gold_ids"] = [f"d{number}", f"d{number + 8}"]
    data = tmp_path / "questions.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    assert clara(*evaluate(joint, out, "--data", data, "--store", store)).code == 0

    def document(name: str) -> str:
        return name.partition("#")[0]

    lines = [json.loads(line) for line in (out / "rankings.jsonl").read_text(encoding="utf-8").splitlines()]
    found = [line for line in lines if (line["scale"], line["retriever"]) == ("corpus", "clara")]
    assert any("#" in one["id"] for line in found for one in line["documents"])
    for k in (1, 5, 20):
        shares = []
        for line, row in zip(found, rows, strict=True):
            best = {document(one["id"]) for one in line["documents"][:k]}
            shares.append(len(best & set(row["gold_ids"])) / 2)
        assert results(out)["retrieval"]["corpus"]["clara"][f"recall@{k}"]["value"] == pytest.approx(sum(shares) / 8)
    missed = 0
    for row in predictions(out):
        if row["condition"] == "retrieved_memory":
            missed += not set(row["gold"]) <= {document(one["id"]) for one in row["documents"]}
        if row["condition"] == "gold_memory":
            assert {document(one["id"]) for one in row["documents"]} == set(row["gold"])
    losses = results(out)["losses"]["retrieved_memory"]
    assert losses["missed_answered"] + losses["missed_wrong"] == pytest.approx(missed / 8)


def bytes_but_the_stores_path(out: Path) -> list[Any]:
    found = results(out)
    found["settings"].pop("store")
    return [found, *((out / name).read_bytes() for name in DETERMINED if name != "results.json")]


def test_an_index_of_other_documents_is_refused(
    commands: Any, clara: Any, joint: Path, indexed: Path, tmp_path: Path
) -> None:
    belongs = indexed / "index" / "bm25" / "belongs.json"
    belongs.write_text(belongs.read_text("utf-8").replace('"rows": 40', '"rows": 39'), encoding="utf-8")
    options = ("--data", commands.files.questions, "--store", indexed)

    outcome = clara(*evaluate(joint, tmp_path / "report", *options))

    assert outcome.mistake.endswith(f"(rows is another): build it with clara store index {indexed}")


def test_paraphrases_are_written_under_the_four_conditions(
    commands: Any, clara: Any, joint: Path, over_store: tuple[object, ...], tmp_path: Path
) -> None:
    options = ("--conditions", "none", "--paraphrases", commands.files.scp, "--limit", 4)

    assert clara(*evaluate(joint, tmp_path / "report", *over_store, *options)).code == 0

    found = results(tmp_path / "report")["paraphrases"]
    assert list(found) == FOUR
    assert all(0.0 <= figures["rouge_l"]["value"] <= 1.0 for figures in found.values())
    lines = (tmp_path / "report" / "paraphrases.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4 * 4


def test_questions_without_answers_are_searched_for_alone(
    commands: Any, clara: Any, joint: Path, store: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in commands.files.questions.read_text(encoding="utf-8").splitlines()]
    data = tmp_path / "searched.jsonl"
    data.write_text("".join(json.dumps(row | {"answers": []}) + "\n" for row in rows), encoding="utf-8")

    assert clara(*evaluate(joint, tmp_path / "report", "--data", data, "--store", store)).code == 0

    found = results(tmp_path / "report")
    assert found["answers"] == {}
    assert list(found["retrieval"]) == ["corpus", "candidates"]


def test_limit_draws_questions_by_seed(clara: Any, joint: Path, over_store: tuple[object, ...], tmp_path: Path) -> None:
    drawn = []
    for seed in (0, 1):
        options = ("--limit", 3, "--conditions", "none", "--seed", seed)
        assert clara(*evaluate(joint, tmp_path / str(seed), *over_store, *options)).code == 0
        drawn.append({row["id"] for row in predictions(tmp_path / str(seed))})

    assert [len(ids) for ids in drawn] == [3, 3]
    assert drawn[0] != drawn[1]


def test_json_is_the_results_and_costs_and_nothing_else_on_stdout(
    clara: Any, joint: Path, over_store: tuple[object, ...], tmp_path: Path
) -> None:
    options = ("--limit", 2, "--conditions", "none", "--json")

    outcome = clara(*evaluate(joint, tmp_path / "report", *over_store, *options))

    printed = json.loads(outcome.out)
    assert printed.pop("cost")["processes"] == 1
    assert printed == results(tmp_path / "report")


def test_a_report_may_be_written_again_but_nothing_else_is_overwritten(
    clara: Any, joint: Path, over_store: tuple[object, ...], tmp_path: Path, bytes_of: Any
) -> None:
    options = (*over_store, "--limit", 2, "--conditions", "none")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thoughts.md").write_text("mine", encoding="utf-8")

    refused = clara(*evaluate(joint, tmp_path / "notes", *options))

    assert refused.mistake.endswith("is there and no report: choose another folder")
    assert list(bytes_of(tmp_path / "notes")) == ["thoughts.md"]
    assert clara(*evaluate(joint, tmp_path / "again", *options)).code == 0
    assert clara(*evaluate(joint, tmp_path / "again", *options)).code == 0


Mistake = tuple[Callable[[Path, Path], tuple[object, ...]], str]
MISTAKES: dict[str, Mistake] = {
    "a condition": (lambda joint, other: ("--conditions", "gold"), "--conditions: no condition 'gold', there are none"),
    "no candidates": (lambda joint, other: ("--candidates", 0), "--candidates must be >= 1, got 0"),
    "a reasoner without a folder": (lambda joint, other: ("--reasoner", "x"), "--reasoner: expected NAME=DIR, got 'x'"),
    "a reasoner's name": (
        lambda joint, other: ("--reasoner", f"bm25={joint}"),
        "--reasoner: 'bm25' is the name of something else here: choose another",
    ),
    "a reasoner of another compressor": (lambda joint, other: ("--reasoner", f"x={other}"), "--reasoner x: "),
    "the hybrid retriever's name": (
        lambda joint, other: ("--reasoner", f"hybrid={joint}"),
        "--reasoner: 'hybrid' is the name of something else here: choose another",
    ),
    "a hybrid condition without hybrid search": (
        lambda joint, other: ("--conditions", "hybrid_memory"),
        "--conditions: no condition 'hybrid_memory', there are none",
    ),
    "a hybrid weight": (
        lambda joint, other: ("--hybrid", "weighted", "--hybrid-weight", 2),
        "--hybrid-weight must be between 0 and 1, got 2.0",
    ),
    "a dense model": (lambda joint, other: ("--dense", "/no/such/model"), "--dense: "),
    "candidates alone of a search for more": (
        lambda joint, other: ("--candidates-only", "--conditions", "oracle_memory"),
        "--conditions: oracle_memory cannot be measured on this data without a search of --store",
    ),
    "too many documents": (
        lambda joint, other: ("--top-k", 41),
        "--top-k must be <= 40, the documents of the store, got 41",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(
    name: str, clara: Any, joint: Path, other_compressor: Path, over_store: tuple[object, ...], tmp_path: Path
) -> None:
    options, message = MISTAKES[name]

    outcome = clara(*evaluate(joint, tmp_path / "report", *over_store, *options(joint, other_compressor)))

    assert outcome.mistake.startswith(message)
    assert not (tmp_path / "report").exists()


@pytest.fixture(scope="module")
def other_compressor(commands: Any, run_here: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters of another compressor."""
    run = tmp_path_factory.mktemp("other") / "run"
    assert run_here(*commands.fit_compressor(run, "--trainer.max_steps", 1)) == 0
    return run / "adapters"


def test_an_id_that_stands_twice_is_refused(
    commands: Any, clara: Any, joint: Path, store: Path, tmp_path: Path
) -> None:
    lines = commands.files.questions.read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "twice.jsonl").write_text("".join([*lines, lines[2]]), encoding="utf-8")

    outcome = clara(*evaluate(joint, tmp_path / "report", "--data", tmp_path / "twice.jsonl", "--store", store))

    assert outcome.mistake.endswith("id: 'q2' is the id of two questions, and figures are kept by id")
