"""Stages 1 and 2 through the command line: what a run folder holds, and what a checkpoint does not."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file


def test_a_run_folder_holds_configuration_checkpoint_adapters_metrics_and_events(compressor_run: Path) -> None:
    assert yaml.safe_load((compressor_run / "config.yaml").read_text(encoding="utf-8"))["model"]["class_path"] == (
        "clara_lightning.SalientCompressor"
    )
    assert (compressor_run / "checkpoints" / "last.ckpt").is_file()
    assert (compressor_run / "adapters" / "clara.yaml").is_file()
    assert list(compressor_run.glob("events.out.tfevents.*"))


def test_metrics_have_a_row_for_every_step_and_every_validation(compressor_run: Path) -> None:
    with (compressor_run / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    assert [int(row["step"]) for row in rows if row["train/loss"]] == list(range(8))
    assert [(row["epoch"], row["step"]) for row in rows if row["val/loss"]] == [("0", "3"), ("1", "7")]
    for row in rows:
        if row["val/loss"]:
            assert row["val/loss"] == row["val/ce_memory"]
            assert all(row[f"val/ce_{name}"] for name in ("none", "another", "memory", "text"))
        else:
            expected = float(row["train/ce"]) + 0.1 * float(row["train/mse"])
            assert abs(float(row["train/loss"]) - expected) < 1e-5


def test_a_checkpoint_loads_without_pickle_and_holds_adapters_and_memory_tokens_alone(compressor_run: Path) -> None:
    checkpoint = torch.load(compressor_run / "checkpoints" / "last.ckpt", weights_only=True)

    names = set(checkpoint["state_dict"])
    assert all("lora_" in name or name.startswith("backbone.heads.") for name in names)
    for part in (".compressor.", ".generator."):
        assert any("lora_" in name and part in name for name in names)
    assert "backbone.heads.compressor.tokens_LD" in names


def test_the_adapters_are_those_of_the_last_checkpoint(compressor_run: Path) -> None:
    state = torch.load(compressor_run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    heads = load_file(compressor_run / "adapters" / "memory_tokens.safetensors")
    generator = load_file(compressor_run / "adapters" / "generator" / "adapter_model.safetensors")

    assert heads and generator
    for name, value in heads.items():
        assert torch.equal(value, state[f"backbone.heads.{name}"])
    for name, value in generator.items():
        key = "backbone.lm." + name.replace(".weight", ".generator.weight")
        assert torch.equal(value, state[key])


def test_a_second_stage_goes_on_from_the_adapters_of_the_first(
    commands: Any, clara: Any, compressor: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    data = ("--data", "clara_lightning.InstructDataModule", "--data.train", commands.files.questions)
    data += ("--data.val", commands.files.questions, "--data.batch_size", 2, "--data.documents_per_question", 2)
    still = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", 0.0, "--trainer.max_steps", 1)
    fit = commands.fit_compressor(run, *data, *still, init_from=compressor)

    assert clara(*fit).code == 0

    for file in ("memory_tokens.safetensors", "compressor/adapter_model.safetensors"):
        before, after = load_file(compressor / file), load_file(run / "adapters" / file)
        assert before.keys() == after.keys()
        assert all(torch.equal(value, after[name]) for name, value in before.items())
    header = yaml.safe_load((run / "adapters" / "clara.yaml").read_text(encoding="utf-8"))
    assert header["parent"] == yaml.safe_load((compressor / "clara.yaml").read_text(encoding="utf-8"))["fingerprint"]


def test_init_from_with_another_memory_is_refused(commands: Any, clara: Any, compressor: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    refused = clara(*commands.fit_compressor(run, init_from=compressor), "--model.memory_tokens", 8)

    assert refused.mistake == (
        f"model.init_args.memory_tokens is 8, but the adapters in {compressor} were trained with 4; "
        "model.init_args.resize true adapts them"
    )
    assert not run.exists()


@pytest.mark.parametrize(
    ("precision", "dtype", "frozen"),
    [
        ("32-true", "auto", None),
        ("bf16-mixed", "float32", "float32"),
        ("bf16-mixed", "bfloat16", "bfloat16"),
        ("16-mixed", "float32", "float32"),
        ("bf16-true", "auto", "bfloat16"),
        ("16-true", "auto", "float16"),
    ],
)
def test_adapters_and_optimizer_states_are_float32_in_every_precision(
    precision: str, dtype: str, frozen: str | None, commands: Any, clara: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    options = ("--trainer.precision", precision, "--model.backbone.dtype", dtype, "--trainer.max_steps", 2)

    outcome = clara(*commands.fit_compressor(run, *options))

    assert outcome.code == 0, outcome.err
    adapters = load_file(run / "adapters" / "generator" / "adapter_model.safetensors")
    assert {value.dtype for value in adapters.values()} == {torch.float32}
    states = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"][0]["state"].values()
    assert {state["exp_avg"].dtype for state in states} == {torch.float32}
    shown = yaml.safe_load((run / "settings_in_effect.yaml").read_text(encoding="utf-8"))
    assert frozen is None or shown["backbone"].endswith(f"in {frozen}")


@pytest.mark.parametrize(("tokens", "document_tokens"), [(3, 40), (6, 48)])
def test_resize_keeps_the_memory_tokens_that_both_have(
    tokens: int, document_tokens: int, commands: Any, clara: Any, compressor_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    sizes = ("--model.memory_tokens", tokens, "--model.document_tokens", document_tokens, "--model.resize", "true")
    still = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", 0.0, "--trainer.max_steps", 1)

    outcome = clara(*commands.fit_compressor(run, *sizes, *still, init_from=compressor_run))  # a run folder will do

    assert outcome.code == 0
    shown = yaml.safe_load((run / "settings_in_effect.yaml").read_text(encoding="utf-8"))
    assert shown["init_from"] == f"{compressor_run / 'adapters'} (SalientCompressor): loaded compressor, generator"
    assert shown["memory"].startswith(f"words, {document_tokens} tokens to {tokens} (")
    assert shown["memory"].endswith("resized from 40 to 4")
    assert all(value in outcome.err for value in shown.values())
    before, after = (
        load_file(path / "adapters" / "memory_tokens.safetensors")["compressor.tokens_LD"]
        for path in (compressor_run, run)
    )
    assert after.shape[0] == tokens
    assert torch.equal(after[:4], before[:tokens])
    header = yaml.safe_load((run / "adapters" / "clara.yaml").read_text(encoding="utf-8"))
    assert (header["memory"]["tokens"], header["memory"]["document_tokens"]) == (tokens, document_tokens)


def test_resize_does_not_change_the_kind_of_memory(commands: Any, clara: Any, compressor: Path, tmp_path: Path) -> None:
    other = ("--model.memory", "calibrated", "--model.resize", "true")
    refused = clara(*commands.fit_compressor(tmp_path / "run", *other, init_from=compressor))
    assert refused.mistake.endswith("were trained with words")


def test_validate_measures_the_adapters_of_a_run(commands: Any, clara: Any, compressor_run: Path) -> None:
    fit = commands.fit_compressor(compressor_run)
    validate = ["validate", *fit[1:], "--ckpt_path", compressor_run / "checkpoints" / "last.ckpt"]
    with (compressor_run / "metrics.csv").open(encoding="utf-8") as file:
        last = [row for row in csv.DictReader(file) if row["val/loss"]][-1]

    outcome = clara(*validate)

    assert outcome.code == 0
    assert f"{float(last['val/loss']):.4f}"[:5] in outcome.out


def test_adapters_can_be_loaded_by_peft_alone(compressor: Path, tiny_model_folder: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model_folder), compressor / "generator")

    settings = json.loads((compressor / "generator" / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["base_model_name_or_path"] == str(tiny_model_folder)
    assert any("lora_B" in name and bool(value.any()) for name, value in model.state_dict().items())
