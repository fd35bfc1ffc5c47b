"""``clara estimate``, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from clara_lightning.cli.main import main
from clara_lightning.data.prompts import PromptTemplate

ROOT = Path(__file__).parents[2]
SHARDED = "--trainer.strategy=sharded"
FEW = ("--data.init_args.batch_size", "2")  # which is quickly traced
Run = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without data or runs, no network, an empty hub cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


def words(stage: str, backbone: str | None = "mistral-7b") -> list[str]:
    """Configuration files of a stage and a backbone."""
    files = [f"{stage}.yaml"] + ([f"backbone/{backbone}.yaml"] if backbone else [])
    return [word for file in files for word in ("--config", str(ROOT / "configs" / file))]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command with ``--json``."""

    def call(*options: str) -> dict[str, Any]:
        assert main(["estimate", *options, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def small(tiny_model_folder: Path) -> Callable[[str], list[str]]:
    """Options for a stage with a tiny backbone, without any data, and few rows at a time."""
    name = f"--model.init_args.backbone.name={tiny_model_folder}"
    dtype = "--model.init_args.backbone.dtype=bfloat16"
    checkpointing = "--model.init_args.backbone.gradient_checkpointing=true"
    return lambda stage: [*words(stage, None), name, dtype, checkpointing, *FEW]


@pytest.fixture
def tiny(tiny_model_folder: Path, tmp_path: Path) -> list[str]:
    """Options for a tiny backbone and a file of three documents."""
    pairs = [{"question": "Which town?", "answer": "Rome, on the river.", "kind": "simple"}]
    rows = [{"id": f"d{n}", "document": "Rome lies on a river. " * (n + 1), "pairs": pairs} for n in range(3)]
    path = tmp_path / "scp.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return [
        *words("compressor", None),
        *("--model.init_args.backbone.name", str(tiny_model_folder)),
        *("--data.init_args.train", str(path), "--data.init_args.batch_size", "1"),
        *("--trainer.accumulate_grad_batches", "2", "--trainer.max_epochs", "4"),
    ]


def test_mistral_takes_no_weights(run: Run) -> None:
    found = run(*words("compressor"), "--device", "h100:80gb:8", "--rows", "2000000", "--documents", "1000")

    assert found["backbone"]["source"].startswith("the table")
    assert found["parameters"]["backbone"] == 7_248_023_552
    assert found["parameters"]["adapters"] == {"compressor": 41_943_040, "generator": 41_943_040}
    assert found["memory"]["weights_bytes"] == 2 * 7_248_023_552
    assert found["memory"]["fits"]
    assert found["work"]["steps"] == -(-2_000_000 // (8 * 8))
    assert found["storage"]["store_bfloat16_bytes"] == 1000 * 16 * 4096 * 2


def test_the_parts_make_the_whole(small: Callable[[str], list[str]], run: Run) -> None:
    memory = run(*small("compressor"), "--device", "h100")["memory"]
    parts = ("weights", "gathered", "adapters", "gradients", "optimizer", "activations", "overhead")
    assert sum(memory[f"{part}_bytes"] for part in parts) == memory["total_bytes"]
    assert memory["margin_bytes"] == memory["available_bytes"] - memory["total_bytes"]
    with_it, without = (memory[f"activations_{word}_checkpointing_bytes"] for word in ("with", "without"))
    assert memory["activations_bytes"] == with_it < without


def test_hours_are_operations_over_speed(small: Callable[[str], list[str]], run: Run) -> None:
    found = run(*small("compressor"), "--device", "a100:2", "--mfu", "0.5", "--rows", "100000")
    work = found["work"]
    operations = (work["forward_flops"] + work["backward_flops"]) * work["steps"]
    assert work["hours"] == pytest.approx(operations / (0.5 * 312e12 * 2) / 3600)


def test_shards_are_parts(small: Callable[[str], list[str]], run: Run) -> None:
    one = run(*small("compressor"), "--device", "h100")["memory"]
    eight = run(*small("compressor"), "--device", "h100:8", SHARDED)["memory"]
    for part in ("weights", "gradients", "optimizer"):
        assert eight[f"{part}_bytes"] == one[f"{part}_bytes"] // 8
    assert eight["gathered_bytes"] > 0 == one["gathered_bytes"]


def test_replicas_hold_the_gradient_twice(small: Callable[[str], list[str]], run: Run) -> None:
    one = run(*small("compressor"), "--device", "h100")["memory"]
    two = run(*small("compressor"), "--device", "h100:2")["memory"]
    assert two["gradients_bytes"] == 2 * one["gradients_bytes"]
    assert two["weights_bytes"] == one["weights_bytes"]


def test_what_does_not_fit_gets_advice(run: Run) -> None:
    name = "--model.init_args.backbone.name=meta-llama/Llama-3.1-70B-Instruct"
    found = run(*words("compressor", None), name, "--device", "h100", *FEW)
    assert not found["memory"]["fits"]
    assert any("gradient_checkpointing true" in line for line in found["advice"])
    assert any("sharded" in line for line in found["advice"])


def test_stage_three_works_before_stage_one_has_run(small: Callable[[str], list[str]], run: Run) -> None:
    found = run(*small("joint"), "--device", "h100")
    assert any("runs/compressor/adapters is not there yet" in line for line in found["assumptions"])
    assert any("one by one, for questions without a gold document, is not" in line for line in found["assumptions"])
    assert set(found["parameters"]["adapters"]) == {"compressor", "generator", "query_reasoner"}
    assert found["parameters"]["frozen"] > found["parameters"]["backbone"]  # the compressor does not train


def test_candidates_from_a_store_are_not_compressed(small: Callable[[str], list[str]], run: Run) -> None:
    on_the_spot = run(*small("joint"), "--device", "h100")["work"]
    stored = run(*small("joint"), "--device", "h100", "--model.init_args.store", "runs/store")["work"]
    assert stored["forward_flops"] < on_the_spot["forward_flops"] / 2


def test_contrastive_training_answers_nothing(small: Callable[[str], list[str]], run: Run) -> None:
    stored = ("--device", "h100", "--model.init_args.store", "runs/store")
    answering = run(*small("joint"), *stored)
    contrastive = '[{"class_path": "clara_lightning.Contrastive"}]'
    frozen = ("--model.init_args.train_generator", "false", "--model.init_args.estimators", contrastive)
    contrast = run(*small("joint"), *stored, *frozen)
    generator = answering["parameters"]["adapters"]["generator"]
    assert contrast["parameters"]["trained"] == answering["parameters"]["trained"] - generator
    assert 0 < contrast["work"]["backward_flops"] < answering["work"]["backward_flops"] / 2
    assert 0 < contrast["work"]["tokens"] < answering["work"]["tokens"]


def test_stage_two_reads_several_documents(small: Callable[[str], list[str]], run: Run) -> None:
    work = run(*small("instruct"), "--device", "h100")["work"]
    assert work["examples"] == 2 * 32
    assert work["tokens"] > work["examples"] * 5 * 256


def test_encoding_only_reads(small: Callable[[str], list[str]], run: Run) -> None:
    found = run(*small("encode"), "--device", "h100", "--documents", "16000")
    assert found["work"]["backward_flops"] == 0
    assert found["work"]["steps"] == 8000
    assert found["parameters"]["trained"] == found["memory"]["optimizer_bytes"] == 0


def test_documents_of_all_files_are_counted_and_their_chunks(
    small: Callable[[str], list[str]], run: Run, tmp_path: Path
) -> None:
    for number in range(3):
        row = {"id": f"d{number}", "text": f"Rome lies on a river. {'It flows. ' * 200 * number}"}
        (tmp_path / f"{number}.jsonl").write_text(json.dumps(row), encoding="utf-8")
    options = [*small("encode"), "--device", "h100", "--data.init_args.documents", f"{tmp_path}/*.jsonl"]

    whole, chunks = run(*options), run(*options, "--data.init_args.chunk_tokens", "64")
    assert f"a store of the 3 documents of {tmp_path}/*.jsonl" in whole["assumptions"]
    (note,) = [line for line in chunks["assumptions"] if line.startswith("a store")]
    assert int(note.split()[4]) > 10 and note.endswith(f" chunks of the documents of {tmp_path}/*.jsonl")


def test_lengths_are_measured_on_the_training_file(tiny: list[str], run: Run) -> None:
    found = run(*tiny, "--device", "cpu")
    assert found["work"]["steps"] == 2 * 4  # three rows in steps of two, four epochs
    assert "3 of the 3 rows" in found["assumptions"][0]
    assert found["work"]["hours"] > 0


def test_an_adapter_folder_gives_its_settings(
    tiny: list[str], tiny_model_folder: Path, tmp_path: Path, run: Run
) -> None:
    from dataclasses import asdict

    header = {
        "format": 1,
        "stage": "SalientCompressor",
        "fingerprint": "",
        "parent": None,
        "backbone": {"name": str(tiny_model_folder), "revision": None},
        "architecture": {},
        "memory": {"tokens": 3, "document_tokens": 30, "kind": "calibrated"},
        "adapters": ["compressor", "generator"],
        "retrieval": {"score": "flat", "top_k": 2},
        "lora": {"rank": 5, "alpha": 5, "dropout": 0.0, "target_modules": "all-linear"},
        "prompt": asdict(PromptTemplate()),
    }
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "clara.yaml").write_text(yaml.safe_dump(header), encoding="utf-8")

    found = run(*words("joint", None), "--model.init_args.init_from", str(tmp_path / "adapters"), "--device", "t4")

    assert (found["backbone"]["memory_tokens"], found["backbone"]["document_tokens"]) == (3, 30)
    assert found["storage"]["document_bfloat16_bytes"] == 3 * 32 * 2


def test_a_stranger_can_read_it(tiny: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", *tiny, "--device", "t4"]) == 0
    shown = capsys.readouterr().out
    for line in ("fits: ", "Parameters", "Memory of a device", "Work", "Storage", "Taken for granted:"):
        assert line in shown


MISTAKES = {
    "no configuration": (["--device", "h100"], "estimate: --config is required"),
    "an unknown key": ([*words("compressor"), "--model.init_args.speed", "3"], "speed"),
    "a value of another type": ([*words("compressor"), "--trainer.max_steps", "x"], "trainer.max_steps: expected int"),
    "an unknown card": ([*words("compressor"), "--device", "h900"], "--device: 'h900' is unknown"),
    "a share above one": ([*words("compressor"), "--mfu", "35"], "--mfu must be in (0, 1], got 35.0"),
    "a number of no documents": ([*words("compressor"), "--documents", "0"], "--documents must be >= 1, got 0"),
    "no backbone before stage 1": (words("joint", None), "model.init_args.backbone.name is required, since"),
    "an unknown backbone": (
        [*words("compressor", None), "--model.init_args.backbone.name", "some/thing"],
        "nothing is known here about 'some/thing'",
    ),
    "no file": (["--config", "nowhere.yaml"], "nowhere.yaml"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    args, told = MISTAKES[case]
    assert main(["estimate", *args]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert told in shown.err
    assert shown.err.count("\n") == 1


def test_packed_weights_are_not_estimated_as_if_they_were_not(clara: Any) -> None:
    refused = clara("estimate", *words("compressor"), "--model.init_args.backbone.quantization", "nf4")
    assert "quantization nf4: clara estimate does not know packed weights" in refused.mistake


@pytest.fixture
def resized(compressor_run: Path) -> list[str]:
    """Options for a second stage from a run folder of 4 memory tokens, with 8 of them."""
    sizes = ["--model.init_args.memory_tokens", "8", "--model.init_args.document_tokens", "40"]
    begun = [f"--model.init_args.init_from={compressor_run}", "--model.init_args.memory", "words"]
    return [*words("compressor", None), *begun, "--device", "h100", *sizes, *FEW]


def test_a_run_folder_gives_its_memory_which_can_be_resized(resized: list[str], run: Run) -> None:
    found = run(*resized, "--model.init_args.resize", "true")
    assert found["backbone"]["memory_tokens"] == 8
    assert not any("is not there yet" in line for line in found["assumptions"])


def test_memory_that_fit_would_refuse_is_refused(resized: list[str], clara: Any) -> None:
    refused = clara("estimate", *resized)
    assert "were trained with 4; model.init_args.resize true adapts them" in refused.mistake
