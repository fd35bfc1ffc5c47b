"""Architectures that cannot be a backbone are refused in one line, before any weight is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn
from transformers import (
    BertConfig,
    BloomConfig,
    CTRLConfig,
    Gemma3Config,
    Gemma3nTextConfig,
    Gemma3TextConfig,
    GPT2Config,
    Llama4TextConfig,
    LlavaConfig,
    MambaConfig,
    MiniMaxConfig,
    OPTConfig,
    Phi4MultimodalConfig,
    PreTrainedConfig,
    Qwen2VLConfig,
    RwkvConfig,
    T5Config,
    ViTConfig,
    WhisperConfig,
)

from clara_lightning.backbone.architecture import check_config, check_parts
from clara_lightning.backbone.loading import BackboneConfig, load_pretrained
from clara_lightning.errors import ClaraError


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here may look at the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def refusal(config: PreTrainedConfig, folder: Path, **settings: Any) -> str:
    """The line for a folder that holds a configuration and nothing else: no weights are there to be read."""
    config.save_pretrained(folder)
    with pytest.raises(ClaraError) as caught:
        load_pretrained(BackboneConfig(name=str(folder), **settings))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (T5Config(), "t5 is an encoder with a decoder; a decoder-only causal LM is needed"),
        (WhisperConfig(), "whisper is an encoder with a decoder; a decoder-only causal LM is needed"),
        (BertConfig(), "bert reads in both directions (an encoder); a decoder-only causal LM is needed"),
        (
            Gemma3TextConfig(use_bidirectional_attention=True),
            "gemma3_text reads in both directions (an encoder); a decoder-only causal LM is needed",
        ),
        (ViTConfig(), "transformers has no causal LM for vit"),
        (Gemma3Config(), "gemma3 wraps a text model of type gemma3_text; name a text-only model"),
        (LlavaConfig(), "llava wraps a text model of type llama; name a text-only model"),
        (Qwen2VLConfig(), "qwen2_vl wraps a text model of type qwen2_vl_text; name a text-only model"),
        (Phi4MultimodalConfig(), "phi4_multimodal takes more than text; name a text-only model"),
        (Gemma3nTextConfig(), "gemma3n_text looks token ids up in every layer, and memory has none"),
        (CTRLConfig(), "ctrl cannot generate from embeddings, and memory is embeddings"),
        (MiniMaxConfig(), "minimax: answers depend on the padding of their batch"),
        (Llama4TextConfig(), "llama4_text is not built as embeddings, a trunk and a head"),
    ],
    ids=lambda value: value.model_type if isinstance(value, PreTrainedConfig) else "",
)
def test_what_cannot_compress_reason_and_answer_is_refused(
    tmp_path: Path, config: PreTrainedConfig, reason: str
) -> None:
    message = refusal(config, tmp_path)
    assert message == f"model.init_args.backbone.name: '{tmp_path}' cannot be a backbone: {reason}"


@pytest.mark.parametrize("config", [MambaConfig(), RwkvConfig()], ids=["mamba", "rwkv"])
def test_recurrent_families_that_read_padding_are_refused(tmp_path: Path, config: PreTrainedConfig) -> None:
    assert f"{config.model_type} is recurrent; of those only granitemoehybrid, " in refusal(config, tmp_path)


def test_embeddings_of_another_width_than_the_last_hidden_states_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    head = nn.Linear(48, 64)
    monkeypatch.setattr("transformers.GPT2LMHeadModel.get_output_embeddings", lambda model: head)
    config = GPT2Config(n_embd=16, n_head=2, n_layer=1, vocab_size=64, tie_word_embeddings=False)
    with pytest.raises(ClaraError, match="its embeddings have 16 values, its last hidden states 48; memory must be"):
        check_parts(config, name="x", trust_remote_code=False)


def test_embeddings_narrower_than_the_layers_are_accepted_where_the_trunk_projects_both_ways() -> None:
    config = OPTConfig(
        hidden_size=32, word_embed_proj_dim=16, ffn_dim=48, num_hidden_layers=1, num_attention_heads=2, vocab_size=64
    )
    check_parts(config, name="x", trust_remote_code=False)


def test_a_family_without_sdpa_names_the_attention_setting(tmp_path: Path) -> None:
    assert refusal(BloomConfig(), tmp_path) == (
        "model.init_args.backbone.attention: bloom has no sdpa; set it to eager"
    )


def test_a_family_without_activation_checkpointing_names_that_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.GPT2LMHeadModel.supports_gradient_checkpointing", False)
    with pytest.raises(ClaraError, match=r"^model\.init_args\.backbone\.gradient_checkpointing: gpt2 does not"):
        check_config(GPT2Config(), name="x", attention="sdpa", checkpointing=True)
