"""The adapter folder: what is written is read, PEFT reads it too, and a mistake is one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from clara_lightning.backbone import folder as folder_module
from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER, adapter_parameters
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import (
    AdapterFolder,
    RetrievalConfig,
    build_from_folder,
    fingerprint,
    load_adapters,
    reasoner_of,
    save_adapters,
)
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.backbone.memory import MemoryConfig
from clara_lightning.data.prompts import MEMORY, PromptTemplate
from clara_lightning.errors import ClaraError

Backbones = Callable[..., ClaraBackbone]
ALL = (COMPRESSOR, GENERATOR, QUERY_REASONER)
PROMPT = PromptTemplate(system="Answer.", question="{background}\nQ: {question} é")


def save(backbone: ClaraBackbone, path: Path, *, name: str | None = None, parent: str | None = None) -> AdapterFolder:
    retrieval = RetrievalConfig(score="flat", top_k=3)
    config = BackboneConfig(name=name)
    save_adapters(backbone, path, config=config, stage="JointRAGModule", parent=parent, retrieval=retrieval)
    return AdapterFolder.open(path)


@pytest.fixture
def backbone(tiny_backbone: Backbones) -> ClaraBackbone:
    return tiny_backbone(adapters=ALL, prompt=PROMPT)


@pytest.fixture
def saved(backbone: ClaraBackbone, tmp_path: Path, tiny_model_folder: Path) -> AdapterFolder:
    return save(backbone, tmp_path / "adapters", name=str(tiny_model_folder), parent="f00")


def change_header(saved: AdapterFolder, **values: Any) -> Path:
    header = saved.path / "clara.yaml"
    header.write_text(yaml.safe_dump(yaml.safe_load(header.read_text(encoding="utf-8")) | values), encoding="utf-8")
    return saved.path


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ClaraError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


@torch.no_grad()
def test_what_is_saved_is_loaded_bit_by_bit(
    backbone: ClaraBackbone, saved: AdapterFolder, documents: list[str], questions: list[str]
) -> None:
    loaded = build_from_folder(saved, backbone=BackboneConfig(dtype="float32"))
    assert fingerprint(loaded) == fingerprint(backbone) == saved.fingerprint
    assert torch.equal(loaded.compress(documents), backbone.compress(documents))
    assert torch.equal(loaded.reason(questions), backbone.reason(questions))
    ask = [backbone.prompts.ask("Where?", (MEMORY,), answer="here")]
    memory = backbone.compress(documents[:1])
    assert torch.equal(loaded.answer_loss(ask, memory).sum_B, backbone.answer_loss(ask, memory).sum_B)


def test_a_loaded_backbone_is_frozen_and_in_evaluation(saved: AdapterFolder) -> None:
    loaded = build_from_folder(saved)
    assert not loaded.training and not loaded.lm.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_header_of_before_the_temperature_was_kept_has_the_default(saved: AdapterFolder) -> None:
    older = AdapterFolder.open(change_header(saved, retrieval={"score": "flat", "top_k": 3}))
    assert older.retrieval == RetrievalConfig(score="flat", top_k=3, temperature=0.02)
    assert fingerprint(build_from_folder(older)) == saved.fingerprint


def test_the_fingerprint_does_not_depend_on_how_documents_are_found(backbone: ClaraBackbone, tmp_path: Path) -> None:
    found = set()
    for temperature in (0.02, 1.0):
        retrieval = RetrievalConfig(temperature=temperature)
        save_adapters(backbone, tmp_path / "a", config=BackboneConfig(), stage="S", parent=None, retrieval=retrieval)
        opened = AdapterFolder.open(tmp_path / "a")
        assert opened.retrieval == retrieval
        found.add(opened.fingerprint)
    assert len(found) == 1


def test_the_header_says_what_the_adapters_were_made_with(
    backbone: ClaraBackbone, saved: AdapterFolder, tiny_model_folder: Path
) -> None:
    assert saved.memory == MemoryConfig(tokens=4, document_tokens=32, kind="anchors")
    assert saved.lora == backbone.lora
    assert saved.prompt == PROMPT
    assert saved.stage == "JointRAGModule"
    assert saved.adapters == ALL
    assert saved.retrieval == RetrievalConfig(score="flat", top_k=3)
    assert saved.parent == "f00"
    assert saved.backbone == {"name": str(tiny_model_folder), "revision": None}


def test_the_files_are_those_of_the_documentation_and_no_pickle(saved: AdapterFolder) -> None:
    found = {str(path.relative_to(saved.path)) for path in saved.path.rglob("*") if path.is_file()}
    adapters = {f"{name}/{file}" for name in ALL for file in ("adapter_config.json", "adapter_model.safetensors")}
    assert found == {"clara.yaml", "memory_tokens.safetensors", *adapters}
    for path in saved.path.rglob("*"):
        assert path.is_dir() or path.read_bytes()[:1] != b"\x80", path  # how a pickle begins
        assert path.stat().st_mode & 0o044 == 0o044  # whoever may enter may read


def test_peft_finds_the_backbone_in_the_adapters_configuration(saved: AdapterFolder, tiny_model_folder: Path) -> None:
    config = yaml.safe_load((saved.path / COMPRESSOR / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_model_folder)
    bare = AutoModelForCausalLM.from_pretrained(config["base_model_name_or_path"])
    assert "default" in PeftModel.from_pretrained(bare, str(saved.path / COMPRESSOR)).peft_config


# --- fingerprints ---------------------------------------------------------------------------------------------------


def test_the_fingerprint_changes_with_every_part_of_the_compressor(backbone: ClaraBackbone) -> None:
    seen = {fingerprint(backbone)}
    parts = [*adapter_parameters(backbone.lm, COMPRESSOR), *backbone.head(COMPRESSOR).state_dict().items()]
    for number, (_, value) in enumerate(parts, start=1):
        with torch.no_grad():
            value.view(-1)[0] += 1
        seen.add(fingerprint(backbone))
        assert len(seen) == number + 1


def test_the_fingerprint_does_not_change_with_generator_or_query_reasoner(backbone: ClaraBackbone) -> None:
    before = fingerprint(backbone)
    with torch.no_grad():
        for name in (GENERATOR, QUERY_REASONER):
            for _, value in adapter_parameters(backbone.lm, name):
                value.add_(1)
        backbone.head(QUERY_REASONER).tokens_LD.add_(1)
    assert fingerprint(backbone) == before


def test_the_fingerprint_changes_with_the_document_length(tiny_backbone: Backbones) -> None:
    one, other = (tiny_backbone(document_tokens=length, fresh=True) for length in (32, 64))
    assert fingerprint(one) != fingerprint(other)


# --- replacing ------------------------------------------------------------------------------------------------------


def test_a_folder_is_replaced_as_a_whole(backbone: ClaraBackbone, saved: AdapterFolder) -> None:
    (saved.path / "stale.txt").write_text("old")
    with torch.no_grad():
        backbone.head(COMPRESSOR).tokens_LD.add_(1)
    new = save(backbone, saved.path)
    assert new.fingerprint != saved.fingerprint
    assert not (saved.path / "stale.txt").exists()
    assert [path.name for path in saved.path.parent.iterdir()] == [saved.path.name]


def test_what_a_killed_run_left_is_removed(backbone: ClaraBackbone, saved: AdapterFolder) -> None:
    left = saved.path.parent / f".{saved.path.name}-abc123"
    left.mkdir()
    (left / "clara.yaml").write_text("half", encoding="utf-8")

    save(backbone, saved.path)

    assert [path.name for path in saved.path.parent.iterdir()] == [saved.path.name]


def test_an_error_while_writing_leaves_the_old_folder_and_nothing_else(
    backbone: ClaraBackbone, saved: AdapterFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(folder_module, "fingerprint", fail)
    with pytest.raises(OSError, match="disk full"):
        save(backbone, saved.path)
    assert AdapterFolder.open(saved.path) == saved
    assert [path.name for path in saved.path.parent.iterdir()] == [saved.path.name]


def test_saving_changes_nothing_in_memory(backbone: ClaraBackbone, tmp_path: Path) -> None:
    backbone.train_only((COMPRESSOR, GENERATOR))
    before = {key: value.requires_grad for key, value in backbone.named_parameters()}
    save(backbone, tmp_path / "adapters", name="some/model")
    assert {key: value.requires_grad for key, value in backbone.named_parameters()} == before
    assert not any(config.inference_mode for config in backbone.lm.peft_config.values())


# --- mistakes -------------------------------------------------------------------------------------------------------


def test_a_folder_without_a_header_is_refused(tmp_path: Path) -> None:
    message = refusal(lambda: AdapterFolder.open(tmp_path, setting="model.init_args.init_from"))
    assert message == f"model.init_args.init_from: {tmp_path} is no adapter folder (it has no clara.yaml)"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"- 1", b"format: 1", b"\xff\xfe\x00", b"a: !!python/object/apply:os.system ['false']"],
    ids=["empty", "not YAML", "a list", "fields missing", "not UTF-8", "code"],
)
def test_a_broken_header_is_one_line(saved: AdapterFolder, content: bytes) -> None:
    (saved.path / "clara.yaml").write_bytes(content)
    message = refusal(lambda: AdapterFolder.open(saved.path))
    assert message.startswith(f"{saved.path}/clara.yaml: not a valid header: ")


def test_a_header_of_another_version_is_refused(saved: AdapterFolder) -> None:
    path = change_header(saved, format=2)
    assert "format: 2 is not supported, this version reads 1" in refusal(lambda: AdapterFolder.open(path))


@pytest.mark.parametrize("names", [["../elsewhere"], ["compressor", "other"], [], 3])
def test_a_header_with_unknown_adapters_is_refused(saved: AdapterFolder, names: object) -> None:
    path = change_header(saved, adapters=names)
    assert "not a valid header" in refusal(lambda: AdapterFolder.open(path))


def test_a_header_with_an_unknown_kind_of_memory_is_refused(saved: AdapterFolder) -> None:
    path = change_header(saved, memory={"tokens": 4, "document_tokens": 32, "kind": "magic"})
    assert "'magic'" in refusal(lambda: AdapterFolder.open(path))


@pytest.mark.parametrize(
    ("options", "difference"),
    [({"family": "qwen3"}, "model_type llama, here qwen3"), ({"family": "mistral"}, "model_type llama, here mistral")],
)
def test_adapters_of_another_architecture_are_refused(
    tiny_backbone: Backbones, saved: AdapterFolder, options: dict[str, Any], difference: str
) -> None:
    other = tiny_backbone(**options)
    message = refusal(lambda: load_adapters(other, saved, names=(COMPRESSOR,), setting="--adapters"))
    assert message == f"--adapters: {saved.path} was trained on another backbone: {difference}"


def test_adapters_of_other_sizes_are_refused(tiny_backbone: Backbones, saved: AdapterFolder) -> None:
    change_header(saved, architecture=saved.architecture | {"num_hidden_layers": 30})
    opened = AdapterFolder.open(saved.path)
    message = refusal(lambda: load_adapters(tiny_backbone(), opened, names=(COMPRESSOR,), setting="--adapters"))
    assert message.endswith("was trained on another backbone: num_hidden_layers 30, here 2")


def test_an_adapter_that_the_folder_lacks_is_named(tiny_backbone: Backbones, tmp_path: Path) -> None:
    saved = save(tiny_backbone(), tmp_path / "adapters")
    backbone = tiny_backbone(adapters=ALL)
    message = refusal(lambda: load_adapters(backbone, saved, names=ALL, setting="model.init_args.init_from"))
    assert message == (
        f"model.init_args.init_from: {saved.path} holds no adapter 'query_reasoner', only compressor, generator"
    )


@pytest.mark.parametrize("file", ["memory_tokens.safetensors", "generator/adapter_model.safetensors"])
def test_a_missing_file_is_named(backbone: ClaraBackbone, saved: AdapterFolder, file: str) -> None:
    (saved.path / file).unlink()
    message = refusal(lambda: load_adapters(backbone, saved, names=ALL, setting="--adapters"))
    assert message == f"{saved.path}/{file}: missing from the adapter folder"


@pytest.mark.parametrize("file", ["memory_tokens.safetensors", "generator/adapter_model.safetensors"])
def test_a_file_that_was_cut_short_is_named(backbone: ClaraBackbone, saved: AdapterFolder, file: str) -> None:
    path = saved.path / file
    path.write_bytes(path.read_bytes()[:100])
    message = refusal(lambda: load_adapters(backbone, saved, names=ALL, setting="--adapters"))
    assert message.startswith(f"{path}: no readable safetensors file: ")


def test_a_missing_or_misshaped_tensor_is_one_line(backbone: ClaraBackbone, saved: AdapterFolder) -> None:
    path = saved.path / "generator" / "adapter_model.safetensors"
    tensors = load_file(path)
    first = sorted(tensors)[0]
    for changed in (
        {key: value for key, value in tensors.items() if key != first},
        tensors | {first: torch.zeros(7, 7)},
        tensors | {"base_model.model.elsewhere.lora_A.weight": torch.zeros(2)},
    ):
        save_file(changed, path)
        message = refusal(lambda: load_adapters(backbone, saved, names=(GENERATOR,), setting="--adapters"))
        assert message.startswith(f"--adapters: {saved.path}/generator does not fit")


def test_memory_tokens_of_another_number_are_one_line(tiny_backbone: Backbones, saved: AdapterFolder) -> None:
    other = tiny_backbone(tokens=8)
    message = refusal(lambda: load_adapters(other, saved, names=(COMPRESSOR,), setting="--adapters"))
    assert message.startswith(f"--adapters: {saved.path}/memory_tokens.safetensors does not fit compressor")


def test_without_a_query_reasoner_the_compressor_reads_questions(saved: AdapterFolder) -> None:
    assert reasoner_of(saved) == QUERY_REASONER
    assert reasoner_of(replace(saved, adapters=(COMPRESSOR, GENERATOR))) == COMPRESSOR


def test_another_backbone_of_the_same_architecture_may_be_named(
    saved: AdapterFolder, tiny_model_folder: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(tiny_model_folder, moved)
    change_header(saved, backbone={"name": str(tmp_path / "gone"), "revision": None})
    opened = AdapterFolder.open(saved.path)
    assert "no such folder" in refusal(lambda: build_from_folder(opened))
    build_from_folder(opened, backbone=BackboneConfig(name=str(moved), dtype="float32"))
