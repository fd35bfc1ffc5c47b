"""Anchors, rarity and calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clara_lightning.backbone.adapters import COMPRESSOR
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.memory import MemoryConfig, MemoryHead, MemoryKind
from clara_lightning.backbone.words import Words
from clara_lightning.errors import ClaraError

Backbones = Callable[..., ClaraBackbone]
VOCAB, DIM = 12, 3


def make_head(tokens: int = 3, kind: MemoryKind = "anchors", words_per_token: int = 0) -> MemoryHead:
    config = MemoryConfig(tokens=tokens, document_tokens=64, kind=kind, words_per_token=words_per_token)
    mean, std = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([1.0, 2.0, 0.5])
    return MemoryHead(config, embedding_mean_D=mean, embedding_std_D=std, vocab_size=VOCAB)


texts = st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=9)


@settings(deadline=None, max_examples=60)
@given(
    corpus=st.lists(texts, min_size=1, max_size=6),
    rows=st.lists(st.lists(st.tuples(st.integers(0, VOCAB - 1), st.booleans()), min_size=1, max_size=9), min_size=1),
    tokens=st.integers(1, 6),
    before=st.integers(0, 3),
)
def test_anchors_are_the_rarest_candidates_in_reading_order(
    corpus: list[list[int]], rows: list[list[tuple[int, bool]]], tokens: int, before: int
) -> None:
    head = make_head(tokens)
    head.count_tokens(corpus, [])
    width = max(map(len, rows)) + before
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    candidates = torch.zeros(len(rows), width, dtype=torch.bool)
    for number, row in enumerate(rows):
        for place, (token, candidate) in enumerate(row, start=width - len(row)):
            ids[number, place], candidates[number, place] = token, candidate
    places = head.places(ids, candidates)
    for number, row in enumerate(rows):
        # Rarest first, and of equally rare ones the earliest; then in reading order.
        allowed = [(sum(token in text for text in corpus), n) for n, (token, ok) in enumerate(row) if ok]
        wanted = sorted(n for _, n in sorted(allowed)[:tokens])
        expected = [tokens] * width
        for order, n in enumerate(wanted):
            expected[n + width - len(row)] = order
        assert places[number].tolist() == expected


def test_padding_does_not_change_which_tokens_are_chosen() -> None:
    head = make_head(2)
    head.count_tokens([[1, 2], [1, 3], [1]], [])
    text = [1, 2, 1, 3, 2]
    for before, after in ((0, 0), (3, 0), (0, 3), (2, 5)):
        ids = torch.tensor([[0] * before + text + [0] * after])
        candidates = torch.tensor([[False] * before + [True] * 5 + [False] * after])
        own = head.places(ids, candidates)[0, before : before + 5]
        assert own.tolist() == [2, 0, 2, 1, 2]


def test_of_equally_rare_tokens_the_earlier_is_chosen() -> None:
    places = make_head(2).places(torch.tensor([[4, 4, 5, 6]]), torch.ones(1, 4, dtype=torch.bool))
    assert places.tolist() == [[0, 1, 2, 2]]


def test_a_text_shorter_than_the_memory_leaves_its_last_places_empty() -> None:
    places = make_head(3).places(torch.tensor([[4, 5]]), torch.ones(1, 2, dtype=torch.bool))
    assert places.tolist() == [[0, 1]]


def words_of(*words: str, again: Sequence[int] = (), marks: Sequence[int] = ()) -> tuple[Tensor, Words]:
    """Token ids, a letter a token, and what word each is of; the numbered words stood before, or are marks."""
    numbers = [number for number, word in enumerate(words) for _ in word]

    def row(values: list[Any]) -> Tensor:
        return torch.tensor([values])

    ids = row([ord(letter) - ord("a") for word in words for letter in word])
    return ids, Words(
        bucket_NT=row([sum(map(ord, words[number])) for number in numbers]),
        again_NT=row([number in again for number in numbers]),
        spoken_NT=row([number not in marks for number in numbers]),
        place_NT=row([place for word in words for place in range(len(word))]),
    )


@pytest.mark.parametrize(
    ("tokens", "together", "expected"),
    [
        (2, 0, "01... . . . ."),  # tokens one by one
        (6, 1, "00000 1 . 2 ."),  # each word in a place of its own; the last three places are empty
        (2, 1, "00000 1 . . ."),
        (2, 2, "00000 0 . 1 ."),  # three words in two places
        (1, 3, "00000 0 . 0 ."),
        (1, 2, "00000 0 . . ."),
    ],
)
def test_whole_words_stand_together_on_the_places_in_reading_order(tokens: int, together: int, expected: str) -> None:
    ids, words = words_of("abcde", "f", "f", "g", "h", again=[2], marks=[4])
    head = make_head(tokens, kind="words", words_per_token=together)
    places = head.places(ids, torch.ones_like(ids, dtype=torch.bool), words)
    wanted = [tokens if sign == "." else int(sign) for sign in expected.replace(" ", "")]
    assert places[0].tolist()[: len(wanted)] == wanted


def test_a_word_of_many_tokens_stands_with_its_first_eight() -> None:
    ids, words = words_of("abcdefghijkl", "a")
    head = make_head(3, kind="words", words_per_token=1)
    places = head.places(ids, torch.ones_like(ids, dtype=torch.bool), words)
    assert places[0].tolist() == [0] * 8 + [3] * 4 + [1]


@pytest.mark.parametrize(("kind", "number"), [("anchors", 1), ("words", -1)])
def test_only_words_stand_together(kind: MemoryKind, number: int) -> None:
    with pytest.raises(ClaraError, match=r"model\.init_args\.words_per_token must be .*, got -?\d"):
        MemoryConfig(kind=kind, words_per_token=number)


def test_rarity_is_the_inverse_document_frequency() -> None:
    head = make_head()
    head.count_tokens([[1, 1, 2], [2, 3], [2]], [])
    wanted = [math.log(4 / 2), math.log(4 / 4), math.log(4 / 2), math.log(4 / 1)]
    assert head.rarity(torch.tensor([1, 2, 3, 9])).tolist() == pytest.approx(wanted)


def test_query_weight_counts_questions_too() -> None:
    head = make_head()
    head.count_tokens([[1], [2]], [[3, 1], [3], [3]])
    wanted = [math.log(6 / 3), math.log(6 / 2), math.log(6 / 4)]
    assert head.query_weight(torch.tensor([1, 2, 3])).tolist() == pytest.approx(wanted)


def test_counting_again_starts_anew() -> None:
    head = make_head()
    head.count_tokens([[1], [1]], [[1]])
    head.count_tokens([[2]], [])
    assert head.document_frequency_V.tolist() == [0, 0, 1] + [0] * (VOCAB - 3)
    assert (int(head.num_documents), int(head.num_questions)) == (1, 0)


@torch.no_grad()
def test_special_tokens_are_never_anchors(tiny_backbone: Backbones, documents: list[str]) -> None:
    backbone = tiny_backbone()  # BOS stands in every document, so make it the rarest by hand
    head = backbone.head(COMPRESSOR)
    head.document_frequency_V.fill_(1)
    head.document_frequency_V[backbone.tokenizer.bos_token_id] = 0
    tokens = backbone.tokenize(documents)
    chosen = tokens.ids_NT[head.places(tokens.ids_NT, tokens.ordinary_NT) < head.config.tokens]
    assert len(chosen)
    assert not set(chosen.tolist()) & set(backbone.tokenizer.all_special_ids)


def states(count: int = 500) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, DIM, generator=generator) * torch.tensor([3.0, 0.1, 20.0]) + torch.tensor(
        [9.0, -4.0, 1.0]
    )


def test_calibrated_memory_has_the_embeddings_mean_and_spread() -> None:
    head, hidden = make_head(kind="calibrated"), states()
    head.calibrate(hidden)
    read = head.memory(hidden[None], None)[0].detach() + head.centre_D
    torch.testing.assert_close(read.mean(0), torch.tensor([0.5, -1.0, 2.0]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(read.std(0), torch.tensor([1.0, 2.0, 0.5]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gemma3"])
@torch.no_grad()
def test_a_calibrated_backbone_writes_memory_like_its_embeddings(
    tiny_backbone: Backbones, documents: list[str], family: str
) -> None:
    backbone = tiny_backbone(family, kind="calibrated")  # calibrated on these documents
    table = backbone.embed(torch.arange(len(backbone.tokenizer)))
    inputs = backbone.compress(documents).flatten(0, 1) + backbone.head(COMPRESSOR).centre_D
    torch.testing.assert_close(inputs.mean(0), table.mean(0), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(inputs.std(0), table.std(0), rtol=1e-3, atol=1e-3)


def test_a_single_state_calibrates_to_finite_memory() -> None:
    head, hidden = make_head(kind="calibrated"), states(1)
    head.calibrate(hidden)
    assert bool(head.memory(states(5)[None], None).isfinite().all())


def test_anchor_memory_is_the_anchor_plus_a_scaled_correction() -> None:
    head, hidden = make_head(kind="anchors"), states(6)
    head.calibrate(hidden)
    anchors = torch.randn(2, 3, DIM)
    correction = (hidden - hidden.mean(0)) / hidden.std(0) * torch.tensor([1.0, 2.0, 0.5])
    found = head.memory(hidden.unflatten(0, (2, 3)), anchors)
    torch.testing.assert_close(found, anchors + 0.2 * correction.unflatten(0, (2, 3)))


def test_published_memory_is_the_hidden_state_itself() -> None:
    head, hidden = make_head(kind="published"), states(4)
    head.calibrate(hidden)
    assert torch.equal(head.memory(hidden[None], None)[0], hidden)
    assert torch.equal(head.centre_D, torch.zeros(DIM))


def test_a_head_of_equal_settings_starts_equal() -> None:
    torch.manual_seed(1)
    one = make_head()
    torch.manual_seed(2)
    assert torch.equal(one.tokens_LD, make_head().tokens_LD)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tokens": 0}, r"model\.init_args\.memory_tokens must be >= 1, got 0"),
        (
            {"tokens": 16, "document_tokens": 8},
            r"model\.init_args\.document_tokens must be >= memory_tokens \(16\), got 8",
        ),
        ({"kind": "anchor"}, r"must be one of published, calibrated, anchors, words, learned, got 'anchor'"),
    ],
)
def test_impossible_sizes_and_kinds_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ClaraError, match=message):
        MemoryConfig(**values)  # type: ignore[arg-type]


def test_the_compression_rate_is_document_tokens_per_memory_token() -> None:
    assert MemoryConfig(tokens=16, document_tokens=256).compression_rate == 16.0


def test_an_mlp_begins_as_nothing_and_then_adds_what_its_two_layers_give() -> None:
    hidden = torch.randn(2, 3, DIM)
    mean, std = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([1.0, 2.0, 0.5])
    config = MemoryConfig(tokens=3, document_tokens=64, kind="calibrated", mlp=5)
    head = MemoryHead(config, embedding_mean_D=mean, embedding_std_D=std, vocab_size=VOCAB)
    plain = make_head(kind="calibrated")
    for each in (head, plain):
        each.calibrate(hidden.reshape(-1, DIM))
    torch.testing.assert_close(head.memory(hidden, None), plain.memory(hidden, None))

    state = head.state_dict()
    state["mlp.2.weight"], state["mlp.2.bias"] = torch.randn(DIM, 5), torch.randn(DIM)
    head.load_state_dict(state)
    standard = (hidden - hidden.reshape(-1, DIM).mean(0)) / hidden.reshape(-1, DIM).std(0)
    inner = standard @ state["mlp.0.weight"].T
    inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
    added = (inner @ state["mlp.2.weight"].T + state["mlp.2.bias"]) * std
    torch.testing.assert_close(head.memory(hidden, None), standard * std + added)

    anchored = MemoryHead(replace(config, kind="words"), embedding_mean_D=mean, embedding_std_D=std, vocab_size=VOCAB)
    anchored.load_state_dict(state | {"scale": torch.tensor([0.25])}, strict=False)
    anchor = torch.randn(2, 3, DIM)
    torch.testing.assert_close(anchored.memory(hidden, anchor), anchor + 0.25 * standard * std + added)


@pytest.mark.parametrize(("kind", "mlp"), [("published", 4), ("words", -1)])
def test_published_memory_passes_no_mlp_and_no_width_is_negative(kind: MemoryKind, mlp: int) -> None:
    with pytest.raises(ClaraError, match=r"model\.init_args\.memory_mlp must be .*, got -?\d"):
        MemoryConfig(kind=kind, mlp=mlp)
