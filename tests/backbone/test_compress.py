"""A text's memory depends on that text alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.data.prompts import MEMORY

FAMILIES = ("llama", "mistral", "phi3", "qwen3", "gemma3")
KINDS = ("published", "calibrated", "anchors")
Backbones = Callable[..., ClaraBackbone]
# Memory is float32 whatever the backbone computes in.
TOLERANCE = {torch.float64: 2e-6, torch.float32: 2e-5, torch.bfloat16: 6e-2}


def assert_close(one: Tensor, other: Tensor, dtype: torch.dtype) -> None:
    scale = float(other.float().std())
    torch.testing.assert_close(one.float(), other.float(), rtol=0, atol=TOLERANCE[dtype] * scale)


@torch.no_grad()
def reference(backbone: ClaraBackbone, text: str, *, adapter: str) -> Tensor:
    """Memory of one text by the definition: no batch, no padding, no mask, PEFT's own switch of adapters."""
    head, lm = backbone.head(adapter), backbone.causal_lm
    ids = torch.tensor(backbone.tokenizer(f" {text}")["input_ids"][: head.config.document_tokens])
    table = lm.get_input_embeddings()
    embedded = table(ids)
    read = head.tokens_LD.detach().clone()
    anchors = torch.zeros_like(read)
    if head.config.kind == "anchors":
        frequency, total = head.document_frequency_V.tolist(), int(head.num_documents)
        special = set(backbone.tokenizer.all_special_ids)
        ordinary = [place for place, token in enumerate(ids.tolist()) if token not in special]
        rarest = sorted(ordinary, key=lambda place: (frequency[int(ids[place])] - total, place))[: head.config.tokens]
        for row, place in enumerate(sorted(rarest)):
            anchors[row] = embedded[place].float() - head.centre_D
        read = read + anchors
    backbone.lm.set_adapter(adapter)
    hidden = lm.base_model(inputs_embeds=torch.cat([embedded, read.to(embedded.dtype)])[None]).last_hidden_state[0]
    hidden = hidden[len(ids) :].float()
    if head.config.kind == "published":
        return hidden
    corrected = (hidden - head.hidden_mean_D) / head.hidden_std_D * head.gain_D + head.bias_D
    return corrected if head.config.kind == "calibrated" else anchors + head.scale * corrected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_memory_in_a_batch_is_that_of_the_definition(
    tiny_backbone: Backbones, documents: list[str], family: str, kind: str
) -> None:
    backbone = tiny_backbone(family, kind=kind, dtype=torch.float64)
    batch = backbone.compress(documents)
    for row, text in zip(batch, documents, strict=True):
        assert_close(row, reference(backbone, text, adapter=COMPRESSOR), torch.float64)


@torch.no_grad()
def test_positions_count_real_tokens_only(tiny_backbone: Backbones, documents: list[str]) -> None:
    backbone = tiny_backbone("gpt2", dtype=torch.float64)  # where a position is absolute, padding would shift it
    for row, text in zip(backbone.compress(documents), documents, strict=True):
        assert_close(row, reference(backbone, text, adapter=COMPRESSOR), torch.float64)


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
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_memory_does_not_depend_on_the_side_on_which_the_tokenizer_pads(
    tiny_backbone: Backbones, documents: list[str], family: str, side: str
) -> None:
    backbone = tiny_backbone(family)
    alone = torch.cat([backbone.compress([text]) for text in documents])
    backbone.tokenizer.padding_side = side
    assert_close(backbone.compress(documents), alone, torch.float32)


@pytest.mark.parametrize("options", [{"chat": "none"}, {"bos": False}, {"pad": False}, {"bos": False, "pad": False}])
@torch.no_grad()
def test_memory_holds_with_every_kind_of_tokenizer(
    tiny_backbone: Backbones, documents: list[str], options: dict[str, object]
) -> None:
    backbone = tiny_backbone(dtype=torch.float64, **options)
    batch = backbone.compress(documents)
    for row, text in zip(batch, documents, strict=True):
        assert_close(row, reference(backbone, text, adapter=COMPRESSOR), torch.float64)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_query_vectors_do_not_depend_on_their_batch(
    tiny_backbone: Backbones, questions: list[str], family: str
) -> None:
    backbone = tiny_backbone(family, adapters=(COMPRESSOR, GENERATOR, QUERY_REASONER))
    alone = torch.cat([backbone.reason([text]) for text in questions])
    assert_close(backbone.reason(questions), alone, torch.float32)
    assert not torch.allclose(alone, backbone.compress(questions))


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
