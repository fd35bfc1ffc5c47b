"""The answer loss is that of the whole model, computed at the answers' positions alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR
from clara_lightning.backbone.backbone import AnswerLoss, ClaraBackbone
from clara_lightning.data.prompts import IGNORED, MEMORY, Prompt

FAMILIES = ("llama", "mistral", "phi3", "qwen3", "gemma3")
Backbones = Callable[..., ClaraBackbone]


def make_prompts(backbone: ClaraBackbone) -> list[Prompt]:
    """Prompts of different lengths with two, no and one memory."""
    ask = backbone.prompts.ask
    return [
        ask("Which is larger, and why is it?", (MEMORY, MEMORY), answer="Rome"),
        ask("Why?", (), answer="nobody knows for sure"),
        ask("Where is it?", ("some text", MEMORY), answer="in the north"),
    ]


@torch.no_grad()
def reference(backbone: ClaraBackbone, prompt: Prompt, memory_KLD: Tensor, *, adapter: str | None) -> tuple[float, int]:
    """Sum and number: one prompt, every position's logits from the model's own forward, a loop over the labels."""
    batch = backbone.prompts.encode([prompt])
    embedded = backbone.causal_lm.get_input_embeddings()(batch.ids)[0]
    vectors = iter(memory_KLD.flatten(0, 1) + backbone.head(COMPRESSOR).centre_D)
    for place, is_memory in enumerate(batch.slots[0].tolist()):
        if is_memory:
            embedded[place] = next(vectors)
    if adapter is None:
        with backbone.lm.disable_adapter():
            logits = backbone.causal_lm(inputs_embeds=embedded[None]).logits[0]
    else:
        backbone.lm.set_adapter(adapter)
        logits = backbone.causal_lm(inputs_embeds=embedded[None]).logits[0]
    total, count = 0.0, 0
    for place, label in enumerate(batch.labels[0].tolist()):
        if label != IGNORED:
            scores = logits[place - 1].tolist()
            top = max(scores)
            total += top + math.log(sum(math.exp(score - top) for score in scores)) - scores[label]
            count += 1
    return total, count


@pytest.mark.parametrize("adapter", [GENERATOR, None])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_the_loss_of_a_batch_is_that_of_the_whole_model_prompt_by_prompt(
    tiny_backbone: Backbones, documents: list[str], family: str, adapter: str | None
) -> None:
    backbone = tiny_backbone(family, dtype=torch.float64)
    memory = backbone.compress(documents[:3])
    prompts = make_prompts(backbone)
    loss = backbone.answer_loss(prompts, memory, adapter=adapter)
    parts = (memory[:2], memory[:0], memory[2:])
    wanted = [reference(backbone, one, part, adapter=adapter) for one, part in zip(prompts, parts, strict=True)]
    assert loss.tokens_B.tolist() == [count for _, count in wanted]
    assert loss.sum_B.tolist() == pytest.approx([total for total, _ in wanted], rel=1e-5)


@torch.no_grad()
def test_the_soft_cap_of_gemma_matters_here(tiny_backbone: Backbones) -> None:
    backbone = tiny_backbone("gemma3")
    prompts = [backbone.prompts.ask("Why?", (), answer="so")]
    capped = backbone.answer_loss(prompts).mean
    backbone.causal_lm.config.final_logit_softcapping = None
    assert abs(float(backbone.answer_loss(prompts).mean - capped)) > 0.1


@torch.no_grad()
def test_the_head_runs_at_the_answers_tokens_alone(tiny_backbone: Backbones, documents: list[str]) -> None:
    backbone = tiny_backbone()
    rows: list[int] = []
    backbone.causal_lm.get_output_embeddings().register_forward_hook(
        lambda module, inputs, output: rows.append(inputs[0].numel() // backbone.hidden_size)
    )
    loss = backbone.answer_loss(make_prompts(backbone), backbone.compress(documents[:3]))
    assert rows == [int(loss.tokens_B.sum())]


@torch.no_grad()
def test_the_loss_of_a_prompt_does_not_depend_on_its_batch(tiny_backbone: Backbones, documents: list[str]) -> None:
    backbone = tiny_backbone("mistral")
    memory, prompts = backbone.compress(documents[:3]), make_prompts(backbone)
    together = backbone.answer_loss(prompts, memory).sum_B
    alone = [backbone.answer_loss([p], m).sum_B for p, m in zip(prompts, (memory[:2], None, memory[2:]), strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_every_memory_of_a_prompt_matters_and_so_does_its_place(tiny_backbone: Backbones, documents: list[str]) -> None:
    backbone = tiny_backbone()
    memory = backbone.compress(documents[:3])
    prompts = [backbone.prompts.ask("Where?", (MEMORY, MEMORY), answer="here")]
    losses = {
        float(backbone.answer_loss(prompts, memory[list(chosen)]).mean) for chosen in ((0, 1), (1, 0), (0, 2), (2, 1))
    }
    assert len(losses) == 4


def test_the_mean_is_over_all_answer_tokens_of_the_batch() -> None:
    assert float(AnswerLoss(torch.tensor([6.0, 1.0]), torch.tensor([2, 5])).mean) == 1.0


def test_memory_may_have_any_shape_of_as_many_values(tiny_backbone: Backbones, documents: list[str]) -> None:
    backbone = tiny_backbone()
    memory = backbone.compress(documents)
    prompts = [backbone.prompts.ask(f"{n}?", (MEMORY, MEMORY), answer="here") for n in range(2)]
    flat, nested = (backbone.answer_loss(prompts, m).sum_B for m in (memory, memory.unflatten(0, (2, 2))))
    assert torch.equal(flat, nested)
