"""The answer loss is that of the whole model, computed at the answers' positions alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from clara_lightning.backbone import runner
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.likelihood import AnswerLoss
from clara_lightning.data.prompts import MEMORY, Prompt
from clara_lightning.objectives.losses import head_cross_entropy

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
def test_the_soft_cap_of_gemma_matters_here(tiny_backbone: Backbones) -> None:
    backbone = tiny_backbone("gemma3")
    prompts = [backbone.prompts.ask("Why?", (), answer="so")]
    capped = backbone.answer_loss(prompts).mean
    backbone.causal_lm.config.final_logit_softcapping = None
    assert abs(float(backbone.answer_loss(prompts).mean - capped)) > 0.1


@torch.no_grad()
def test_the_head_runs_at_the_answers_tokens_alone(
    tiny_backbone: Backbones, documents: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone()
    rows: list[int] = []

    def watched(hidden_XD: Tensor, *rest: Tensor) -> Tensor:
        rows.append(len(hidden_XD))
        return head_cross_entropy(hidden_XD, *rest)

    monkeypatch.setattr(runner, "head_cross_entropy", watched)
    loss = backbone.answer_loss(make_prompts(backbone), backbone.compress(documents[:3]))
    assert rows == [int(loss.tokens_B.sum())]


@torch.no_grad()
def test_a_head_with_scaled_logits_runs_at_the_answers_tokens_alone(
    tiny_backbone: Backbones, documents: list[str]
) -> None:
    backbone = tiny_backbone("granite")
    memory = backbone.compress(documents[:3])
    rows: list[int] = []
    backbone.causal_lm.get_output_embeddings().register_forward_hook(
        lambda module, inputs, output: rows.append(inputs[0].numel() // backbone.hidden_size)
    )
    loss = backbone.answer_loss(make_prompts(backbone), memory)
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
