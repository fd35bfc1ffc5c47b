"""Contrastive training of the query reasoner: what it minimises, what it trains, and what it needs."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from clara_lightning.backbone.adapters import COMPRESSOR
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import AdapterFolder, build_from_folder
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.data.readers import read_questions
from clara_lightning.data.records import Question
from clara_lightning.objectives.scores import maxsim

CONTRASTIVE = '[{"class_path": "clara_lightning.Contrastive"}]'
CONTRAST = ("--model.estimators", CONTRASTIVE, "--model.train_generator", "false", "--model.temperature", 0.1)
OWN_DATA = """
from dataclasses import replace

from clara_lightning import QADataModule

class Mine(QADataModule):
    def train_example(self, row, draw):
        return replace(row, passages=tuple(replace(passage, gold=False) for passage in row.passages))
"""
STILL = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", 0.0)
SEARCH = ("--model.candidates.search", 1, "--model.num_candidates", 3)


def figures(run: Path, name: str) -> list[float]:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


def changed(one: Path, other: Path) -> bool:
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in (one, other))
    return any(not torch.equal(value, second[name]) for name, value in first.items())


def write_questions(path: Path, questions: Path, change: Callable[[int, dict[str, Any]], dict[str, Any]]) -> Path:
    rows = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps(change(*each)) + "\n" for each in enumerate(rows)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(commands: Any, undropped: Path, run_here: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A contrastive training."""
    folder = tmp_path_factory.mktemp("contrastive") / "run"
    assert run_here(*commands.fit_joint(folder, undropped, *CONTRAST)) == 0
    return folder


def expected_loss(backbone: ClaraBackbone, questions: Sequence[Question], documents: Sequence[str]) -> float:
    """Mean over questions of the loss against ``documents``, one gold document each."""
    query = backbone.read([question.question for question in questions], adapter=COMPRESSOR)
    memory_NLD = backbone.compress(documents)
    scores_BN = maxsim(query.memory_NLD, memory_NLD, query.weights_NL).detach().numpy().astype(np.float64)
    losses = []
    for scores, question in zip(np.exp(scores_BN / 0.1), questions, strict=True):
        (gold,) = (documents.index(passage.content) for passage in question.passages if passage.gold)
        losses.append(-np.log(scores[gold] / scores.sum()))
    return float(np.mean(losses))


def test_the_loss_is_that_of_every_question_against_all_documents_of_its_batch(
    commands: Any, clara: Any, undropped: Path, tmp_path: Path
) -> None:
    whole = (*CONTRAST, *STILL, "--data.batch_size", 8, "--data.max_val_rows", 8)
    assert clara(*commands.fit_joint(tmp_path / "run", undropped, *whole)).code == 0
    backbone = build_from_folder(AdapterFolder.open(undropped), backbone=BackboneConfig(dtype="float32"))
    questions = list(read_questions(str(commands.files.questions)))
    documents = list(dict.fromkeys(passage.content for question in questions for passage in question.passages))
    assert len(documents) < sum(len(question.passages) for question in questions)  # some are shared

    alone = [expected_loss(backbone, [each], [p.content for p in each.passages]) for each in questions]

    assert figures(tmp_path / "run", "train/loss") == pytest.approx([expected_loss(backbone, questions, documents)])
    assert figures(tmp_path / "run", "val/loss") == pytest.approx([float(np.mean(alone))])


def test_with_the_hardest_alone_it_is_against_these_and_the_gold_documents_of_the_batch(
    commands: Any, clara: Any, undropped: Path, tmp_path: Path
) -> None:
    whole = (*CONTRAST, *STILL, "--data.batch_size", 8, "--data.max_val_rows", 8)
    hardest = '[{"class_path": "clara_lightning.Contrastive", "init_args": {"hardest": 1}}]'
    assert clara(*commands.fit_joint(tmp_path / "run", undropped, *whole, "--model.estimators", hardest)).code == 0
    backbone = build_from_folder(AdapterFolder.open(undropped), backbone=BackboneConfig(dtype="float32"))
    questions = list(read_questions(str(commands.files.questions)))
    documents: list[str] = []
    for question in questions:
        query = backbone.read([question.question], adapter=COMPRESSOR)
        own = [passage.content for passage in question.passages]
        scores_1N = maxsim(query.memory_NLD, backbone.compress(own), query.weights_NL)
        documents.append(own[int(scores_1N.argmax())])
        documents += [passage.content for passage in question.passages if passage.gold]
    documents = list(dict.fromkeys(documents))

    loss = expected_loss(backbone, questions, documents)

    assert len(documents) < len({passage.content for question in questions for passage in question.passages})
    assert figures(tmp_path / "run", "train/loss") == pytest.approx([loss])


def test_the_query_reasoner_alone_is_trained_and_all_adapters_are_handed_on(run: Path, undropped: Path) -> None:
    adapters = run / "adapters"

    assert changed(adapters / "query_reasoner", undropped / "compressor")
    assert not changed(adapters / "generator", undropped / "generator")
    assert not changed(adapters / "compressor", undropped / "compressor")
    header = yaml.safe_load((adapters / "clara.yaml").read_text(encoding="utf-8"))
    assert header["adapters"] == ["compressor", "generator", "query_reasoner"]
    shown = yaml.safe_load((run / "settings_in_effect.yaml").read_text(encoding="utf-8"))
    assert shown["estimators"] == "Contrastive at temperature 0.1"
    assert "frozen" in shown["generator"] and "trained" in shown["query_reasoner"]


def test_what_an_untrained_generator_makes_of_documents_is_measured_at_the_end_alone(
    commands: Any, clara: Any, undropped: Path, tmp_path: Path
) -> None:
    late = "val/ce_memory"
    two = (*CONTRAST, "--trainer.val_check_interval", 2, "--best.monitor", late, "--best.mode", "min")
    outcome = clara(*commands.fit_joint(tmp_path / "run", undropped, *two))
    assert outcome.code == 0, outcome.err
    often, once = ("val/ce_retrieved", "val/ce_none", "val/recall@2"), (late, "val/ce_text", "val/information_retained")
    assert [len(figures(tmp_path / "run", name)) for name in (*often, *once)] == [2, 2, 2, 1, 1, 1]
    assert json.loads((tmp_path / "run" / "best" / "figure.json").read_text(encoding="utf-8"))["step"] == 4


def test_training_lowers_the_loss(commands: Any, clara: Any, undropped: Path, tmp_path: Path) -> None:
    fast = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", 0.01, "--trainer.max_epochs", 4)
    soft = ("--model.temperature", 0.5)  # else nothing is left to learn

    assert clara(*commands.fit_joint(tmp_path / "run", undropped, *CONTRAST, *fast, *soft)).code == 0

    losses = figures(tmp_path / "run", "val/loss")
    assert losses[-1] < losses[0]


def test_what_it_trained_goes_on_with_the_answers_loss(commands: Any, clara: Any, run: Path, tmp_path: Path) -> None:
    outcome = clara(*commands.fit_joint(tmp_path / "run", run, "--trainer.max_steps", 1))

    assert outcome.code == 0, outcome.err
    assert "loaded compressor, generator, query_reasoner" in outcome.err


def test_without_any_gold_document_it_is_refused(commands: Any, clara: Any, undropped: Path, tmp_path: Path) -> None:
    def unmark(number: int, row: dict[str, Any]) -> dict[str, Any]:
        return row | {"passages": [passage | {"gold": False} for passage in row["passages"]]}

    questions = write_questions(tmp_path / "qa.jsonl", commands.files.questions, unmark)

    refused = clara(*commands.fit_joint(tmp_path / "run", undropped, *CONTRAST, "--data.train", questions))

    assert refused.mistake == (
        "model.init_args.estimators: gold documents alone teach, but no training question has one"
    )
    assert not (tmp_path / "run" / "adapters").exists() and not (tmp_path / "run" / "checkpoints").exists()


@pytest.fixture(scope="module")
def undropped_store(
    commands: Any, undropped: Path, run_here: Callable[..., int], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("store") / "store"
    assert run_here(*commands.predict(path, undropped)) == 0
    return path


def test_a_search_leaves_out_questions_without_gold_and_counts_them(
    commands: Any, clara: Any, undropped: Path, undropped_store: Path, tmp_path: Path
) -> None:
    def forget(number: int, row: dict[str, Any]) -> dict[str, Any]:
        return row | {"passages": [], "gold_ids": row["gold_ids"] if number % 2 else []}

    questions = write_questions(tmp_path / "qa.jsonl", commands.files.questions, forget)
    search = (*CONTRAST, *SEARCH, "--model.store", undropped_store, "--data.train", questions)

    outcome = clara(*commands.fit_joint(tmp_path / "run", undropped, *search))

    assert outcome.code == 0, outcome.err
    assert "4 of 8 training questions name no gold document and are left out" in outcome.err
    assert len(figures(tmp_path / "run", "train/loss")) == 2  # batches of 2


def test_gold_documents_that_a_search_misses_are_learned_from_too(
    commands: Any, clara: Any, undropped: Path, undropped_store: Path, tmp_path: Path
) -> None:
    one = ("--model.num_candidates", 1, "--model.top_k", 1, "--model.store", undropped_store)

    outcome = clara(*commands.fit_joint(tmp_path / "run", undropped, *CONTRAST, *SEARCH, *one))

    assert outcome.code == 0, outcome.err
    assert all(loss > 0 for loss in figures(tmp_path / "run", "train/loss"))


def test_a_question_without_gold_of_a_users_own_data_is_named(
    commands: Any, start_clara: Any, undropped: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(OWN_DATA, encoding="utf-8")
    fit = [
        "mine.Mine" if word == "clara_lightning.QADataModule" else word
        for word in commands.fit_joint(tmp_path / "run", undropped, *CONTRAST)
    ]

    running = start_clara(*fit, path=tmp_path)
    _, errors = running.communicate(timeout=240)

    assert running.returncode == 2, errors
    assert re.search(r"clara: question 'q\d': no gold document, and nothing else teaches$", errors.strip())


def test_a_checkpoint_that_trained_other_adapters_is_refused(
    commands: Any, clara: Any, undropped: Path, run: Path, bytes_of: Any
) -> None:
    before = bytes_of(run)

    refused = clara(*commands.fit_joint(run, undropped), "--ckpt_path", "last")

    assert refused.mistake == (
        "--ckpt_path: the checkpoint is of model.init_args.train_generator false, here it is true; "
        "to start from its adapters set model.init_args.init_from"
    )
    assert bytes_of(run) == before


def test_settings_that_train_nothing_are_named(commands: Any, clara: Any, undropped: Path, tmp_path: Path) -> None:
    useless = ("--model.standardise", "true", "--model.read_gold", 0.5, "--trainer.max_steps", 1)

    outcome = clara(*commands.fit_joint(tmp_path / "run", undropped, *CONTRAST, *useless))

    assert outcome.code == 0
    assert "without effect: model.init_args.standardise: no estimator of model.init_args.estimators" in outcome.err
    assert "without effect: model.init_args.read_gold: no answer is read from what is taken" in outcome.err
