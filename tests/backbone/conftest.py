"""What a backbone must compute, by the definition: no batch, no padding, no mask, no cache, every logit."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from clara_lightning.backbone.adapters import COMPRESSOR
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.depth import only_first
from clara_lightning.backbone.words import Words
from clara_lightning.data.prompts import IGNORED, Prompt


@torch.no_grad()
def memory_of(backbone: ClaraBackbone, text: str, *, adapter: str) -> Tensor:
    """Memory of one text, with PEFT's own switch of adapters."""
    head, lm = backbone.head(adapter), backbone.causal_lm
    ids = torch.tensor(backbone.tokenizer(f" {text}")["input_ids"][: head.config.document_tokens])
    embedded = lm.get_input_embeddings()(ids)
    read = head.tokens_LD.detach().clone()
    anchors = torch.zeros_like(read)
    if head.config.kind == "words":
        # Which words are rare is tested elsewhere (test_words.py, test_memory.py).
        for position, place in enumerate(head.places(*_tokens(backbone, text))[0].tolist()):
            if place < len(anchors):
                anchors[place] += embedded[position].float() - head.centre_D
        read = read + anchors
    if head.config.kind == "anchors":
        frequency, total = head.document_frequency_V.tolist(), int(head.num_documents)
        special = set(backbone.tokenizer.all_special_ids)
        ordinary = [place for place, token in enumerate(ids.tolist()) if token not in special]
        rarest = sorted(ordinary, key=lambda place: (frequency[int(ids[place])] - total, place))[: head.config.tokens]
        for row, place in enumerate(sorted(rarest)):
            anchors[row] = embedded[place].float() - head.centre_D
        read = read + anchors
    backbone.lm.set_adapter(adapter)
    with only_first(lm, head.config.layer):  # tested by itself in test_depth.py
        hidden = lm.base_model(inputs_embeds=torch.cat([embedded, read.to(embedded.dtype)])[None]).last_hidden_state[0]
    hidden = hidden[len(ids) :].float()
    if head.config.kind == "published":
        return hidden
    corrected = (hidden - head.hidden_mean_D) / head.hidden_std_D * head.gain_D + head.bias_D
    return corrected if head.config.kind == "calibrated" else anchors + head.scale * corrected


def _tokens(backbone: ClaraBackbone, text: str) -> tuple[Tensor, Tensor, Words | None]:
    tokens = backbone.tokenize([text])
    return tokens.ids_NT, tokens.ordinary_NT, tokens.words


@torch.no_grad()
def loss_of(backbone: ClaraBackbone, prompt: Prompt, memory_KLD: Tensor, *, adapter: str | None) -> tuple[float, int]:
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


@torch.no_grad()
def greedy_of(
    backbone: ClaraBackbone, prompt: Prompt, memory: Tensor | None, *, adapter: str | None, steps: int
) -> list[int]:
    """Tokens of one answer: a whole forward for every token; ends with a stop token or after ``steps``."""
    embedded = backbone.splice(backbone.prompts.encode([prompt]), memory)
    tokens: list[int] = []
    while len(tokens) < steps and not (tokens and tokens[-1] in backbone.prompts.stop_ids):
        with backbone.use_adapter(adapter):
            logits = backbone.causal_lm(inputs_embeds=embedded, use_cache=False).logits
        tokens.append(int(logits[0, -1].argmax()))
        embedded = torch.cat([embedded, backbone.embed(torch.tensor([[tokens[-1]]]))], dim=1)
    return tokens


@pytest.fixture(scope="session")
def memory_by_definition() -> Callable[..., Tensor]:
    """:func:`memory_of`."""
    return memory_of


@pytest.fixture(scope="session")
def loss_by_definition() -> Callable[..., tuple[float, int]]:
    """:func:`loss_of`."""
    return loss_of


@pytest.fixture(scope="session")
def greedy_by_definition() -> Callable[..., list[int]]:
    """:func:`greedy_of`."""
    return greedy_of
