"""The limit counts what torch counts, where there is no padding and nothing is done in vain."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from clara_lightning.backbone.adapters import GENERATOR, LoraSettings, add_adapters, set_trainable

RANK, TOKENS, ANSWER = 2, 12, 5


def counted(model: PreTrainedModel, *, trained: bool) -> int:
    """What torch counts for one text, with the head at its last positions."""
    lm = add_adapters(model, names=(GENERATOR,), settings=LoraSettings(rank=RANK, alpha=4, dropout=0.0))
    set_trainable(lm, (GENERATOR,) if trained else ())
    inputs = torch.randn(1, TOKENS, model.config.hidden_size, requires_grad=trained)
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(trained):
        hidden = model.base_model(inputs_embeds=inputs, use_cache=False).last_hidden_state
        logits = model.get_output_embeddings()(hidden[0, -ANSWER:])
        if trained:
            logits.sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3"])
def test_the_count_is_that_of_torch(family: str, trained: bool, tiny_model: Callable[..., PreTrainedModel]) -> None:
    from benchmarks.limit import Layers, Pass

    model = tiny_model(family, vocab_size=320)
    model.set_attn_implementation("eager")  # whose products are seen; they are not causal, so all pairs count
    layers = Layers.of(model, rank=RANK)
    passes = [Pass([TOKENS], head=ANSWER, trained=trained)]
    pairs = TOKENS * (TOKENS - 1) // 2 * layers.attention * (3 if trained else 1)  # those that causal attention saves

    assert layers.flops(passes) + pairs == counted(model, trained=trained)


def test_generating_is_reading_on(tiny_model: Callable[..., PreTrainedModel]) -> None:
    """n tokens after a prompt of T take what reading T + n - 1 tokens takes, and the head n times."""
    from benchmarks.limit import Layers, Pass

    model = tiny_model("llama", vocab_size=320)
    model.set_attn_implementation("eager")
    layers = Layers.of(model, rank=RANK)
    ids = torch.randint(5, 300, (1, TOKENS))
    with FlopCounterMode(display=False) as counter:
        model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, min_new_tokens=4)

    expected = layers.flops([Pass([TOKENS + 3], head=4)]) - (TOKENS + 3) * layers.lora
    saved = TOKENS * (TOKENS - 1) // 2 * layers.attention  # the prompt is read at once, and all its pairs are counted
    assert counter.get_total_flops() == expected + saved


def test_a_limit_grows_with_what_is_done(tiny_model: Callable[..., PreTrainedModel]) -> None:
    from benchmarks.limit import Layers, Pass

    layers = Layers.of(tiny_model("llama", vocab_size=320), rank=RANK)
    read, answered = layers.flops([Pass([8, 4])]), layers.flops([Pass([8, 4], head=2)])

    assert answered - read == 2 * layers.head
    assert layers.flops([Pass([12])]) > read  # longer texts attend to more
    assert layers.flops([Pass([8, 8], known=3)]) == layers.flops([Pass([8, 8])]) - layers.flops([Pass([3, 3])])
    assert 2 * read < layers.flops([Pass([8, 4], trained=True)]) < 3 * read
