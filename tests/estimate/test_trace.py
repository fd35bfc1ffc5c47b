"""The traced step is the real one: bytes that live, bytes that autograd keeps, operations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.packing import Sequences
from clara_lightning.data.prompts import MEMORY, Prompt
from clara_lightning.estimate.live import LiveBytes
from clara_lightning.estimate.skeleton import Skeleton, SkeletonSettings
from clara_lightning.estimate.trace import Answering, MicroBatch, Reading, trace
from clara_lightning.objectives.losses import compression_mse

FAMILIES = ("llama", "mistral", "phi3", "qwen3", "gemma3")
# Of two lengths: a batch without padding takes no mask, and some bytes less. Near to each other: packed sequences are
# taken to be of their mean length.
TEXTS = [f"Town {number} sells {'much ' * (number % 2)} salt." for number in range(6)]


def prepared(backbone: ClaraBackbone) -> ClaraBackbone:
    """Ready to train, with gradients of an earlier micro-batch."""
    backbone.train_only((COMPRESSOR, GENERATOR))
    backbone.train()
    for parameter in backbone.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    return backbone


def prompts_of(backbone: ClaraBackbone) -> list[Prompt]:
    """What is asked about the texts."""
    return [backbone.prompts.ask(f"What {text}?", (MEMORY,), answer=f"Salt, {text}") for text in TEXTS]


def real_step(backbone: ClaraBackbone) -> None:
    """A micro-batch of stage 1."""
    read = backbone.read(TEXTS, adapter=COMPRESSOR)
    loss = backbone.answer_loss(prompts_of(backbone), read.memory_NLD)
    (loss.mean + 0.1 * compression_mse(read.text_mean_ND, read.memory_mean_ND)).backward()


def sizes_of(backbone: ClaraBackbone) -> MicroBatch:
    """The same micro-batch in numbers."""
    encoded, tokens = backbone.prompts.encode(prompts_of(backbone)), backbone.tokenize(TEXTS)
    width, text, shared = encoded.ids.shape[1], max(tokens.lengths), 0
    if backbone._runner.packs(Sequences((width,), backbone.device)):
        of_prompts = encoded.attention.sum(1).tolist()
        width, text = (math.ceil(sum(lengths) / len(TEXTS)) for lengths in (of_prompts, tokens.lengths))
        shared = len(backbone.prompts.prefix(prompts_of(backbone)))
    answering = Answering(len(TEXTS), width, int((encoded.labels >= 0).sum()), shared=shared)
    return MicroBatch((Reading(COMPRESSOR, len(TEXTS), text),), answering)


def settings_of(backbone: ClaraBackbone, *, attention: str = "sdpa") -> SkeletonSettings:
    """What its skeleton is built from."""
    return SkeletonSettings(
        backbone.causal_lm.config,
        backbone.causal_lm.dtype,
        attention,
        backbone.lora,
        backbone.memory_config,
        backbone.adapters,
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_as_many_bytes_live_as_in_a_real_step(
    family: str, checkpointing: bool, tiny_backbone: Callable[..., ClaraBackbone]
) -> None:
    backbone = prepared(tiny_backbone(family, dropout=0.1, gradient_checkpointing=checkpointing))
    gradients = [parameter.grad for parameter in backbone.parameters() if parameter.grad is not None]
    with LiveBytes([*backbone.parameters(), *backbone.buffers(), *gradients]) as live:
        real_step(backbone)

    found = trace(settings_of(backbone), sizes_of(backbone), checkpointing=checkpointing)

    assert found.peak_bytes == pytest.approx(live.peak, rel=0.08)  # Gemma makes a mask of each kind


@pytest.mark.parametrize("checkpointing", [False, True])
def test_as_many_operations_as_in_a_real_step(checkpointing: bool, tiny_backbone: Callable[..., ClaraBackbone]) -> None:
    backbone = prepared(tiny_backbone("llama", gradient_checkpointing=checkpointing))
    backbone.causal_lm.set_attn_implementation("eager")  # torch does not count attention kernels of the CPU
    counter = FlopCounterMode(display=False)
    with counter:
        real_step(backbone)

    settings = settings_of(backbone, attention="eager")
    found = trace(settings, sizes_of(backbone), checkpointing=checkpointing)

    assert found.forward_flops + found.backward_flops == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_forward_is_two_operations_a_weight_and_token(tiny_backbone: Callable[..., ClaraBackbone]) -> None:
    backbone = tiny_backbone("llama")
    batch = MicroBatch((Reading(COMPRESSOR, 3, 20, trained=False),))
    tokens = 3 * (20 + backbone.memory_config.tokens)
    linear = sum(
        value.numel()
        for name, value in backbone.causal_lm.base_model.named_parameters()
        if "base_layer" in name or f"lora_A.{COMPRESSOR}" in name or f"lora_B.{COMPRESSOR}" in name
    )
    width = 20 + backbone.memory_config.tokens
    attention = 2 * 2 * 2 * 3 * width * width * backbone.hidden_size  # layers, products, a product's factor, texts

    found = trace(settings_of(backbone), batch, checkpointing=False)

    mean_of_text = 2 * 3 * tokens * backbone.hidden_size
    assert found.forward_flops == 2 * tokens * linear + attention + mean_of_text
    assert found.backward_flops == 0


def test_live_bytes_are_what_autograd_keeps() -> None:
    layers = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4))
    inputs = torch.rand(32, 8)
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with LiveBytes([*layers.parameters(), inputs]) as live, torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        output = layers(inputs)

    for tensor in (*layers.parameters(), inputs):
        kept.pop(tensor.untyped_storage().data_ptr(), None)
    assert live.now == sum(kept.values()) + output.untyped_storage().nbytes()
    del output
    assert live.now == 0


EVERY_DEPTH = itertools.product([False, True], ["stage 1", "stage 2", "stage 3"], [None, 3, 5])
SOME = [(False, "stage 1", None), (True, "stage 2", 3), (False, "stage 3", 5), (True, "stage 3", None)]


@pytest.mark.parametrize(
    ("checkpointing", "task", "depth"),
    [each if each in SOME else pytest.param(*each, marks=pytest.mark.slow) for each in EVERY_DEPTH],
)
def test_a_deep_backbone_lies_on_the_line_through_two_shallow_ones(
    task: str,
    checkpointing: bool,
    depth: int | None,
    tiny_backbone: Callable[..., ClaraBackbone],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backbone = tiny_backbone("llama", adapters=(COMPRESSOR, GENERATOR, QUERY_REASONER))
    settings = settings_of(backbone).with_layers(9, depth=depth)
    batch = {
        "stage 1": MicroBatch((Reading(COMPRESSOR, 2, 28),), Answering(2, 40, 15)),
        "stage 2": MicroBatch((Reading(COMPRESSOR, 6, 28),), Answering(2, 60, 8)),
        "stage 3": MicroBatch(
            (Reading(QUERY_REASONER, 2, 9), Reading(COMPRESSOR, 8, 28, trained=False)),
            Answering(2, 60, 8, documents=3, candidates=4),
        ),
    }[task]
    drawn = trace(settings, batch, checkpointing=checkpointing)
    monkeypatch.setattr("clara_lightning.estimate.trace.DEEPER", 9)

    whole = trace(settings, batch, checkpointing=checkpointing)

    assert drawn == whole


@pytest.mark.parametrize("family", FAMILIES)
def test_a_skeleton_counts_what_a_real_backbone_has(family: str, tiny_backbone: Callable[..., ClaraBackbone]) -> None:
    backbone = tiny_backbone(family)
    skeleton = Skeleton(settings_of(backbone))
    backbone.train_only((COMPRESSOR, GENERATOR))
    trained = sum(value.numel() for value in backbone.parameters() if value.requires_grad)

    adapters = skeleton.adapter_size(COMPRESSOR) + skeleton.adapter_size(GENERATOR)
    assert adapters + skeleton.head_size(COMPRESSOR) == trained
    assert skeleton.frozen_size() == sum(
        value.numel() for name, value in backbone.lm.named_parameters() if "lora_" not in name
    )
    assert len(skeleton.layer_sizes()) == 2


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_an_adapter_is_rank_times_both_sides_of_every_linear_layer(
    family: str, tiny_backbone: Callable[..., ClaraBackbone], tiny_model: Callable[..., nn.Module]
) -> None:
    model = tiny_model(family, vocab_size=320)
    backbone = tiny_backbone(family)
    linear = [module for name, module in model.named_modules() if isinstance(module, nn.Linear) and name != "lm_head"]
    rank = backbone.lora.rank

    size = Skeleton(settings_of(backbone)).adapter_size(GENERATOR)

    assert size == sum(rank * (layer.in_features + layer.out_features) for layer in linear)
