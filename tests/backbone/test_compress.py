"""A text's memory depends on that text alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.data.prompts import MEMORY

KINDS = ("published", "calibrated", "anchors")
Backbones = Callable[..., ClaraBackbone]
# Memory is float32 whatever the backbone computes in.
TOLERANCE = {torch.float64: 2e-6, torch.float32: 2e-5, torch.bfloat16: 6e-2}


def assert_close(one: Tensor, other: Tensor, dtype: torch.dtype) -> None:
    scale = float(other.float().std())
    torch.testing.assert_close(one.float(), other.float(), rtol=0, atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("words_per_token", [0, 1, 2])
@torch.no_grad()
def test_whole_words_stand_together_in_batches_as_alone(
    tiny_backbone: Backbones, documents: list[str], memory_by_definition: Any, words_per_token: int
) -> None:
    backbone = tiny_backbone(kind="words", words_per_token=words_per_token)
    memory = backbone.read(documents, adapter=COMPRESSOR).memory_NLD
    for index, text in enumerate(documents):
        wanted = memory_by_definition(backbone, text, adapter=COMPRESSOR)
        assert_close(memory[index], wanted, torch.float32)


@torch.no_grad()
def test_a_place_weighs_as_its_rarest_word(tiny_backbone: Backbones) -> None:
    apart, together = (tiny_backbone(kind="words", tokens=12, words_per_token=number) for number in (1, 6))
    text = "zyx the cat qwv"
    weights = apart.read([text], adapter=COMPRESSOR).weights_NL[0]
    with together.shortened(1):
        assert together.read([text], adapter=COMPRESSOR).weights_NL.tolist() == [[float(weights.max())]]


@torch.no_grad()
def test_means_and_weights_do_not_depend_on_the_batch_either(tiny_backbone: Backbones, documents: list[str]) -> None:
    backbone = tiny_backbone("mistral")
    batch = backbone.read(documents, adapter=COMPRESSOR)
    for index, text in enumerate(documents):
        alone = backbone.read([text], adapter=COMPRESSOR)
        assert_close(batch.text_mean_ND[index], alone.text_mean_ND[0], torch.float32)
        assert_close(batch.memory_mean_ND[index], alone.memory_mean_ND[0], torch.float32)
        assert torch.equal(batch.weights_NL[index], alone.weights_NL[0])


@torch.no_grad()
def test_words_behind_the_document_length_change_nothing_and_are_counted(
    tiny_backbone: Backbones, documents: list[str]
) -> None:
    backbone = tiny_backbone(document_tokens=32)
    long = documents[3]
    one = backbone.read([long], adapter=COMPRESSOR)
    other = backbone.read([long + " And more."], adapter=COMPRESSOR)
    assert torch.equal(one.memory_NLD, other.memory_NLD)
    assert backbone.read(documents, adapter=COMPRESSOR).num_cut == 1


@torch.no_grad()
def test_a_text_that_spells_a_special_token_is_read_as_letters(tiny_backbone: Backbones) -> None:
    backbone = tiny_backbone()
    tokens = backbone.tokenize(["end </s> of <|im_end|> it"])
    special = set(backbone.tokenizer.all_special_ids)
    assert [token for token in tokens.ids_NT[0].tolist() if token in special] == [backbone.tokenizer.bos_token_id]
    assert "</s>" in backbone.tokenizer.decode(tokens.ids_NT[0])


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_an_empty_text_has_a_memory(tiny_backbone: Backbones, kind: str) -> None:
    backbone = tiny_backbone(kind=kind, bos=False)
    memory = backbone.compress(["", "Oslo."])
    assert memory.shape == (2, 4, 32)
    assert bool(memory.isfinite().all())


@torch.no_grad()
def test_compressing_leaves_mode_and_adapter_as_they_were(tiny_backbone: Backbones) -> None:
    backbone = tiny_backbone().train()
    with backbone.use_adapter(GENERATOR):
        backbone.compress(["Oslo."])
        assert backbone._layers[0].active_adapters == [GENERATOR]
    assert backbone.training and backbone.lm.training


@torch.no_grad()
def test_compression_never_runs_the_lm_head(tiny_backbone: Backbones) -> None:
    backbone = tiny_backbone()
    calls: list[int] = []
    backbone.causal_lm.get_output_embeddings().register_forward_hook(lambda *_: calls.append(1))
    backbone.compress(["Oslo."])
    assert calls == []


@torch.no_grad()
def test_memory_that_does_not_fill_its_places_is_refused(tiny_backbone: Backbones, documents: list[str]) -> None:
    backbone = tiny_backbone()
    prompts = [backbone.prompts.ask("Where?", (MEMORY, MEMORY), answer="here")]
    for memory, given in ((None, 0), (backbone.compress(documents[:1]), 4), (backbone.compress(documents), 16)):
        with pytest.raises(ValueError, match=f"places for 8 memory vectors, got {given}"):
            backbone.answer_loss(prompts, memory)
