"""A causal LM gives the same for packed, shared and padded sequences; what it cannot do is found out by trying."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.packing import ATTENTION, Sequences
from clara_lightning.backbone.runner import Runner
from clara_lightning.data.prompts import document_ids

CPU = torch.device("cpu")
PACKED = ("llama", "qwen3", "phi3", "gpt2", "opt", "granite", "mixtral", "mistral")
PADDED = ("bloom", "falcon", "gemma2", "gpt_oss", "lfm2", "granitemoehybrid")
Models = Callable[..., Any]


def embedded(model: Any, ids: list[int]) -> Tensor:
    return model.get_input_embeddings()(torch.tensor(ids)).detach()


@pytest.mark.parametrize("family", [*PACKED, *PADDED])
@torch.no_grad()
def test_sequences_give_what_each_gives_alone(tiny_model: Models, family: str) -> None:
    model = tiny_model(family, vocab_size=320)  # fused experts compute in nothing wider than float32
    start, ends = [5, 6, 7], ([8, 9, 10, 11], [12], [13, 14])
    alone = [model.base_model(input_ids=torch.tensor([[*start, *end]])).last_hidden_state[0] for end in ends]
    runner = Runner(model)
    whole = Sequences(tuple(3 + len(end) for end in ends), CPU)
    shared = Sequences((7, 1, 2), CPU, shared=3)
    assert runner.packs(whole) is (family in PACKED)
    found = runner.hidden(embedded(model, [token for end in ends for token in (*start, *end)]), whole)
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-4, atol=1e-4)
    found = runner.hidden(embedded(model, [*start, *(token for end in ends for token in end)]), shared)
    torch.testing.assert_close(found, torch.cat([alone[0], alone[1][3:], alone[2][3:]]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("verdicts", "packs"), [((True,), True), ((False, True), True), ((False, False), False)], ids=str
)
@torch.no_grad()
def test_packing_need_only_round_like_one_of_the_attentions_of_transformers(
    tiny_model: Models, monkeypatch: pytest.MonkeyPatch, verdicts: tuple[bool, ...], packs: bool
) -> None:
    model, left = tiny_model("llama", vocab_size=320, dtype=torch.float64), list(verdicts)
    monkeypatch.setattr("clara_lightning.backbone.runner._alike", lambda found, wanted: left.pop(0))
    runner = Runner(model)
    runner._plain_head = False  # is not asked about
    assert runner.packs(Sequences((4, 3), CPU)) is packs
    assert not left
    assert model.config._attn_implementation == (ATTENTION if packs else "sdpa")


@torch.no_grad()
def test_a_window_shorter_than_a_sequence_is_not_packed(tiny_model: Models) -> None:
    runner = Runner(tiny_model("mistral", vocab_size=320))  # a window of 8 tokens
    assert runner.packs(Sequences((8, 3), CPU))
    assert not runner.packs(Sequences((3, 9), CPU))
    assert not runner.packs(Sequences((8, 3), CPU, shared=6))


@torch.no_grad()
def test_another_attention_that_is_set_later_is_obeyed(tiny_model: Models) -> None:
    model = tiny_model("llama", vocab_size=320, dtype=torch.float64)
    runner, sequences = Runner(model), Sequences((3, 4), CPU)
    x = embedded(model, list(range(5, 12)))
    packed = runner.hidden(x, sequences)
    assert model.config._attn_implementation == ATTENTION
    model.set_attn_implementation("eager")
    assert not runner.packs(sequences)
    torch.testing.assert_close(runner.hidden(x, sequences), packed, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("family", "plain"), [("llama", True), ("opt", True), ("granite", False), ("gemma2", False)])
@torch.no_grad()
def test_a_head_with_more_than_a_product_is_found(tiny_model: Models, family: str, plain: bool) -> None:
    model = tiny_model(family, vocab_size=320, dtype=torch.float64).requires_grad_(False)
    runner, sequences = Runner(model), Sequences((4, 3), CPU)
    x, places, ids = embedded(model, list(range(5, 12))), torch.tensor([1, 2, 5]), torch.tensor([7, 9, 100])
    found = runner.losses(runner.seen(x, sequences, places), ids)
    assert runner._plain_head is plain
    logits = torch.cat([model(inputs_embeds=part[None]).logits[0] for part in x.split([4, 3])])
    wanted = nn.functional.cross_entropy(logits[places], ids, reduction="none")
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


def test_texts_that_occur_twice_are_read_once(
    tiny_backbone: Callable[..., ClaraBackbone], documents: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone()
    once = backbone.read(documents, adapter="compressor")
    seen: list[int] = []
    hidden = backbone._runner.hidden

    def watched(inputs_PD: Tensor, sequences: Sequences) -> Tensor:
        seen.append(len(sequences.lengths))
        return hidden(inputs_PD, sequences)

    monkeypatch.setattr(backbone._runner, "hidden", watched)
    order = [3, 0, 3, 1, 2, 0]
    twice = backbone.read([documents[number] for number in order], adapter="compressor")
    assert seen == [len(documents)]
    for one, other in zip(once[:4], twice[:4], strict=True):
        torch.testing.assert_close(other, one[order])
    assert (once.num_cut, twice.num_cut) == (1, 2)  # the last document is too long, and stands twice
    assert once.num_tokens == twice.num_tokens


@pytest.mark.parametrize(("family", "pads"), [("llama", False), ("bloom", True)])
@torch.no_grad()
def test_padding_is_what_the_lm_ran_over_beside_tokens(
    tiny_backbone: Callable[..., ClaraBackbone],
    documents: list[str],
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    pads: bool,
) -> None:
    backbone = tiny_backbone(family)
    backbone.read(documents, adapter="compressor")  # the first call tries what can be done
    monkeypatch.setattr("clara_lightning.backbone.backbone.TOKENS_AT_ONCE", 60)
    ran: list[int] = []

    def watch(module: nn.Module, arguments: Any, options: dict[str, Any]) -> None:
        ran.append(options["inputs_embeds"].shape[:2].numel())

    trunk = cast(nn.Module, backbone.causal_lm.base_model)
    trunk.register_forward_pre_hook(watch, with_kwargs=True)

    read = backbone.read(documents, adapter="compressor")

    lengths = [min(32, len(ids)) + 4 for ids in document_ids(backbone.tokenizer, documents)]
    assert read.num_tokens == sum(lengths) and len(ran) > 1
    assert read.num_padding == sum(ran) - sum(lengths)
    assert backbone.pads is pads is (read.num_padding > 0)


@torch.no_grad()
def test_without_gradients_a_long_list_is_read_in_parts(
    tiny_backbone: Callable[..., ClaraBackbone], documents: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone(dtype=torch.float64)
    whole = backbone.read(documents, adapter="compressor")
    monkeypatch.setattr("clara_lightning.backbone.backbone.TOKENS_AT_ONCE", 30)
    parts = [len(part) for part in backbone._in_parts(backbone._token_rows(documents))]
    assert sum(parts) == len(documents)
    assert len(parts) > 1
    for one, other in zip(whole, backbone.read(documents, adapter="compressor"), strict=True):
        torch.testing.assert_close(other, one)
    with torch.enable_grad():
        assert len(list(backbone._in_parts(backbone._token_rows(documents)))) == 1
