"""Architectures without weights, and where they are from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from clara_lightning.backbone.adapters import LoraSettings
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.backbone.memory import MemoryConfig
from clara_lightning.errors import ClaraError
from clara_lightning.estimate.architecture import find_architecture
from clara_lightning.estimate.published import PUBLISHED
from clara_lightning.estimate.skeleton import Skeleton, SkeletonSettings

# Parameters in billions as the model cards on the hub give them.
CARDS = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": 0.1345,
    "meta-llama/Llama-3.1-70B-Instruct": 70.55,
    "meta-llama/Llama-3.2-3B-Instruct": 3.213,
    "microsoft/Phi-4-mini-instruct": 3.836,
    "mistralai/Mistral-7B-Instruct-v0.2": 7.242,
    "mistralai/Mistral-7B-Instruct-v0.3": 7.248,
    "Qwen/Qwen3-4B-Instruct-2507": 4.022,
}
OVERLAYS = sorted((Path(__file__).parents[2] / "configs" / "backbone").glob("*.yaml"))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and an empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


@pytest.mark.parametrize("name", CARDS)
def test_a_published_architecture_has_its_card_s_parameters(name: str) -> None:
    settings = SkeletonSettings(
        PUBLISHED[name].config(), torch.bfloat16, "sdpa", LoraSettings(rank=1), MemoryConfig(), ("compressor",)
    )
    assert Skeleton(settings).frozen_size() / 1e9 == pytest.approx(CARDS[name], rel=0.002)


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_every_overlay_that_we_ship_works_offline(path: Path) -> None:
    name = yaml.safe_load(path.read_text(encoding="utf-8"))["model"]["init_args"]["backbone"]["name"]
    assert name.startswith("package://") or name in PUBLISHED


def test_a_hub_id_that_we_know_needs_no_network() -> None:
    found = find_architecture(BackboneConfig(name="mistralai/Mistral-7B-Instruct-v0.3"))
    assert found.config.hidden_size == 4096
    assert found.tokenizer is None
    assert "table" in found.source


def test_a_folder_says_its_own(tiny_model_folder: Path) -> None:
    found = find_architecture(BackboneConfig(name=str(tiny_model_folder)))
    assert found.config.hidden_size == 32
    assert found.tokenizer is not None
    assert str(tiny_model_folder) in found.source


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (None, "backbone.name is required"),
        ("somebody/unheard-of", "nothing is known here about 'somebody/unheard-of'"),
        ("/no/such/folder", "no such folder: /no/such/folder"),
        ("none.gguf", "no such file: none.gguf"),
    ],
)
def test_an_unknown_backbone_is_one_line(name: str | None, words: str) -> None:
    with pytest.raises(ClaraError, match=r"model\.init_args\.backbone\.name") as mistake:
        find_architecture(BackboneConfig(name=name))
    assert words in str(mistake.value)
    assert "\n" not in str(mistake.value)
