"""A user's mistake is one line on stderr and exit code 2, and leaves every folder as it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class World:
    """Everything that a command may name; ``folder`` is where a case writes its own files."""

    commands: Any
    compressor_run: Path
    compressor: Path
    joint: Path
    store: Path
    folder: Path

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def fit(self, *options: object) -> list[object]:
        return [*self.commands.fit_compressor(self.folder / "run"), *options]

    def fit_joint(self, *options: object) -> list[object]:
        return [*self.commands.fit_joint(self.folder / "run", self.compressor), *options]

    def predict(self, *options: object) -> list[object]:
        return [*self.commands.predict(self.folder / "new-store", self.compressor), *options]

    def evaluate(self, *options: object) -> list[object]:
        data = ("--data", self.commands.files.questions, "--out", self.folder / "report")
        return ["evaluate", "--adapters", self.joint, *data, "--dtype", "float32", "--device", "cpu", *options]

    def ask(self, *options: object) -> list[object]:
        return ["ask", "--adapters", self.joint, "--store", self.store, "--device", "cpu", *options, "Why ?"]


@pytest.fixture
def world(commands: Any, compressor_run: Path, compressor: Path, joint: Path, store: Path, tmp_path: Path) -> World:
    return World(commands, compressor_run, compressor, joint, store, tmp_path)


DOCUMENT = '{"id": "d0", "text": "once"}\n'
Case = tuple[Callable[[World], list[object]], str]

CASES: dict[str, Case] = {
    "no verb of ours": (lambda w: ["train"], "no such verb: train (there are fit, validate, test, predict, ask, "),
    "an unknown option of a training verb": (lambda w: w.fit("--trainer.speed", 3), "speed"),
    "hybrid search of a store without an index": (
        lambda w: w.ask("--hybrid", "weighted"),
        "has no BM25 index: build it with clara store index ",
    ),
    "a hybrid weight alone": (
        lambda w: w.ask("--hybrid-weight", 0.5),
        "--hybrid-weight has no effect without --hybrid",
    ),
    "a method of hybrid search": (
        lambda w: w.ask("--hybrid", "sum"),
        "argument --hybrid: invalid choice: 'sum' (choose from",
    ),
    "an explanation of a hybrid search": (
        lambda w: w.ask("--explain", "--hybrid", "weighted"),
        "--explain: its soft choice is one of trained scores: leave out --hybrid",
    ),
    "an index of no store": (lambda w: ["store", "index", w.folder], "is no store (its encoding is not finished"),
    "an unknown option of another verb": (
        lambda w: w.ask("--speed", 3),
        "ask: unrecognized arguments: --speed",
    ),
    "a missing option": (lambda w: ["search"], "search: the following arguments are required: question"),
    "an option of a wrong type": (lambda w: w.ask("--top-k", "many"), "argument --top-k: invalid int value: 'many'"),
    "a setting of a wrong type": (lambda w: w.fit("--model.memory_tokens", "many"), "memory_tokens"),
    "an unknown key in a configuration": (
        lambda w: w.fit("--config", w.write("c.yaml", "model:\n  init_args:\n    memory_token: 4\n")),
        "memory_token",
    ),
    "a configuration that is no YAML": (
        lambda w: ["fit", "--config", w.write("c.yaml", "model: [\n")],
        "c.yaml",
    ),
    "no such configuration": (lambda w: ["fit", "--config", w.folder / "none.yaml"], "none.yaml"),
    "no model": (lambda w: ["fit"], "model"),
    "an unknown model": (lambda w: ["fit", "--model", "clara_lightning.Compressor"], "clara_lightning.Compressor"),
    "no such backbone": (
        lambda w: w.fit("--model.backbone.name", w.folder / "nothing"),
        "model.init_args.backbone.name: no such folder: ",
    ),
    "a backbone folder without a model": (
        lambda w: w.fit("--model.backbone.name", w.folder),
        "model.init_args.backbone.name: cannot load ",
    ),
    "no backbone": (
        lambda w: (
            ["fit", "--model", "clara_lightning.SalientCompressor", "--data", "clara_lightning.SCPDataModule"]
            + ["--data.train", w.commands.files.scp, "--trainer.default_root_dir", w.folder / "run"]
        ),
        "model.init_args.backbone.name is required: a hub id, a folder or a .gguf file",
    ),
    "a setting with a letter too few": (
        lambda w: w.fit("--model.memory_token", 3),
        "model.init_args.memory_token: no such setting; is it memory_tokens?",
    ),
    "an abbreviated option": (
        lambda w: w.fit("--trainer.max_step", 3),
        "trainer.max_step: no such setting; is it max_steps?",
    ),
    "an optimizer that refuses": (
        lambda w: w.fit("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", -1),
        "model.init_args.optimizer: Invalid learning rate: -1.0",
    ),
    "memory tokens that unlearn": (
        lambda w: w.fit("--model.memory_lr_scale", -1),
        "model.init_args.memory_lr_scale must be >= 0, got -1.0",
    ),
    "LoRA on no layer": (
        lambda w: w.fit("--model.lora.target_modules", "[nothing]"),
        "model.init_args.lora",
    ),
    "a batch larger than the data": (
        lambda w: w.fit("--data.batch_size", 17),
        "data.init_args.batch_size: 1 x 17 (processes x batch_size) rows are a batch, data.init_args.train holds 16",
    ),
    "an unknown strategy": (lambda w: w.fit("--trainer.strategy", "spread"), "trainer: You selected an invalid strat"),
    "validation of no weights": (
        lambda w: ["validate", *w.fit()[1:]],
        "clara validate: --ckpt_path or model.init_args.init_from is required: whose weights?",
    ),
    "validation rows without a question": (
        lambda w: w.fit("--data.val", w.write("val.jsonl", '{"id": "a", "document": "x", "paraphrase": "y"}\n')),
        "val.jsonl: no row has a question-answer pair, and validation asks them",
    ),
    "no memory": (lambda w: w.fit("--model.memory_tokens", 0), "model.init_args.memory_tokens must be >= 1, got 0"),
    "more memory than document": (
        lambda w: w.fit("--model.memory_tokens", 50),
        "model.init_args.document_tokens must be >= memory_tokens (50), got 40",
    ),
    "an empty batch": (lambda w: w.fit("--data.batch_size", 0), "data.init_args.batch_size must be >= 1, got 0"),
    "weights that would be rounded": (
        lambda w: w.fit("--trainer.precision", "bf16-true"),  # over float32 weights, which the command asks for
        "trainer.precision bf16-true and model.init_args.backbone.dtype float32 contradict each other",
    ),
    "no such data file": (lambda w: w.fit("--data.train", w.folder / "none.jsonl"), "none.jsonl"),
    "no data": (
        lambda w: [*w.predict()[:5], "--data", "clara_lightning.CorpusDataModule", "--encoder.store", w.folder / "s"],
        "data.init_args.documents is required for clara predict: files of documents",
    ),
    "a line that is no JSON": (
        lambda w: w.predict("--data.documents", w.write("d.jsonl", DOCUMENT + "{\n")),
        "d.jsonl:2: ",
    ),
    "a field of a wrong type": (
        lambda w: w.fit("--data.train", w.write("s.jsonl", '{"id": "1", "document": "D", "pairs": "none"}\n')),
        "s.jsonl:1: pairs: expected a list, got a string ('none')",
    ),
    "an empty document": (
        lambda w: w.predict("--data.documents", w.write("d.jsonl", DOCUMENT + '{"id": "d1", "text": ""}\n')),
        "d.jsonl:2: text: empty",
    ),
    "a document id twice": (
        lambda w: w.predict("--data.documents", w.write("d.jsonl", DOCUMENT * 2)),
        "d.jsonl:2: id: 'd0' is the id of an earlier document",
    ),
    "no documents": (lambda w: w.predict("--data.documents", w.write("d.jsonl", "")), "d.jsonl: holds no documents"),
    "no store to write": (
        lambda w: w.predict("--encoder.store", "null"),
        "encoder.store is required for clara predict: the folder to write",
    ),
    "a compressor that is not trained": (
        lambda w: (
            ["predict", *w.fit()[1:], "--data", "clara_lightning.CorpusDataModule"]
            + ["--data.documents", w.commands.files.documents, "--encoder.store", w.folder / "s"]
        ),
        "model.init_args.init_from is required for clara predict: the trained compressor's adapters",
    ),
    "adapters that are none": (
        lambda w: w.fit_joint("--model.init_from", w.folder),
        "is no adapter folder (it has no clara.yaml)",
    ),
    "a joint training from nothing": (
        lambda w: w.fit_joint("--model.init_from", "null", "--model.store", w.store),
        "model.init_args.init_from is required with a store: the adapters that it was made with",
    ),
    "a checkpoint of another stage": (
        lambda w: w.fit_joint("--ckpt_path", w.compressor_run / "checkpoints" / "last.ckpt"),
        "--ckpt_path: the checkpoint is of SalientCompressor, this run trains JointRAGModule",
    ),
    "no such checkpoint": (lambda w: w.fit("--ckpt_path", w.folder / "no.ckpt"), "--ckpt_path: no such file: "),
    "a checkpoint that is none": (
        lambda w: w.fit("--ckpt_path", w.write("x.ckpt", "x")),
        "x.ckpt is no checkpoint: ",
    ),
    "a run folder that holds a run": (
        lambda w: w.commands.fit_compressor(w.compressor_run),
        "already holds a run: resume it with --ckpt_path last, or choose another folder",
    ),
    "more documents than candidates, in training": (
        lambda w: w.fit_joint("--model.top_k", 9),
        "model.init_args.top_k is 9, but question 'q0': passages: has 4 passages",
    ),
    "more documents than candidates, in evaluation": (
        lambda w: w.evaluate("--top-k", 9),
        "--top-k must be <= 4, the candidates of a question, got 9",
    ),
    "more documents than the store has, in evaluation": (
        lambda w: w.evaluate("--store", w.store, "--top-k", 41),
        "--top-k must be <= 40, the documents of the store, got 41",
    ),
    "more documents than the store has, in an answer": (
        lambda w: w.ask("--top-k", 41),
        "--top-k must be between 1 and the store's 40 documents, got 41",
    ),
    "questions without gold, with a store": (
        lambda w: w.evaluate(
            *("--store", w.store, "--data"), w.write("q.jsonl", '{"id": "q", "question": "Q", "answers": ["a"]}\n')
        ),
        "q.jsonl: question 'q': gold_ids: missing, but gold memory and Recall need them",
    ),
    "questions without gold, with passages": (
        lambda w: w.evaluate(
            "--data",
            w.write(
                "q.jsonl",
                '{"id": "q", "question": "Q", "answers": ["a"], "passages": [{"text": "t", "gold": false}]}\n',
            ),
        ),
        "q.jsonl: question 'q': passages: none is gold, but gold memory and Recall need one (or give --store",
    ),
    "a gold document that is not in the store": (
        lambda w: w.evaluate(
            *("--store", w.store, "--data"),
            w.write("q.jsonl", '{"id": "q", "question": "Q", "answers": ["a"], "gold_ids": ["z"]}\n'),
        ),
        "q.jsonl: question 'q': gold_ids: document 'z' is not in the store",
    ),
    "no such store": (lambda w: w.ask("--store", w.folder / "none"), "--store: "),
    "no question": (lambda w: [*w.ask()[:-1], " "], "question"),
    "answers of no length": (lambda w: w.ask("--max-new-tokens", 0), "--max-new-tokens must be >= 1, got 0"),
    "answers of no length, in evaluation": (
        lambda w: w.evaluate("--max-new-tokens", 0),
        "--max-new-tokens must be >= 1, got 0",
    ),
    "a device that is not there": (lambda w: w.ask("--device", "gpu"), "--device"),
    "as many processes as there are not": (lambda w: w.fit("--trainer.accelerator", "gpu"), "gpu"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_line_and_changes_nothing(name: str, world: World, clara: Any, bytes_of: Any) -> None:
    command, message = CASES[name]
    args = command(world)
    before = bytes_of(world.store) | bytes_of(world.compressor_run) | bytes_of(world.joint)

    outcome = clara(*args)

    assert message in outcome.mistake
    assert outcome.out == ""
    assert bytes_of(world.store) | bytes_of(world.compressor_run) | bytes_of(world.joint) == before
    left = {path.name for path in world.folder.iterdir() if path.is_dir()}
    assert left <= {"run"}  # a run folder may hold its configuration
    assert not {path.name for path in (world.folder / "run").glob("*")} & {"checkpoints", "adapters"}


def test_a_store_of_another_compressor_is_refused_by_every_verb(world: World, clara: Any, bytes_of: Any) -> None:
    assert clara(*world.fit("--trainer.max_steps", 1)).code == 0
    other, before = world.folder / "run" / "adapters", bytes_of(world.store)

    for args in (
        world.ask("--adapters", other),
        world.evaluate("--adapters", other, "--store", world.store),
        world.commands.fit_joint(world.folder / "joint", other, "--model.store", world.store),
    ):
        assert "was made by compressor" in clara(*args).mistake
    assert bytes_of(world.store) == before


def test_a_process_of_its_own_says_one_line_too(world: World, start_clara: Any, finish: Any) -> None:
    bad = world.write("bad.jsonl", "{\n")

    outcome = finish(start_clara(*world.fit("--data.train", bad)))

    assert outcome.mistake.startswith(f"{bad}:1: ")


def test_markup_in_a_message_is_shown_as_it_is(world: World, clara: Any) -> None:
    name = os.path.join(str(world.folder), "[red]x[/red].jsonl")

    assert "[red]x[/red].jsonl" in clara(*world.fit("--data.train", name)).mistake
