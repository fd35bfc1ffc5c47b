"""Greedy answers: with a cache and in a batch the same as without either."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, LoraSettings
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.memory import MemoryConfig
from clara_lightning.data.prompts import MEMORY, Prompt, PromptTemplate

Backbones = Callable[..., ClaraBackbone]
Greedy = Callable[..., list[int]]
STEPS = 12


def make_prompts(backbone: ClaraBackbone) -> list[Prompt]:
    """Different lengths; with two, no and one memory."""
    ask = backbone.prompts.ask
    return [ask("Which of them is larger, and why?", (MEMORY, MEMORY)), ask("Why?", ()), ask("Where?", (MEMORY,))]


def parts(memory: Tensor) -> list[Tensor | None]:
    return [memory[:2], None, memory[2:]]


def spoken(backbone: ClaraBackbone, tokens: list[int]) -> str:
    return str(backbone.tokenizer.decode(tokens, skip_special_tokens=True)).strip()


@torch.no_grad()
def test_the_bare_backbone_can_answer_too(tiny_backbone: Backbones, greedy_by_definition: Greedy) -> None:
    backbone = tiny_backbone(dtype=torch.float64)
    prompt = backbone.prompts.ask("Why?", ())
    wanted = spoken(backbone, greedy_by_definition(backbone, prompt, None, adapter=None, steps=STEPS))
    assert backbone.generate([prompt], max_new_tokens=STEPS, adapter=None) == [wanted]


@torch.no_grad()
def test_an_answer_stops_at_its_end_token_while_others_go_on(
    tiny_backbone: Backbones, greedy_by_definition: Greedy, documents: list[str]
) -> None:
    greedy = partial(greedy_by_definition, adapter=GENERATOR, steps=STEPS)
    backbone = tiny_backbone(dtype=torch.float64)
    memory, prompts = backbone.compress(documents[:3]), make_prompts(backbone)
    third = greedy(backbone, prompts[0], memory[:2])[2]
    backbone.tokenizer.eos_token = backbone.tokenizer.convert_ids_to_tokens(third)  # no special token, but an end
    tokens = [greedy(backbone, p, m) for p, m in zip(prompts, parts(memory), strict=True)]
    assert tokens[0][-1] == third and max(map(len, tokens)) == STEPS
    wanted = [spoken(backbone, row[:-1] if row[-1] == third else row) for row in tokens]
    assert backbone.generate(prompts, memory, max_new_tokens=STEPS) == wanted


@torch.no_grad()
def test_generation_settings_that_came_with_the_weights_have_no_say(
    tiny_tokenizer: Callable[..., object], tiny_model: Callable[..., object], tiny_backbone: Backbones
) -> None:
    answers = []
    for penalty in (None, 50.0):
        tokenizer = tiny_tokenizer()
        model = tiny_model("llama", vocab_size=len(tokenizer))  # type: ignore[arg-type]
        model.generation_config.repetition_penalty = penalty  # type: ignore[attr-defined]
        backbone = ClaraBackbone(
            model,  # type: ignore[arg-type]
            tokenizer,  # type: ignore[arg-type]
            memory=MemoryConfig(tokens=2, document_tokens=8),
            lora=LoraSettings(rank=2),
            prompt=PromptTemplate(),
        )
        answers.append(backbone.generate([backbone.prompts.ask("Why?", ())], max_new_tokens=STEPS))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("training", [True, False])
def test_mode_and_adapter_are_what_they_were(tiny_backbone: Backbones, training: bool) -> None:
    backbone = tiny_backbone(dropout=0.5).train(training)
    prompt = backbone.prompts.ask("Why?", ())
    with backbone.use_adapter(COMPRESSOR):
        first = backbone.generate([prompt], max_new_tokens=STEPS)
        assert backbone._layers[0].active_adapters == [COMPRESSOR]
    assert backbone.lm.training is training
    assert backbone.generate([prompt], max_new_tokens=STEPS) == first  # no dropout in answers


def test_mode_and_adapter_are_restored_after_an_error(tiny_backbone: Backbones) -> None:
    backbone = tiny_backbone().train()
    with pytest.raises(ValueError, match="places for 4"):
        backbone.generate([backbone.prompts.ask("Why?", (MEMORY,))])
    assert backbone.lm.training
    assert backbone._layers[0].active_adapters == [COMPRESSOR]


def test_a_checkpointed_backbone_in_training_answers_alike(tiny_backbone: Backbones) -> None:
    answers = []
    for checkpointing in (True, False):
        backbone = tiny_backbone(gradient_checkpointing=checkpointing).train()
        answers.append(backbone.generate([backbone.prompts.ask("Why?", ())], max_new_tokens=STEPS))
    assert answers[0] == answers[1]
