"""Published architectures, so that an estimate needs neither network nor weights.

Each entry holds the arguments of the transformers configuration class that the model's own ``config.json`` names, as
far as they decide sizes. ``tests/estimate/test_architecture.py`` holds each against the number of parameters that its
model card gives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from transformers import LlamaConfig, MistralConfig, Phi3Config, PreTrainedConfig, Qwen3Config


class Published(NamedTuple):
    """A configuration class and its arguments."""

    family: type[PreTrainedConfig]
    sizes: dict[str, Any]

    def config(self) -> PreTrainedConfig:
        """The configuration."""
        return self.family(**self.sizes)


def _sizes(
    hidden: int, layers: int, heads: int, kv_heads: int, intermediate: int, vocab: int, *, tied: bool, **others: Any
) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": intermediate,
        "vocab_size": vocab,
        "tie_word_embeddings": tied,
        **others,
    }


_SMOLLM2_135M = Published(LlamaConfig, _sizes(576, 30, 9, 3, 1536, 49152, tied=True))
_LLAMA_3_70B = Published(LlamaConfig, _sizes(8192, 80, 64, 8, 28672, 128256, tied=False))
_LLAMA_32_3B = Published(LlamaConfig, _sizes(3072, 28, 24, 8, 8192, 128256, tied=True, head_dim=128))
_MISTRAL_7B = Published(MistralConfig, _sizes(4096, 32, 32, 8, 14336, 32768, tied=False, sliding_window=None))
_MISTRAL_7B_V2 = Published(MistralConfig, _sizes(4096, 32, 32, 8, 14336, 32000, tied=False, sliding_window=None))
_PHI_4_MINI = Published(
    Phi3Config, _sizes(3072, 32, 24, 8, 8192, 200064, tied=True, sliding_window=262144, pad_token_id=199999)
)
_QWEN3_4B = Published(Qwen3Config, _sizes(2560, 36, 32, 8, 9728, 151936, tied=True, head_dim=128))

PUBLISHED = {
    "HuggingFaceTB/SmolLM2-135M": _SMOLLM2_135M,
    "HuggingFaceTB/SmolLM2-135M-Instruct": _SMOLLM2_135M,
    "meta-llama/Llama-3.1-70B-Instruct": _LLAMA_3_70B,
    "meta-llama/Llama-3.2-3B-Instruct": _LLAMA_32_3B,
    "meta-llama/Meta-Llama-3-70B-Instruct": _LLAMA_3_70B,
    "microsoft/Phi-4-mini-instruct": _PHI_4_MINI,
    "mistralai/Mistral-7B-Instruct-v0.2": _MISTRAL_7B_V2,
    "mistralai/Mistral-7B-Instruct-v0.3": _MISTRAL_7B,
    "Qwen/Qwen3-4B-Instruct-2507": _QWEN3_4B,
}
