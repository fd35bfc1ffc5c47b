"""A folder for the Hub: what is in it, who can load it, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard as HubCard
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import (
    AdapterFolder,
    RetrievalConfig,
    build_from_folder,
    fingerprint,
    save_adapters,
)
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.errors import ClaraError
from clara_lightning.publishing.hub_folder import Exported, WeightsDtype, export_hub_folder

ADAPTERS = ("compressor", "generator", "query_reasoner")
HUB = "owner/model"


@pytest.fixture
def backbone(tiny_backbone: Callable[..., ClaraBackbone]) -> ClaraBackbone:
    return tiny_backbone(adapters=ADAPTERS)


@pytest.fixture
def adapters(backbone: ClaraBackbone, tmp_path: Path, tiny_model_folder: Path) -> Path:
    path = tmp_path / "run" / "adapters"
    config = BackboneConfig(name=str(tiny_model_folder))
    save_adapters(backbone, path, config=config, stage="JointRAGModule", parent="f00", retrieval=RetrievalConfig())
    return path


def export(adapters: Path, *, base: str | None = HUB, dtype: WeightsDtype = "as they are") -> Exported:
    return export_hub_folder(adapters, adapters.parent.parent / "out", base=base, dtype=dtype)


def refusal(adapters: Path, **options: Any) -> str:
    with pytest.raises(ClaraError) as caught:
        export(adapters, **options)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in adapters.parent.parent.iterdir() if path.name.startswith(".")) == []
    return str(caught.value)


def loaded(folder: AdapterFolder, model: Path) -> ClaraBackbone:
    return build_from_folder(folder, backbone=BackboneConfig(name=str(model), dtype="float32"))


def set_header(adapters: Path, **values: Any) -> None:
    header = adapters / "clara.yaml"
    header.write_text(yaml.safe_dump(yaml.safe_load(header.read_text(encoding="utf-8")) | values), encoding="utf-8")


# --- what goes out --------------------------------------------------------------------------------------------------


def test_nothing_but_the_folders_own_files_goes_out(adapters: Path) -> None:
    (adapters / "secret.bin").write_bytes(b"mine")
    (adapters / "generator" / "notes.txt").write_text("mine", encoding="utf-8")
    out = export(adapters).folder.path
    files = {f"{name}/{file}" for name in ADAPTERS for file in ("adapter_config.json", "adapter_model.safetensors")}
    top = {"clara.yaml", "memory_tokens.safetensors", "README.md", ".gitattributes"}
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == files | top
    assert (out / ".gitattributes").read_text(encoding="utf-8").startswith("*.safetensors filter=lfs ")
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in [out, *out.rglob("*")])


def test_no_place_of_this_machine_goes_out(adapters: Path, tmp_path: Path, tiny_model_folder: Path) -> None:
    out = export(adapters).folder.path
    for path in out.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert str(tiny_model_folder.parent).encode() not in content and str(tmp_path).encode() not in content
    for name in ADAPTERS:
        assert json.loads((out / name / "adapter_config.json").read_text())["base_model_name_or_path"] == HUB
    assert AdapterFolder.open(out).backbone == {"name": HUB, "revision": None}
    assert HubCard.load(out / "README.md").data.base_model == HUB


def test_a_hub_id_keeps_its_revision_and_a_file_of_a_package_its_name(adapters: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("owner/own", "package://pack/model.gguf")):
        set_header(adapters, backbone={"name": name, "revision": "v1" if not number else None})
        done = export_hub_folder(adapters, tmp_path / f"out{number}")
        config = json.loads((done.folder.path / "generator" / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == done.folder.backbone["name"] == name
        assert config["revision"] == (None if number else "v1")


def test_the_same_adapters_give_the_same_bytes(adapters: Path, tmp_path: Path, bytes_of: Any) -> None:
    one, two = (export_hub_folder(adapters, tmp_path / name, base=HUB).folder.path for name in "ab")
    assert bytes_of(one) == bytes_of(two)


# --- who can load it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("way", ["subfolder", "path"])
@pytest.mark.parametrize("dtype", ["as they are", "bfloat16"])
@torch.no_grad()
def test_peft_alone_computes_what_the_backbone_does(
    name: str, way: str, dtype: WeightsDtype, adapters: Path, tiny_model_folder: Path
) -> None:
    folder = export(adapters, dtype=dtype).folder
    bare = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
    ids = torch.arange(5, 25)[None]
    before = bare(ids).logits
    if way == "subfolder":
        model = PeftModel.from_pretrained(bare, str(folder.path), subfolder=name)
    else:
        model = PeftModel.from_pretrained(bare, str(folder.path / name))
    ours = loaded(folder, tiny_model_folder)
    with ours.use_adapter(name):
        expected = ours.causal_lm(ids).logits
    torch.testing.assert_close(model(ids).logits, expected, rtol=1e-5, atol=1e-5)
    assert (expected - before).abs().max() > 0.01


@torch.no_grad()
def test_weights_as_they_are_keep_fingerprint_and_memory(
    adapters: Path, backbone: ClaraBackbone, tiny_model_folder: Path, documents: list[str]
) -> None:
    done = export(adapters)
    again = loaded(done.folder, tiny_model_folder)
    assert done.folder.fingerprint == done.before == fingerprint(again) == fingerprint(backbone)
    assert torch.equal(again.compress(documents), backbone.compress(documents))


@torch.no_grad()
def test_weights_in_bfloat16_have_the_fingerprint_of_the_other_memory_that_they_make(
    adapters: Path, backbone: ClaraBackbone, tiny_model_folder: Path, documents: list[str]
) -> None:
    done = export(adapters, dtype="bfloat16")
    again = loaded(done.folder, tiny_model_folder)
    assert done.folder.fingerprint == fingerprint(again) != done.before
    assert not torch.equal(again.compress(documents), backbone.compress(documents))
    kinds = {value.dtype for value in load_file(done.folder.path / "generator" / "adapter_model.safetensors").values()}
    assert kinds == {torch.bfloat16}
    assert {value.dtype for name, value in again.lm.named_parameters() if "lora_" in name} == {torch.float32}
    assert f"`{done.folder.fingerprint}`, and before their weights were rounded `{done.before}`" in card(done)


def test_weights_that_bfloat16_holds_exactly_keep_the_fingerprint(adapters: Path) -> None:
    rounded = export(adapters, dtype="bfloat16").folder
    for dtype in ("bfloat16", "float32"):
        again = export_hub_folder(rounded.path, adapters.parent / dtype, dtype=dtype)  # type: ignore[arg-type]
        assert again.folder.fingerprint == rounded.fingerprint


# --- the card -------------------------------------------------------------------------------------------------------


def card(done: Exported) -> str:
    return (done.folder.path / "README.md").read_text(encoding="utf-8")


def test_adapters_without_a_card_get_one_of_what_the_header_knows(adapters: Path) -> None:
    text = card(export(adapters))
    assert f'from_pretrained("{HUB}")' in text and "no run wrote this card" in text
    assert "Before the export the backbone was a local one, called `llama`" in text


def test_a_card_that_was_edited_goes_out_as_it_stands_with_its_base_model(adapters: Path) -> None:
    mine = "---\nbase_model:\n- some/other\n# mine\nlicense: mit\n---\n\n# My own words\n\nOne | two.\n"
    (adapters / "README.md").write_text(mine, encoding="utf-8")
    text = card(export(adapters))
    head = (
        f"---\nbase_model: {HUB}\nbase_model_relation: adapter\n# mine\nlicense: mit\n---\n\n# My own words\n\nOne | "
    )
    assert text.startswith(head)
    assert text.count("base_model:") == 1


def test_a_card_without_front_matter_gets_it(adapters: Path) -> None:
    (adapters / "README.md").write_text("# My own words\n", encoding="utf-8")
    done = export(adapters)
    assert HubCard(card(done)).data.library_name == "peft"
    assert "\n\n# My own words\n" in card(done)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("---\na: [\n---\n", "README.md: front matter: no valid YAML: "),
        ("---\n- a\n---\n", "README.md: front matter: expected keys with values, got list"),
        ("---\na: 1\n", "README.md:1: front matter: it has no end, a line ---"),
        ("Hello\nfrom {model}/here\n", "README.md:2: names "),
    ],
    ids=["no YAML", "a list", "without an end", "a place"],
)
def test_a_card_with_a_mistake_is_refused(adapters: Path, text: str, message: str, tiny_model_folder: Path) -> None:
    (adapters / "README.md").write_text(text.replace("{model}", str(tiny_model_folder)), encoding="utf-8")
    assert message in refusal(adapters)


# --- mistakes -------------------------------------------------------------------------------------------------------


def test_a_local_backbone_needs_a_base_model(adapters: Path) -> None:
    assert refusal(adapters, base=None) == (
        f"--base-model is required: the backbone of {adapters} is a local one, 'llama'; "
        "name a hub id of the same shapes"
    )


def test_a_folder_with_something_in_it_is_refused_and_an_empty_one_is_taken(adapters: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("x", encoding="utf-8")
    assert refusal(adapters) == f"--out: {out} is there already, and is no empty folder"
    (out / "mine").unlink()
    assert export(adapters).folder.path == out


def test_weights_that_are_not_those_of_the_header_are_refused(adapters: Path) -> None:
    set_header(adapters, fingerprint="ab" * 32)
    assert "the compressor's weights have fingerprint" in refusal(adapters)
    assert not (adapters.parent.parent / "out").exists()


@pytest.mark.parametrize("file", ["memory_tokens.safetensors", "generator/adapter_config.json"])
def test_a_missing_file_is_named_and_nothing_is_left(adapters: Path, file: str) -> None:
    (adapters / file).unlink()
    assert refusal(adapters).startswith(f"{adapters / file}: ")
    assert not (adapters.parent.parent / "out").exists()


def test_settings_of_an_adapter_that_are_no_json_are_refused(adapters: Path) -> None:
    (adapters / "generator" / "adapter_config.json").write_text("[1]", encoding="utf-8")
    assert "adapter_config.json: no settings of PEFT: " in refusal(adapters)
