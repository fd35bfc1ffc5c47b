"""How stage 3 teaches the scores, through the command line: each estimator, their sum, and what is refused."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara_lightning.backbone.folder import AdapterFolder, build_from_folder
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.data.prompts import PromptTemplate
from clara_lightning.data.readers import read_questions
from clara_lightning.data.requests import answering_request
from clara_lightning.objectives.gradients import distillation
from clara_lightning.objectives.scores import maxsim

WEIGHTS = "adapter_model.safetensors"
STILL = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", 0.0)
ONE_STEP = ("--trainer.max_steps", 1)
KILLER = """
import os, signal
from lightning.pytorch import Callback

class KillAtThree(Callback):
    def on_train_batch_start(self, trainer, *args):
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def estimators(*names: str, **settings: Any) -> tuple[object, ...]:
    made = [{"class_path": f"clara_lightning.{name}", "init_args": settings} for name in names]
    return "--model.estimators", json.dumps(made)


def logged(run: Path, name: str) -> list[float]:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def reasoner(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "adapters" / "query_reasoner" / WEIGHTS)


def same_adapters(run: Path, other: Path) -> None:
    for name in (QUERY_REASONER, GENERATOR):
        own, others = (load_file(each / "adapters" / name / WEIGHTS) for each in (run, other))
        assert all(torch.equal(value, others[key]) for key, value in own.items())


def without_gold(rows: list[dict[str, Any]], path: Path, *, every: int = 1) -> Path:
    """A file of the questions, some of which name no gold document."""
    for row in rows[::every]:
        row["passages"] = [passage | {"gold": False} for passage in row["passages"]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def plain(
    commands: Any, undropped: Path, run_here: Callable[..., int], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """One step of the default."""
    run = tmp_path_factory.mktemp("plain") / "run"
    assert run_here(*commands.fit_joint(run, undropped, *ONE_STEP)) == 0
    return run


def test_where_gold_documents_alone_teach_the_retriever_the_other_questions_are_counted(
    commands: Any, clara: Any, undropped: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in commands.files.questions.read_text(encoding="utf-8").splitlines()]
    data = without_gold(rows, tmp_path / "qa.jsonl", every=2)
    fit = commands.fit_joint(tmp_path / "run", undropped, *ONE_STEP, *estimators("Contrastive"), "--data.train", data)
    outcome = clara(*fit)
    assert outcome.code == 0
    assert "4 of 8 training questions name no gold document and teach the generator alone" in outcome.err


@pytest.mark.parametrize("name", ["Published", "Gumbel", "ReinMax", "LeaveOneOut", "Distill", "Contrastive"])
def test_each_estimator_trains_the_query_reasoner_its_own_way(
    name: str, commands: Any, clara: Any, undropped: Path, plain: Path, tmp_path: Path
) -> None:
    assert clara(*commands.fit_joint(tmp_path / "run", undropped, *ONE_STEP, *estimators(name))).code == 0
    own, other = reasoner(tmp_path / "run"), reasoner(plain)
    assert any(not torch.equal(value, other[key]) for key, value in own.items())


def test_with_gold_documents_the_default_is_contrastive(
    commands: Any, clara: Any, undropped: Path, plain: Path, tmp_path: Path
) -> None:
    gold = (*ONE_STEP, *estimators("Contrastive", hardest=7))
    assert clara(*commands.fit_joint(tmp_path / "run", undropped, *gold)).code == 0
    same_adapters(tmp_path / "run", plain)


def test_without_gold_documents_the_default_is_distillation(
    commands: Any, clara: Any, undropped: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in commands.files.questions.read_text(encoding="utf-8").splitlines()]
    data = without_gold(rows, tmp_path / "qa.jsonl")
    for name, own in (("default", ()), ("distill", estimators("Distill", documents=5))):
        fit = commands.fit_joint(tmp_path / name, undropped, *ONE_STEP, "--data.train", data, *own)
        assert clara(*fit).code == 0
    same_adapters(tmp_path / "default", tmp_path / "distill")
    start = load_file(undropped / COMPRESSOR / WEIGHTS)  # of which the reasoner begins as a copy
    assert any(not torch.equal(value, start[key]) for key, value in reasoner(tmp_path / "default").items())


def test_the_loss_of_distill_is_that_of_documents_read_one_by_one(
    commands: Any, clara: Any, undropped: Path, tmp_path: Path
) -> None:
    whole = (*STILL, "--data.batch_size", 8, "--model.temperature", 0.1, *estimators("Distill", temperature=0.5))
    assert clara(*commands.fit_joint(tmp_path / "run", undropped, *whole)).code == 0
    backbone = build_from_folder(AdapterFolder.open(undropped), backbone=BackboneConfig(dtype="float32")).eval()
    losses = []
    with torch.no_grad():
        for question in read_questions(str(commands.files.questions)):
            query = backbone.read([question.question], adapter=COMPRESSOR)
            memory_NLD = backbone.compress([passage.content for passage in question.passages])
            scores_1N = maxsim(query.memory_NLD, memory_NLD, query.weights_NL)
            prompt = answering_request(question, template=PromptTemplate(), documents=1)
            costs = [backbone.answer_loss([prompt], one.unsqueeze(0)).mean for one in memory_NLD]
            losses.append(distillation(scores_1N / 0.1, torch.stack(costs).unsqueeze(0), temperature=0.5))
    assert logged(tmp_path / "run", "train/estimator_loss")[0] == pytest.approx(
        float(torch.cat(losses).mean()), rel=1e-4
    )


def test_a_question_that_took_no_gold_document_reads_one(
    commands: Any, clara: Any, undropped: Path, tmp_path: Path
) -> None:
    one = (*STILL, *ONE_STEP, "--data.batch_size", 8, "--model.top_k", 1)
    ways = {"taken": ("--model.read_gold", 0), "gold": ("--model.read_gold", 1), "some": ()}
    ways |= {"by answers": estimators("StraightThrough")}
    for name, options in ways.items():
        assert clara(*commands.fit_joint(tmp_path / name, undropped, *one, *options)).code == 0
    backbone = build_from_folder(AdapterFolder.open(undropped), backbone=BackboneConfig(dtype="float32")).eval()
    with torch.no_grad():
        questions = list(read_questions(str(commands.files.questions)))
        prompts = [answering_request(question, template=PromptTemplate(), documents=1) for question in questions]
        gold = [passage.content for question in questions for passage in question.passages if passage.gold]
        loss = backbone.answer_loss(prompts, backbone.compress(gold))
    (taken,), (read,), (some,), (by_answers,) = (logged(tmp_path / name, "train/loss") for name in ways)
    assert read == pytest.approx(float(loss.sum_B.sum() / loss.tokens_B.sum()), rel=1e-4)
    assert len({taken, some, read}) == 3
    assert by_answers == taken  # a document that was not taken would teach no score


def test_a_sum_with_success_weights_trains_and_shows_both_losses(
    commands: Any, clara: Any, undropped: Path, tmp_path: Path
) -> None:
    both = estimators("StraightThrough", "Distill", success_temperature=1.0)
    assert clara(*commands.fit_joint(tmp_path / "run", undropped, *both, *ONE_STEP)).code == 0
    assert len(logged(tmp_path / "run", "train/loss")) == len(logged(tmp_path / "run", "train/estimator_loss")) == 1


def test_without_gold_documents_the_reader_teaches_and_no_answer_is_read_from_what_was_taken(
    commands: Any, clara: Any, undropped: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in commands.files.questions.read_text(encoding="utf-8").splitlines()]
    data = without_gold(rows, tmp_path / "qa.jsonl", every=2)
    made = [
        {"class_path": "clara_lightning.Contrastive"},
        {"class_path": "clara_lightning.Distill", "init_args": {"unlabelled": True}},
    ]
    warm_up = ("--model.estimators", json.dumps(made), "--model.train_generator", "false", "--model.temperature", 0.5)
    fit = commands.fit_joint(tmp_path / "run", undropped, *warm_up, "--data.train", data)

    outcome = clara(*fit)

    assert outcome.code == 0, outcome.err
    assert "4 of 8 training questions name no gold document and teach by the other estimators alone" in outcome.err
    assert len(logged(tmp_path / "run", "train/loss")) == 4 and not logged(tmp_path / "run", "train/estimator_loss")
    kept, before = (load_file(each / "generator" / WEIGHTS) for each in (tmp_path / "run" / "adapters", undropped))
    assert all(torch.equal(value, before[key]) for key, value in kept.items())


@pytest.mark.slow
def test_a_killed_training_with_drawn_candidates_and_documents_ends_as_the_undisturbed(
    commands: Any, clara: Any, start_clara: Any, undropped: Path, tmp_path: Path
) -> None:
    (tmp_path / "killer.py").write_text(KILLER, encoding="utf-8")
    store = tmp_path / "store"
    assert clara(*commands.predict(store, undropped)).code == 0
    mix = '{"search": 0.5, "random": 0.5, "gold": 0.7, "final_gold": 0.1}'
    drawn = (*estimators("Gumbel", "LeaveOneOut"), "--model.standardise", "true", "--model.temperature", 0.5)
    drawn += ("--model.store", store, "--model.candidates", mix, "--model.num_candidates", 6)
    fit = commands.fit_joint(tmp_path / "run", undropped, *drawn)
    killed = start_clara(*fit, "--trainer.callbacks", "killer.KillAtThree", path=tmp_path)
    _, errors = killed.communicate(timeout=240)
    assert killed.returncode == -signal.SIGKILL, errors

    assert clara(*fit, "--ckpt_path", "last").code == 0
    assert clara(*commands.fit_joint(tmp_path / "whole", undropped, *drawn)).code == 0
    own, other = reasoner(tmp_path / "run"), reasoner(tmp_path / "whole")
    assert all(torch.equal(value, other[key]) for key, value in own.items())


def test_an_annealed_temperature_ends_where_it_should_and_is_handed_on(
    commands: Any, clara: Any, undropped: Path, tmp_path: Path
) -> None:
    annealed = ("--model.temperature", 1.0, "--model.final_temperature", 0.01)
    assert clara(*commands.fit_joint(tmp_path / "run", undropped, *annealed)).code == 0
    found = logged(tmp_path / "run", "train/temperature")
    assert found == pytest.approx([1.0, 0.01 ** (1 / 3), 0.01 ** (2 / 3), 0.01], rel=1e-5)
    assert AdapterFolder.open(tmp_path / "run").retrieval.temperature == pytest.approx(0.01)


@pytest.mark.parametrize("teaching", [(), (*estimators("Contrastive"), "--model.train_generator", "false")])
def test_a_learned_temperature_is_trained_resumed_and_handed_on(
    teaching: tuple[object, ...], commands: Any, clara: Any, undropped: Path, tmp_path: Path
) -> None:
    learned = ("--model.learn_temperature", "true", "--model.temperature", 0.5, *teaching)
    fast = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", 0.01)
    fit = commands.fit_joint(tmp_path / "run", undropped, *learned, *fast)
    assert clara(*fit, "--trainer.max_steps", 2).code == 0
    found = logged(tmp_path / "run", "train/temperature")
    assert found[0] == pytest.approx(0.5) and found[1] != found[0]
    assert clara(*fit, "--ckpt_path", "last").code == 0
    found = logged(tmp_path / "run", "train/temperature")
    assert len(set(found)) == 4
    assert AdapterFolder.open(tmp_path / "run").retrieval.temperature != pytest.approx(0.5)


def test_a_temperature_that_is_learned_is_refused_in_shards(
    commands: Any, start_clara: Any, finish: Any, undropped: Path, tmp_path: Path
) -> None:
    sharded = ("--trainer.strategy", "sharded", "--model.learn_temperature", "true")
    refused = finish(start_clara(*commands.fit_joint(tmp_path / "run", undropped, *sharded)))
    assert "learn_temperature must be false where trainer.strategy is sharded" in refused.mistake


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (estimators("Distill", temperature=0.0), "temperature of Distill must be > 0, got 0.0"),
        (
            ("--model.top_k", 1, *estimators("LeaveOneOut")),
            "top_k must be from 2 to 8 with the estimator LeaveOneOut, got 1",
        ),
        (("--model.estimators", "[]"), "model.init_args.estimators must not be empty"),
        (estimators("Distil"), "model.init_args.estimators: "),
        (estimators("Distill", tau=1.0), "model.init_args.estimators.init_args.tau: no such setting"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(
    options: tuple[object, ...], message: str, commands: Any, clara: Any, undropped: Path, tmp_path: Path
) -> None:
    outcome = clara(*commands.fit_joint(tmp_path / "run", undropped, *options))
    assert outcome.code == 2
    (line,) = outcome.err.strip().splitlines()
    assert message in line
    assert not (tmp_path / "run").exists()
