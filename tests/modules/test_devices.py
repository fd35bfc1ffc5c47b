"""However a step is spread over batches, processes and shards, the run is the same; to float tolerance."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

STAGES = ("joint",)
BESIDE = (
    *(
        "--model.estimators",
        '[{"class_path": "clara_lightning.StraightThrough"}, {"class_path": "clara_lightning.Contrastive"}]',
    ),
    *("--model.query.projection", 2, "--model.query.importance", "true"),
)
BY_ANSWERS = ("--model.estimators", '[{"class_path": "clara_lightning.StraightThrough"}]')
CONTRASTIVE = '[{"class_path": "clara_lightning.Contrastive"}]'
IN_PART = (
    "--model.estimators",
    '[{"class_path": "clara_lightning.Contrastive"}, '
    '{"class_path": "clara_lightning.Distill", "init_args": {"unlabelled": true}}]',
)
# slow: stage 1 with distillation and without, stage 3 by gold documents, and where some questions have none
MORE_STAGES = ("distilled", "compressor", "contrastive", "beside", "in part")
RETAINED = "val/information_retained"  # a share of small differences
PLAIN = ("--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", 1.0, "--trainer.gradient_clip_val", 1.0)
TWO = ("--trainer.devices", 2, "--data.batch_size", 2)
OF_A_BATCH = ("distinct_share", "entropy", "selection_entropy", "top_share")
SPREADS: dict[str, tuple[object, ...]] = {
    "accumulated": ("--trainer.accumulate_grad_batches", 2, "--data.batch_size", 2),
    "ddp": (*TWO, "--trainer.strategy", "ddp"),
    "sharded, recomputed, accumulated": (
        *("--trainer.strategy", "sharded", "--trainer.devices", 2),
        *("--data.batch_size", 1, "--trainer.accumulate_grad_batches", 2),
        *("--model.backbone.gradient_checkpointing", "true"),
    ),
}


def rows_of(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def tensors_of(run: Path) -> dict[str, torch.Tensor]:
    files = sorted((run / "adapters").rglob("*.safetensors"))
    return {f"{file.parent.name}/{name}": value for file in files for name, value in load_file(file).items()}


def state_of(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)  # type: ignore[no-any-return]


def size_of(run: Path) -> int:
    return (run / "checkpoints" / "last.ckpt").stat().st_size


def assert_alike(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def alike(commands: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions that all have the same candidates: what a batch adds to them is nothing, however it is spread."""
    rows = [json.loads(line) for line in commands.files.questions.read_text(encoding="utf-8").splitlines()]
    texts = [next(passage for passage in row["passages"] if passage["gold"]) for row in rows[:4]]
    for number, row in enumerate(rows):
        row["passages"] = [text | {"gold": place == number % 4} for place, text in enumerate(texts)]
    path = tmp_path_factory.mktemp("alike") / "qa.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def in_part(alike: Path) -> Path:
    """The same, of which three name no gold document: some pair of processes has one of them and one of the others."""
    rows = [json.loads(line) for line in alike.read_text(encoding="utf-8").splitlines()]
    for row in rows[:3]:
        row["passages"] = [passage | {"gold": False} for passage in row["passages"]]
    path = alike.with_name("in_part.jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def fit(commands: Any, undropped: Path, alike: Path, in_part: Path) -> Callable[..., list[object]]:
    """The command of a stage in two steps; plain gradient descent, so that a wrong scale of a gradient shows."""

    def command(stage: str, run: Path, *options: object) -> list[object]:
        two_steps = ("--trainer.max_epochs", 1, "--trainer.max_steps", 2, "--data.max_val_rows", 5, *PLAIN)
        two_steps += ("--best.monitor", "val/loss", "--best.mode", "min")
        if stage not in ("compressor", "distilled"):
            frozen = ("--model.train_generator", "false", "--model.estimators", CONTRASTIVE)
            contrast = (*frozen, "--data.train", alike, "--data.val", alike)
            two_steps += BY_ANSWERS if stage == "joint" else ()
            two_steps += contrast if stage == "contrastive" else ()
            two_steps += (*BESIDE, "--data.train", alike, "--data.val", alike) if stage == "beside" else ()
            two_steps += (*IN_PART, "--data.train", in_part, "--data.val", alike) if stage == "in part" else ()
            return [*commands.fit_joint(run, undropped), "--data.batch_size", 4, *two_steps, *options]
        half = ("--trainer.limit_train_batches", 0.5)  # so that the validation after an epoch is reached
        distilled = (
            ("--model.memory_layer", 1, "--model.memory_mlp", 4, "--model.distill", 0.5) if stage == "distilled" else ()
        )
        return [*commands.fit_compressor(run), *two_steps, *half, "--model.lora.dropout", 0.0, *distilled, *options]

    return command


@pytest.fixture(scope="module", params=[*STAGES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE_STAGES)])
def alone(
    request: pytest.FixtureRequest, fit: Any, run_here: Callable[..., int], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """A stage, and its run in one process with whole batches."""
    run = tmp_path_factory.mktemp("alone") / "run"
    assert run_here(*fit(request.param, run)) == 0
    return request.param, run


@pytest.mark.parametrize("spread", SPREADS)
def test_a_step_is_the_same_however_it_is_spread(
    spread: str,
    alone: tuple[str, Path],
    fit: Any,
    commands: Any,
    clara: Any,
    start_clara: Any,
    finish: Any,
    tmp_path: Path,
) -> None:
    stage, whole = alone
    run = tmp_path / "run"

    outcome = finish(start_clara(*fit(stage, run, *SPREADS[spread])))

    assert outcome.code == 0, outcome.err
    logged, expected = rows_of(run), rows_of(whole)
    assert [row.keys() for row in logged] == [row.keys() for row in expected]
    for row, other in zip(logged, expected, strict=True):
        compared = row.keys() - {f"train/{name}" for name in OF_A_BATCH} - {RETAINED}
        assert {name: row[name] for name in compared} == pytest.approx(
            {name: other[name] for name in compared}, rel=1e-4, abs=1e-5
        )
        assert row.get(RETAINED) == pytest.approx(other.get(RETAINED), abs=1e-3, nan_ok=True)
    assert_alike(tensors_of(run), tensors_of(whole))
    assert_alike(tensors_of(run / "best"), tensors_of(whole / "best"))
    assert_alike(*(state_of(path)["state_dict"] for path in (run, whole)))
    assert state_of(run).keys() == state_of(whole).keys()
    assert size_of(run) < 1.1 * size_of(whole)  # adapters alone, whatever holds the backbone
    # What one strategy trained, another goes on with: the next stage, and this one.
    assert (
        stage != "compressor" or clara(*commands.fit_joint(tmp_path / "next", run, "--trainer.max_steps", 1)).code == 0
    )
    longer = ("--trainer.max_epochs", 2, "--trainer.max_steps", 3, "--ckpt_path", "last")
    resumed = clara(*fit(stage, run, *longer))
    assert resumed.code == 0, resumed.err
    assert [row["step"] for row in rows_of(run) if "train/loss" in row] == [0, 1, 2]


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@pytest.mark.parametrize("strategy", ["ddp", "sharded"])
def test_two_gpus_do_the_step_of_one_process(
    strategy: str, alone: tuple[str, Path], fit: Any, start_clara: Any, finish: Any, tmp_path: Path
) -> None:
    stage, whole = alone
    on_cards = ("--trainer.accelerator", "gpu", *TWO, "--trainer.strategy", strategy)

    outcome = finish(start_clara(*fit(stage, tmp_path / "run", *on_cards)))

    assert outcome.code == 0, outcome.err
    assert_alike(tensors_of(tmp_path / "run"), tensors_of(whole))


def test_an_adapter_without_gradient_is_named(commands: Any, clara: Any, compressor: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in commands.files.questions.read_text(encoding="utf-8").splitlines()]
    for row in rows:  # a choice of one among one: nothing for a search to learn
        row["passages"] = [passage for passage in row["passages"] if passage["gold"]]
    data = tmp_path / "qa.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    alone = ("--data.train", data, "--data.val", data, "--model.top_k", 1, *BY_ANSWERS)

    outcome = clara(*commands.fit_joint(tmp_path / "run", compressor, *alone))

    assert outcome.code == 2
    assert outcome.err.endswith(
        "clara: adapter 'query_reasoner' got no gradient in the first step: the loss does not depend on it\n"
    )


def test_packed_weights_in_shards_are_refused(commands: Any, start_clara: Any, finish: Any, tmp_path: Path) -> None:
    packed = ("--trainer.strategy", "sharded", "--model.backbone.quantization", "nf4")
    refused = finish(start_clara(*commands.fit_compressor(tmp_path / "run", *packed)))
    assert "quantization nf4: packed weights come out wrong of shards" in refused.mistake


def test_encoding_in_shards_is_refused(
    commands: Any, start_clara: Any, finish: Any, compressor: Path, tmp_path: Path
) -> None:
    predict = commands.predict(tmp_path / "store", compressor, "--trainer.strategy", "sharded")
    assert "clara predict gives each process documents of its own" in finish(start_clara(*predict)).mistake
