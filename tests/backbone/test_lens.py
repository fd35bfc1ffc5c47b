"""What a memory decodes to is what the LM's head says, and a word is marked when the text does not have it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER, active_adapter
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.lens import Lens, Place, Word, anchor_words, logit_lens, nearest_words
from clara_lightning.backbone.memory import MemoryKind

Backbones = Callable[..., ClaraBackbone]
KINDS: tuple[MemoryKind, ...] = ("published", "calibrated", "anchors")
ALL = (COMPRESSOR, GENERATOR, QUERY_REASONER)
PARIS = "Paris is the capital of France."


def softmax(logits_LV: np.ndarray) -> np.ndarray:
    shares_LV = np.exp(logits_LV - logits_LV.max(-1, keepdims=True))
    return shares_LV / shares_LV.sum(-1, keepdims=True)


def best_of(backbone: ClaraBackbone, values_LV: np.ndarray, top: int) -> tuple[list[list[str]], np.ndarray]:
    """The tokens with the largest values, as text, and these values."""
    order_LX = (-values_LV).argsort(-1, kind="stable")[:, :top]
    texts = [[backbone.tokenizer.decode([token]) for token in row] for row in order_LX.tolist()]
    return texts, np.take_along_axis(values_LV, order_LX, -1)


def assert_shows(lens: Lens, backbone: ClaraBackbone, values_LV: np.ndarray, *, top: int) -> None:
    texts, values = best_of(backbone, values_LV, top)
    assert [[word.text for word in place.words] for place in lens.places] == texts
    np.testing.assert_allclose([[word.value for word in place.words] for place in lens.places], values, atol=2e-5)


@pytest.mark.parametrize(
    ("family", "tied", "cap"),
    [("llama", True, None), ("mistral", False, None), ("gpt2", True, None), ("gemma3", True, 3.0)],
)
@pytest.mark.parametrize("adapter", [COMPRESSOR, QUERY_REASONER])
def test_places_decode_by_the_weights_of_the_head(
    tiny_backbone: Backbones,
    memory_by_definition: Callable[..., Tensor],
    documents: list[str],
    family: str,
    tied: bool,
    cap: float | None,
    adapter: str,
) -> None:
    backbone = tiny_backbone(family, kind="published", adapters=ALL)  # published memory is the last hidden state
    head = backbone.causal_lm.get_output_embeddings().weight
    assert (head is backbone.causal_lm.get_input_embeddings().weight) is tied
    weight_VD = head.detach().numpy()

    lenses = logit_lens(backbone, documents, adapter=adapter, top=4)

    for text, lens in zip(documents, lenses, strict=True):
        logits_LV = memory_by_definition(backbone, text, adapter=adapter).numpy() @ weight_VD.T
        assert_shows(lens, backbone, softmax(logits_LV if cap is None else cap * np.tanh(logits_LV / cap)), top=4)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_every_kind_of_memory_decodes_from_the_hidden_states_that_it_is_made_of(
    tiny_backbone: Backbones, kind: MemoryKind, documents: list[str]
) -> None:
    backbone = tiny_backbone("mistral", kind=kind)
    hidden: list[Tensor] = []
    hook = backbone.causal_lm.base_model.register_forward_hook(
        lambda module, inputs, output: hidden.append(output.last_hidden_state)
    )
    backbone.read(documents[:1], adapter=COMPRESSOR)
    hook.remove()
    weight_VD = backbone.causal_lm.get_output_embeddings().weight

    (lens,) = logit_lens(backbone, documents[:1], adapter=COMPRESSOR)

    assert lens.measure == "probability"
    assert_shows(lens, backbone, softmax((hidden[0][0, -4:] @ weight_VD.T).numpy()), top=5)


def lens_of_tokens(backbone: ClaraBackbone, monkeypatch: pytest.MonkeyPatch, text: str, ids: list[int]) -> Lens:
    """A lens whose one place decodes to these tokens, in this order."""
    logits_V = torch.zeros(320)
    logits_V[ids] = torch.arange(len(ids), 0, -1).float()
    monkeypatch.setattr(backbone, "memory_logits", lambda texts, adapter: logits_V.expand(len(texts), 4, -1))
    return logit_lens(backbone, [text], adapter=COMPRESSOR, top=len(ids))[0]


def test_words_that_do_not_stand_in_the_text_are_marked(
    tiny_backbone: Backbones, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The text is cut into "P", "ar", "is", " is", " the", " capital", " of", " France" and ".".
    backbone = tiny_backbone()
    expected = {
        " France": True,
        " the": True,
        "is": True,
        " p": True,  # the piece "P", in whatever case
        " Rome": False,
        " cap": False,  # the beginning of a word of the text is another token
        "he": False,
        ".": None,
        "<s>": None,
    }
    ids = [backbone.tokenizer.encode(token, add_special_tokens=False)[0] for token in expected]

    lens = lens_of_tokens(backbone, monkeypatch, PARIS, ids)

    assert {word.text: word.in_text for word in lens.places[0].words} == expected


def test_a_word_stands_in_the_text_however_the_tokenizer_cuts_it(
    tiny_backbone: Backbones, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone()
    oslo = backbone.tokenizer.encode(" Oslo", add_special_tokens=False)
    assert len(oslo) == 1 and oslo[0] not in backbone.tokenizer.encode(" In OSLO, snow")

    assert lens_of_tokens(backbone, monkeypatch, "In OSLO, snow", oslo).places[0].words[0].in_text
    assert lens_of_tokens(backbone, monkeypatch, "In Oslos, snow", oslo).places[0].words[0].in_text is True  # a token
    assert lens_of_tokens(backbone, monkeypatch, "In OSLOS, snow", oslo).places[0].words[0].in_text is False


def test_what_is_cut_from_a_text_does_not_count_as_read(
    tiny_backbone: Backbones, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone(document_tokens=8)
    france = backbone.tokenizer.encode(" France", add_special_tokens=False)

    whole = lens_of_tokens(backbone, monkeypatch, "of France", france)
    cut = lens_of_tokens(backbone, monkeypatch, PARIS, france)

    assert (whole.cut, whole.places[0].words[0].in_text) == (False, True)
    assert (cut.cut, cut.places[0].words[0].in_text) == (True, False)


def test_anchors_are_the_rarest_tokens_of_the_text(tiny_backbone: Backbones, documents: list[str]) -> None:
    backbone = tiny_backbone()
    head, tokenizer = backbone.head(COMPRESSOR), backbone.tokenizer
    frequency = head.document_frequency_V.tolist()

    found = anchor_words(backbone, documents, adapter=COMPRESSOR)

    for text, anchors in zip(documents, found, strict=True):
        ids = tokenizer.encode(f" {text}", add_special_tokens=False)[:31]  # one place is the BOS token's
        places = sorted(sorted(range(len(ids)), key=lambda place: (frequency[ids[place]], place))[:4])
        expected = [tokenizer.decode([ids[place]]) for place in places]
        assert anchors == expected + [None] * (4 - len(expected))


def test_only_anchored_memory_has_anchors_and_a_short_text_leaves_places_empty(tiny_backbone: Backbones) -> None:
    (short,) = logit_lens(tiny_backbone(), ["Oslo"], adapter=COMPRESSOR)
    (plain,) = logit_lens(tiny_backbone(kind="calibrated"), ["Oslo"], adapter=COMPRESSOR)

    assert [(place.anchor, place.empty) for place in short.places] == [(" Oslo", False), *[(None, True)] * 3]
    assert [(place.anchor, place.empty) for place in plain.places] == [(None, False)] * 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["llama", "mistral", "gemma3"])
def test_stored_memory_shows_the_nearest_embeddings_by_centred_cosine(
    tiny_backbone: Backbones, family: str, kind: MemoryKind, documents: list[str]
) -> None:
    backbone = tiny_backbone(family, kind=kind)
    with torch.no_grad():
        memory_NLD = backbone.compress(documents).to(torch.bfloat16)  # as a store keeps it
        table_VD = backbone.embed(torch.arange(320)).double().numpy()
    mean_D = table_VD.mean(0)
    centre_D = mean_D if kind != "published" else 0.0

    lenses = nearest_words(backbone, documents, memory_NLD, top=3)

    for lens, memory_LD in zip(lenses, memory_NLD.double().numpy(), strict=True):
        query_LD, key_VD = memory_LD + centre_D - mean_D, table_VD - mean_D
        lengths_LV = np.linalg.norm(query_LD, axis=-1)[:, None] * np.linalg.norm(key_VD, axis=-1)
        assert lens.measure == "cosine"
        assert_shows(lens, backbone, query_LD @ key_VD.T / lengths_LV, top=3)


def test_the_share_counts_filled_places_by_their_best_word() -> None:
    there, new, sign = Word("a", 0.5, True), Word("b", 0.5, False), Word(",", 0.5, None)
    places = [
        Place("a", (new, there)),  # does not
        Place("a", (there, new)),  # does
        Place("a", (sign, new)),  # the sign is no word, so the second counts: does not
        Place("a", (sign, sign)),  # no word
        Place(None, (new,), empty=True),  # not filled
    ]

    assert Lens("a", False, "probability", tuple(places)).share_not_in_text == pytest.approx(2 / 3)
    assert Lens("a", False, "probability", tuple(places[3:])).share_not_in_text is None


def test_looking_changes_nothing(tiny_backbone: Backbones, documents: list[str]) -> None:
    backbone = tiny_backbone(adapters=ALL, dropout=0.5, gradient_checkpointing=True)
    quiet = logit_lens(backbone, documents, adapter=QUERY_REASONER)
    backbone.train()
    chance = torch.get_rng_state()

    with backbone.use_adapter(GENERATOR):
        looked = logit_lens(backbone, documents, adapter=QUERY_REASONER)
        nearest_words(backbone, documents, torch.ones(4, 4, 32))
        assert active_adapter(backbone._layers) == GENERATOR

    assert looked == quiet  # without dropout
    assert all(module.training for module in backbone.modules())
    assert torch.equal(torch.get_rng_state(), chance)
    assert all(value.grad is None for value in backbone.parameters())


def test_a_lens_does_not_depend_on_the_other_texts(tiny_backbone: Backbones) -> None:
    backbone = tiny_backbone("mistral")
    texts = [f"Town {number} sells {'much ' * (number % 4)}salt." for number in range(11)]  # more than one batch

    together = logit_lens(backbone, texts, adapter=COMPRESSOR, top=1)

    for text, lens in zip(texts, together, strict=True):
        (alone,) = logit_lens(backbone, [text], adapter=COMPRESSOR, top=1)
        assert [place.words[0].text for place in alone.places] == [place.words[0].text for place in lens.places]
