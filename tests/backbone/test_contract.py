"""What holds for every family of backbones; docs/backbones.md says which are run here.

Tiny random models of the common families run always; those of others, and SmolLM2's real weights, with
``make test-slow``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER, active_adapter, adapter_parameters
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import AdapterFolder, RetrievalConfig, load_adapters, save_adapters
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.backbone.packing import Sequences
from clara_lightning.data.prompts import MEMORY, Prompt, PromptTemplate

FAMILIES = ("llama", "mistral", "phi3", "qwen3", "gemma3", "opt", "gpt_neox", "gpt2")
SLOW = tuple(
    """smollm2 falcon phi stablelm olmo2 qwen2 gemma gemma2 cohere cohere2 granite starcoder2 smollm3 glm4 hyperclovax
    minicpm3 ministral gpt_bigcode gpt_neo gptj bloom mpt xglm biogpt codegen lfm2 mixtral qwen3_moe gpt_oss
    granitemoehybrid qwen3_5_text recurrent_gemma""".split()
)
TOKENIZERS: tuple[dict[str, Any], ...] = (
    {"chat": "system"},
    {"chat": "no_system"},
    {"chat": "none"},
    {"bos": False},
    {"pad": False},
    {"chat": "none", "bos": False, "pad": False},
)
# Many other families compute parts of themselves in float32 whatever they are given.
EXACT = dict.fromkeys(SLOW, torch.float32) | dict.fromkeys((*FAMILIES, "smollm2"), torch.float64)
ALL = (COMPRESSOR, GENERATOR, QUERY_REASONER)
STEPS = 12
# Memory is float32 whatever the backbone computes in.
TOLERANCE = {torch.float64: 2e-6, torch.float32: 2e-4, torch.bfloat16: 6e-2}
Backbones = Callable[..., ClaraBackbone]

every_family = pytest.mark.parametrize("family", [*FAMILIES, *(pytest.param(f, marks=pytest.mark.slow) for f in SLOW)])
every_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=str)


def assert_close(one: Tensor, other: Tensor, dtype: torch.dtype) -> None:
    scale = float(other.float().std())
    torch.testing.assert_close(one.float(), other.float(), rtol=0, atol=TOLERANCE[dtype] * scale)


def make_prompts(backbone: ClaraBackbone, *, answered: bool) -> list[Prompt]:
    """Prompts of different lengths with two, no and one memory."""
    ask = backbone.prompts.ask
    answers = ("Rome", "nobody knows for sure", "in the north") if answered else (None,) * 3
    return [
        ask("Which of them is larger, and why?", (MEMORY, MEMORY), answer=answers[0]),
        ask("Why?", (), answer=answers[1]),
        ask("Where is it?", ("some text", MEMORY), answer=answers[2]),
    ]


def parts(memory: Tensor) -> list[Tensor]:
    """The memory of each of these prompts."""
    return [memory[:2], memory[:0], memory[2:]]


def gradients(backbone: ClaraBackbone, documents: list[str]) -> dict[str, Tensor]:
    """Of one step that reads every document as document and as question, and asks each one."""
    backbone.train_only(backbone.adapters)
    backbone.train()
    torch.manual_seed(3)
    memory = backbone.compress(documents)
    prompts = [backbone.prompts.ask("Where?", (MEMORY,), answer=f"place {n}") for n in range(len(documents))]
    loss = backbone.answer_loss(prompts, memory).mean
    if QUERY_REASONER in backbone.adapters:
        loss = loss + backbone.reason(documents).square().mean()
    loss.backward()
    return {key: value.grad for key, value in backbone.named_parameters() if value.grad is not None}


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["published", "calibrated", "anchors"])
@every_family
@torch.no_grad()
def test_memory_in_a_batch_is_that_of_the_definition(
    tiny_backbone: Backbones, memory_by_definition: Callable[..., Tensor], documents: list[str], family: str, kind: str
) -> None:
    backbone = tiny_backbone(family, kind=kind, dtype=EXACT[family])
    for row, text in zip(backbone.compress(documents), documents, strict=True):
        assert_close(row, memory_by_definition(backbone, text, adapter=COMPRESSOR), EXACT[family])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_memory_does_not_depend_on_batch_order_or_amount_of_padding(
    tiny_backbone: Backbones, documents: list[str], family: str, dtype: torch.dtype
) -> None:
    backbone = tiny_backbone(family, dtype=dtype)
    alone = torch.cat([backbone.compress([text]) for text in documents])
    assert_close(backbone.compress(documents), alone, dtype)
    assert_close(backbone.compress(documents[::-1]).flip(0), alone, dtype)
    assert_close(backbone.compress(documents[:3]), alone[:3], dtype)


@pytest.mark.parametrize("side", ["left", "right"])
@every_family
@torch.no_grad()
def test_memory_does_not_depend_on_the_side_on_which_the_tokenizer_pads(
    tiny_backbone: Backbones, documents: list[str], family: str, side: str
) -> None:
    backbone = tiny_backbone(family, dtype=EXACT[family])
    alone = torch.cat([backbone.compress([text]) for text in documents])
    backbone.tokenizer.padding_side = side
    assert_close(backbone.compress(documents), alone, EXACT[family])


@every_family
@torch.no_grad()
def test_query_vectors_do_not_depend_on_their_batch(
    tiny_backbone: Backbones, memory_by_definition: Callable[..., Tensor], questions: list[str], family: str
) -> None:
    backbone = tiny_backbone(family, adapters=ALL, dtype=EXACT[family])
    vectors = backbone.reason(questions)
    for row, text in zip(vectors, questions, strict=True):
        assert_close(row, memory_by_definition(backbone, text, adapter=QUERY_REASONER), EXACT[family])
    assert not torch.allclose(vectors, backbone.compress(questions).float())


@every_tokenizer
@torch.no_grad()
def test_memory_holds_with_every_kind_of_tokenizer(
    tiny_backbone: Backbones,
    memory_by_definition: Callable[..., Tensor],
    documents: list[str],
    tokenizer: dict[str, Any],
) -> None:
    backbone = tiny_backbone(dtype=torch.float64, **tokenizer)
    for row, text in zip(backbone.compress(documents), documents, strict=True):
        assert_close(row, memory_by_definition(backbone, text, adapter=COMPRESSOR), torch.float64)


@every_family
@torch.no_grad()
def test_memory_decodes_as_the_whole_model_decodes_text_by_text(
    tiny_backbone: Backbones, documents: list[str], family: str
) -> None:
    backbone = tiny_backbone(family, adapters=ALL, dtype=EXACT[family])
    found_NLV = backbone.memory_logits(documents, adapter=QUERY_REASONER)
    backbone.lm.set_adapter(QUERY_REASONER)
    for text, found_LV in zip(documents, found_NLV, strict=True):
        placed = backbone._place_memory(backbone.tokenize([text]), backbone.head(QUERY_REASONER))
        logits_SV = backbone.causal_lm(inputs_embeds=placed.inputs_PD[None], use_cache=False).logits[0]
        assert_close(found_LV, logits_SV[-4:].float(), EXACT[family])


# --- answering ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", [GENERATOR, None])
@every_family
@torch.no_grad()
def test_the_loss_of_a_batch_is_that_of_the_whole_model_prompt_by_prompt(
    tiny_backbone: Backbones,
    loss_by_definition: Callable[..., tuple[float, int]],
    documents: list[str],
    family: str,
    adapter: str | None,
) -> None:
    backbone = tiny_backbone(family, dtype=EXACT[family])
    memory, prompts = backbone.compress(documents[:3]), make_prompts(backbone, answered=True)
    loss = backbone.answer_loss(prompts, memory, adapter=adapter)
    wanted = [
        loss_by_definition(backbone, one, part, adapter=adapter)
        for one, part in zip(prompts, parts(memory), strict=True)
    ]
    assert loss.tokens_B.tolist() == [count for _, count in wanted]
    assert loss.sum_B.tolist() == pytest.approx([total for total, _ in wanted], rel=2e-5)


@every_family
@torch.no_grad()
def test_a_batch_of_different_lengths_is_answered_as_one_by_one_without_cache(
    tiny_backbone: Backbones, greedy_by_definition: Callable[..., list[int]], documents: list[str], family: str
) -> None:
    # The background stands last, so that memory is within the windows of families with sliding attention.
    words = PromptTemplate(question="{question}\n{background}", answer_cue=":")
    backbone = tiny_backbone(family, dtype=EXACT[family], chat="none", prompt=words)
    assert_answers_are_greedy(backbone, greedy_by_definition, documents)


@pytest.mark.parametrize("adapter", [GENERATOR, None])
@every_family
@torch.no_grad()
def test_one_reading_is_answered_and_scored_as_the_definition_does_both(
    tiny_backbone: Backbones,
    greedy_by_definition: Callable[..., list[int]],
    loss_by_definition: Callable[..., tuple[float, int]],
    documents: list[str],
    family: str,
    adapter: str | None,
) -> None:
    backbone = tiny_backbone(family, dtype=EXACT[family])
    memory, prompts = backbone.compress(documents[:3]), make_prompts(backbone, answered=True)
    reading = backbone.reading(prompts, memory, max_new_tokens=3, adapter=adapter)
    answers, loss = reading.answers(), reading.answer_loss()
    asked = zip(prompts, make_prompts(backbone, answered=False), parts(memory), strict=True)
    for place, (answered, open_, part) in enumerate(asked):
        tokens = greedy_by_definition(backbone, open_, part, adapter=adapter, steps=3)
        assert answers[place] == spoken(backbone, tokens)
        total, count = loss_by_definition(backbone, answered, part, adapter=adapter)
        assert (float(loss.sum_B[place]), int(loss.tokens_B[place])) == (pytest.approx(total, rel=2e-5), count)


@every_tokenizer
@torch.no_grad()
def test_answers_hold_with_every_kind_of_tokenizer(
    tiny_backbone: Backbones,
    greedy_by_definition: Callable[..., list[int]],
    documents: list[str],
    tokenizer: dict[str, Any],
) -> None:
    backbone = tiny_backbone(dtype=torch.float64, **tokenizer)
    assert_answers_are_greedy(backbone, greedy_by_definition, documents)


def assert_answers_are_greedy(
    backbone: ClaraBackbone, greedy_by_definition: Callable[..., list[int]], documents: list[str]
) -> None:
    memory, prompts = backbone.compress(documents[:3]), make_prompts(backbone, answered=False)
    wanted = [
        spoken(backbone, greedy_by_definition(backbone, prompt, part, adapter=GENERATOR, steps=STEPS))
        for prompt, part in zip(prompts, parts(memory), strict=True)
    ]
    assert backbone.generate(prompts, memory, max_new_tokens=STEPS) == wanted


def spoken(backbone: ClaraBackbone, tokens: list[int]) -> str:
    """The text of an answer's tokens, without the one that ends it."""
    tokens = tokens[:-1] if tokens[-1] in backbone.prompts.stop_ids else tokens
    return str(backbone.tokenizer.decode(tokens, skip_special_tokens=True)).strip()


# --- adapters -------------------------------------------------------------------------------------------------------


@every_family
@torch.no_grad()
def test_only_the_named_adapter_acts(tiny_backbone: Backbones, documents: list[str], family: str) -> None:
    backbone = tiny_backbone(family, adapters=ALL)
    embedded = backbone.embed(torch.arange(5, 15)[None])
    before = {name: hidden_under(backbone, name, embedded) for name in (*ALL, None)}
    for _, value in adapter_parameters(backbone.lm, GENERATOR):
        value.add_(0.5)
    changed = [name for name, old in before.items() if not torch.equal(hidden_under(backbone, name, embedded), old)]
    assert changed == [GENERATOR]


def hidden_under(backbone: ClaraBackbone, adapter: str | None, embedded: Tensor) -> Tensor:
    with backbone.use_adapter(adapter):
        return read_alone(backbone, embedded)


def read_alone(backbone: ClaraBackbone, embedded_1PD: Tensor) -> Tensor:
    return backbone._runner.hidden(embedded_1PD[0], Sequences((embedded_1PD.shape[1],), backbone.device))


@every_family
@torch.no_grad()
def test_the_adapter_is_what_it_was_after_an_exception(tiny_backbone: Backbones, family: str) -> None:
    backbone = tiny_backbone(family, adapters=ALL)
    embedded = backbone.embed(torch.arange(5, 15)[None])
    before = hidden_under(backbone, COMPRESSOR, embedded)
    with pytest.raises(RuntimeError, match="from within"), backbone.use_adapter(GENERATOR):
        raise RuntimeError("from within")
    assert active_adapter(backbone._layers) == COMPRESSOR
    assert torch.equal(read_alone(backbone, embedded), before)


@every_family
def test_all_linear_is_every_linear_layer_below_the_head(
    tiny_backbone: Backbones, tiny_model: Callable[..., nn.Module], family: str
) -> None:
    backbone = tiny_backbone(family, fresh=True)
    model: Any = tiny_model(family, vocab_size=len(backbone.tokenizer))
    head = model.get_output_embeddings()
    trunk = [name for name, part in model.base_model.named_modules() if isinstance(part, (nn.Linear, Conv1D))]
    assert len(backbone._layers) == len(trunk)
    assert backbone.adapted_layers == sorted({name.rpartition(".")[2] for name in trunk})
    assert not any(layer.base_layer is head for layer in backbone._layers)


@every_family
def test_every_parameter_of_every_adapter_gets_gradient(
    tiny_backbone: Backbones, documents: list[str], family: str
) -> None:
    backbone = tiny_backbone(family, adapters=ALL)
    found = gradients(backbone, documents)
    assert [key for key, value in backbone.named_parameters() if value.requires_grad and key not in found] == []
    assert [key for key, value in found.items() if not value.isfinite().all()] == []


@every_family
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_checkpointing_gives_the_same_gradients_bit_by_bit(
    tiny_backbone: Backbones, documents: list[str], family: str, dropout: float
) -> None:
    plain = tiny_backbone(family, adapters=ALL, dropout=dropout)
    checkpointed = tiny_backbone(family, adapters=ALL, dropout=dropout, gradient_checkpointing=True)
    assert any(getattr(module, "gradient_checkpointing", False) for module in checkpointed.causal_lm.modules())
    one, other = gradients(plain, documents), gradients(checkpointed, documents)
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


# --- folders --------------------------------------------------------------------------------------------------------


def save(backbone: ClaraBackbone, path: Path) -> AdapterFolder:
    retrieval = RetrievalConfig()
    save_adapters(backbone, path, config=BackboneConfig(), stage="Stage", parent=None, retrieval=retrieval)
    return AdapterFolder.open(path)


@every_family
@torch.no_grad()
def test_saved_adapters_make_the_same_memory_bit_by_bit(
    tiny_backbone: Backbones, tmp_path: Path, documents: list[str], family: str
) -> None:
    backbone, other = tiny_backbone(family, adapters=ALL), tiny_backbone(family, adapters=ALL, fresh=True)
    load_adapters(other, save(backbone, tmp_path / "adapters"), names=ALL, setting="--adapters")
    assert torch.equal(other.compress(documents), backbone.compress(documents))
    assert torch.equal(other.reason(documents), backbone.reason(documents))


@pytest.mark.parametrize("adapter", ALL)
@every_family
@torch.no_grad()
def test_peft_loads_each_adapter_by_itself(
    tiny_backbone: Backbones, tiny_model: Callable[..., Any], tmp_path: Path, family: str, adapter: str
) -> None:
    backbone = tiny_backbone(family, adapters=ALL)
    saved = save(backbone, tmp_path / "adapters")
    bare = tiny_model(family, vocab_size=len(backbone.tokenizer))  # the same weights again
    theirs = PeftModel.from_pretrained(bare, str(saved.path / adapter)).eval()
    ids = torch.arange(5, 15)[None]
    with backbone.use_adapter(adapter):
        assert torch.equal(theirs(input_ids=ids).logits, backbone.causal_lm(input_ids=ids).logits)


# --- heads and prompts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "tied"), [("llama", True), ("gpt2", True), ("mistral", False), ("gpt_neox", False)])
def test_tied_and_untied_heads_are_both_among_the_families(
    tiny_model: Callable[..., Any], family: str, tied: bool
) -> None:
    model = tiny_model(family, vocab_size=64)
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) is tied
