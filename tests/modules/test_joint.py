"""Stage 3 through the command line: what is trained, where candidates come from, and what is refused."""

from __future__ import annotations

import csv
import json
import math
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from clara_lightning.backbone.folder import AdapterFolder
from clara_lightning.corpus.lexical import LexicalIndex
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.readers import read_questions

WEIGHTS = "adapter_model.safetensors"
STILL = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", 0.0)


def metrics(run: Path, name: str) -> list[float]:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


def same(one: Path, other: Path) -> bool:
    """Whether two safetensors files hold the same tensors, bit by bit."""
    first, second = load_file(one), load_file(other)
    assert first and first.keys() == second.keys()
    return all(torch.equal(value, second[name]) for name, value in first.items())


def heads(adapters: Path, name: str) -> dict[str, torch.Tensor]:
    tensors = load_file(adapters / "memory_tokens.safetensors")
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def write_questions(path: Path, questions: Path, **changes: Any) -> Path:
    rows = [json.loads(line) | changes for line in questions.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def fingerprint(adapters: Path) -> str:
    return str(yaml.safe_load((adapters / "clara.yaml").read_text(encoding="utf-8"))["fingerprint"])


def test_the_compressor_stays_as_it_was_bit_by_bit(compressor: Path, joint: Path) -> None:
    assert same(compressor / "compressor" / WEIGHTS, joint / "compressor" / WEIGHTS)
    assert fingerprint(compressor) == fingerprint(joint)
    before, after = heads(compressor, "compressor"), heads(joint, "compressor")
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_generator_and_query_reasoner_change(compressor: Path, joint: Path) -> None:
    assert not same(compressor / "generator" / WEIGHTS, joint / "generator" / WEIGHTS)
    assert not same(compressor / "compressor" / WEIGHTS, joint / "query_reasoner" / WEIGHTS)
    assert not torch.equal(heads(compressor, "compressor")["tokens_LD"], heads(joint, "query_reasoner")["tokens_LD"])


def test_the_query_reasoner_starts_as_a_copy_of_the_compressor(
    commands: Any, clara: Any, compressor: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"

    assert clara(*commands.fit_joint(run, compressor, *STILL, "--trainer.max_steps", 1)).code == 0

    assert same(run / "adapters" / "query_reasoner" / WEIGHTS, compressor / "compressor" / WEIGHTS)
    copied, own = heads(run / "adapters", "query_reasoner"), heads(compressor, "compressor")
    assert own.keys() <= copied.keys()
    assert all(torch.equal(value, copied[name]) for name, value in own.items())


def test_a_second_joint_training_goes_on_with_the_trained_query_reasoner(
    commands: Any, clara: Any, joint: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"

    assert clara(*commands.fit_joint(run, joint, *STILL, "--trainer.max_steps", 1)).code == 0

    assert same(run / "adapters" / "query_reasoner" / WEIGHTS, joint / "query_reasoner" / WEIGHTS)


def test_validation_logs_loss_recall_and_mrr(joint_run: Path) -> None:
    for name in ("val/loss", "val/recall@1", "val/recall@2", "val/mrr"):
        assert all(math.isfinite(value) for value in metrics(joint_run, name))
    assert len(metrics(joint_run, "val/mrr")) == 1
    assert 0 <= metrics(joint_run, "val/recall@1")[0] <= metrics(joint_run, "val/recall@2")[0] <= 1


def test_the_adapters_remember_score_number_of_documents_and_temperature(
    commands: Any, clara: Any, compressor: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"

    assert clara(*commands.fit_joint(run, compressor, "--model.temperature", 0.5, "--trainer.max_steps", 1)).code == 0

    header = yaml.safe_load((run / "adapters" / "clara.yaml").read_text(encoding="utf-8"))
    trained = {"score": "maxsim", "top_k": 2, "temperature": 0.5}
    assert header["retrieval"] == trained | {"hybrid_weight": 0.0, "standardise": False}
    assert header["stage"] == "JointRAGModule"


def test_given_candidates_from_the_store_train_like_those_compressed_on_the_spot(
    commands: Any, clara: Any, compressor: Path, joint_run: Path, store: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"

    assert clara(*commands.fit_joint(run, compressor, "--model.store", store)).code == 0

    # The store rounds memory to bfloat16, whose relative step is 2 ** -8.
    assert metrics(run, "train/loss") == pytest.approx(metrics(joint_run, "train/loss"), abs=2e-3)
    assert metrics(run, "val/recall@2") == metrics(joint_run, "val/recall@2")


def test_figures_of_a_logged_step_do_not_depend_on_how_often_steps_are_logged(
    commands: Any, clara: Any, compressor: Path, joint_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"

    assert clara(*commands.fit_joint(run, compressor, "--trainer.log_every_n_steps", 2)).code == 0

    for name in ("loss", "distinct_share", "selection_entropy", "grad_norm_generator"):
        every = metrics(joint_run, f"train/{name}")
        assert len(every) == 4 and metrics(run, f"train/{name}") == every[1::2]
    assert metrics(run, "val/loss") == metrics(joint_run, "val/loss")


def test_memory_is_read_ahead_by_workers_as_without_them(
    commands: Any, clara: Any, compressor: Path, store: Path, bytes_of: Any, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"

    for run, workers in ((one, 0), (two, 2)):
        fit = commands.fit_joint(run, compressor, "--model.store", store, "--data.num_workers", workers)
        assert clara(*fit).code == 0

    assert (one / "metrics.csv").read_bytes() == (two / "metrics.csv").read_bytes()
    assert bytes_of(one / "adapters") == bytes_of(two / "adapters")
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_passages_without_an_id_are_found_in_a_store_of_the_same_questions(
    commands: Any, clara: Any, compressor: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in commands.files.questions.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        del row["gold_ids"]
        row["passages"] = [{key: p[key] for key in ("title", "text", "gold")} for p in row["passages"]]
    questions = tmp_path / "qa.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    store, run = tmp_path / "store", tmp_path / "run"
    data = ("--data.train", questions, "--data.val", questions)
    assert clara(*commands.predict(store, compressor, "--data.documents", questions)).code == 0

    search = ("--model.candidates.search", 1, "--model.num_candidates", 4)
    assert clara(*commands.fit_joint(run, compressor, *data, "--model.store", store, *search)).code == 0

    assert 0 <= metrics(run, "val/mrr")[0] <= 1


def test_search_takes_candidates_from_the_whole_store(
    commands: Any, clara: Any, compressor: Path, store: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    questions = write_questions(tmp_path / "qa.jsonl", commands.files.questions, passages=[])
    data = ("--data.train", questions, "--data.val", questions)
    search = ("--model.store", store, "--model.candidates.search", 1, "--model.num_candidates", 40)

    assert clara(*commands.fit_joint(run, compressor, *data, *search)).code == 0

    assert metrics(run, "val/mrr")[0] > 0  # all 40 documents are candidates, so gold is always found


def test_candidates_of_several_sources_are_the_same_whoever_reads_them_ahead(
    commands: Any, clara: Any, undropped: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    assert clara(*commands.predict(store, undropped)).code == 0
    mix = '{"search": 0.5, "bm25": 0.25, "random": 0.25, "gold": 0.7, "final_gold": 0.1}'
    options = ("--model.store", store, "--model.candidates", mix, "--model.num_candidates", 6)

    refused = clara(*commands.fit_joint(tmp_path / "run", undropped, *options))
    assert refused.mistake.endswith(f"has no BM25 index: build it with clara store index {store}")
    assert clara("store", "index", store).code == 0
    for workers in (0, 2):
        fit = commands.fit_joint(tmp_path / f"run{workers}", undropped, *options, "--data.num_workers", workers)
        assert clara(*fit).code == 0

    one, other = (metrics(tmp_path / f"run{workers}", "train/loss") for workers in (0, 2))
    assert one == other and len(one) == 4


def test_a_retriever_learns_beside_bm25_and_says_so_when_it_is_asked(
    commands: Any, clara: Any, undropped: Path, tmp_path: Path
) -> None:
    store, run = tmp_path / "store", tmp_path / "run"
    assert clara(*commands.predict(store, undropped)).code == 0
    assert clara("store", "index", store).code == 0
    mix = ("--model.store", store, "--model.candidates.random", 1, "--model.num_candidates", 40, *STILL)
    recalls = []
    for weight in (0.0, 0.5, 0.999):
        fit = commands.fit_joint(tmp_path / f"run{weight}", undropped, *mix, "--model.hybrid_weight", weight)
        assert clara(*fit).code == 0
        recalls += metrics(tmp_path / f"run{weight}", "val/mrr")
    run = tmp_path / "run0.5"
    assert AdapterFolder.open(run).retrieval.hybrid_weight == 0.5

    opened = LatentStore.open(store)
    expected = []
    for question in list(read_questions(str(commands.files.questions)))[:4]:
        scores_N = LexicalIndex.open(opened).scores(question.question)
        (gold,) = opened.rows_of(question.gold_document_ids)
        assert (scores_N == scores_N[gold]).sum() == 1  # words alone decide where it stands
        expected.append(1 / (1 + (scores_N > scores_N[gold]).sum()))
    assert recalls[2] == pytest.approx(sum(expected) / 4) and recalls[2] != recalls[0]

    asked = clara("ask", "Who lives there?", "--adapters", run, "--store", store)
    assert "trained beside BM25: --hybrid weighted --hybrid-weight 0.5" in asked.err


def test_search_without_gold_trains_and_says_that_recall_is_unknown(
    commands: Any, clara: Any, compressor: Path, store: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    questions = write_questions(tmp_path / "qa.jsonl", commands.files.questions, passages=[], gold_ids=[])
    data = ("--data.train", questions, "--data.val", questions)
    search = ("--model.store", store, "--model.candidates.search", 1, "--model.num_candidates", 4)

    assert clara(*commands.fit_joint(run, compressor, *data, *search)).code == 0

    assert len(metrics(run, "train/loss")) == 4
    assert all(math.isnan(metrics(run, name)[0]) for name in ("val/recall@1", "val/recall@2", "val/mrr"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--model.candidates.search", 1),
            "model.init_args.store is required when model.init_args.candidates is search",
        ),
        (
            ("--model.candidates.search", 1, "--model.store", "STORE", "--model.num_candidates", 3, "--model.top_k", 4),
            "model.init_args.top_k must be <= num_candidates (3), got 4",
        ),
        (
            ("--model.candidates", '{"bm25": 1, "search": 2}'),
            "model.init_args.store is required when model.init_args.candidates is search + bm25",
        ),
        (("--model.hybrid_weight", 0.5), "model.init_args.candidates is required with model.init_args.hybrid_weight"),
        (("--model.hybrid_weight", 1.0), "model.init_args.hybrid_weight must be >= 0 and below 1, got 1.0"),
        (
            ("--model.candidates", '{"bm25": -1}', "--model.store", "STORE"),
            "model.init_args.candidates.bm25 must be >= 0, got -1.0",
        ),
        (
            ("--model.candidates.search", 1, "--model.store", "STORE", "--model.num_candidates", 41),
            "model.init_args.num_candidates must be <= 40, the documents of the store, got 41",
        ),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_anything_is_written(
    options: tuple[object, ...],
    message: str,
    commands: Any,
    clara: Any,
    compressor: Path,
    store: Path,
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"

    refused = clara(*commands.fit_joint(run, compressor, *(store if each == "STORE" else each for each in options)))

    assert refused.mistake == message
    assert not (run / "adapters").exists() and not (run / "checkpoints").exists()


def test_more_documents_than_a_question_has_candidates_are_refused(
    commands: Any, clara: Any, compressor: Path, tmp_path: Path
) -> None:
    refused = clara(*commands.fit_joint(tmp_path / "run", compressor, "--model.top_k", 5))

    assert refused.mistake == "model.init_args.top_k is 5, but question 'q0': passages: has 4 passages"


def test_a_store_of_another_compressor_is_refused_with_both_fingerprints(
    commands: Any, clara: Any, compressor: Path, store: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    assert clara(*commands.fit_compressor(other, "--trainer.max_steps", 1)).code == 0

    refused = clara(*commands.fit_joint(tmp_path / "run", other / "adapters", "--model.store", store))

    assert refused.mistake.startswith("model.init_args.store: ")
    assert fingerprint(compressor)[:16] in refused.mistake
    assert fingerprint(other / "adapters")[:16] in refused.mistake


def test_a_question_without_passages_is_refused_where_candidates_are_given(
    commands: Any, clara: Any, compressor: Path, tmp_path: Path
) -> None:
    questions = write_questions(tmp_path / "qa.jsonl", commands.files.questions, passages=[])

    refused = clara(*commands.fit_joint(tmp_path / "run", compressor, "--data.train", questions))

    assert "question 'q0': passages: has none, and model.init_args.candidates is not given" in refused.mistake


def test_a_gold_document_that_is_not_in_the_store_is_refused_before_training(
    commands: Any, clara: Any, compressor: Path, store: Path, tmp_path: Path
) -> None:
    questions = write_questions(tmp_path / "qa.jsonl", commands.files.questions, gold_ids=["elsewhere"])
    search = ("--model.store", store, "--model.candidates.search", 1, "--data.val", questions)

    refused = clara(*commands.fit_joint(tmp_path / "run", compressor, *search))

    assert refused.mistake == f"question 'q0': gold_ids: document 'elsewhere' is not in the store {store}"


@pytest.mark.parametrize("stage", ["compressor", "joint"])
def test_the_data_of_another_stage_are_refused(
    stage: str, commands: Any, clara: Any, compressor: Path, tmp_path: Path
) -> None:
    fit = {
        "compressor": [
            *(*commands.fit_compressor(tmp_path / "run"), "--data", "clara_lightning.QADataModule"),
            *("--data.train", commands.files.questions, "--data.val", commands.files.questions),
        ],
        "joint": [*commands.fit_joint(tmp_path / "run", compressor), "--data", "clara_lightning.InstructDataModule"],
    }[stage]

    assert clara(*fit).mistake.startswith("data.class_path must be clara_lightning.")


def test_a_stage_3_without_trained_adapters_says_what_that_means(
    commands: Any, clara: Any, tiny_model_folder: Path, compressor: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fresh = ("--model.init_from", "null", "--model.backbone.name", tiny_model_folder, "--model.memory_tokens", 4)

    outcome = clara(*commands.fit_joint(run, compressor), *fresh, "--trainer.max_steps", 1)

    assert outcome.code == 0, outcome.err
    assert "init_from is not given: the compressor was never trained, and stage 3 keeps it frozen" in outcome.err
    assert (run / "adapters" / "query_reasoner").is_dir()


def test_settings_without_effect_are_named(commands: Any, clara: Any, compressor: Path, tmp_path: Path) -> None:
    useless = ("--model.num_candidates", 7, "--trainer.max_steps", 1, "--checkpoint.every_n_train_steps", 50)

    outcome = clara(*commands.fit_joint(tmp_path / "run", compressor), *useless)

    assert outcome.code == 0
    assert "without effect: model.init_args.num_candidates: model.init_args.candidates is not given" in outcome.err
    assert "without effect: checkpoint.every_n_train_steps 50: the run has 1 steps" in outcome.err
