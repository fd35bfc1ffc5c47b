"""Tokens put together to words, against a plain reading of the decoded text."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clara_lightning.backbone.adapters import COMPRESSOR
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.words import Spelling, Words

PIECES = [
    "<s>",
    "Ġthe",
    "the",
    "ĠWo",
    "j",
    "tyla",
    "ĠWOJ",
    "TYLA",
    "1",
    "9",
    "Ġ7",
    ".",
    "Ġ(",
    "\n",
    "日",
    "本",
    "\ufffd",
]
TEXTS = [piece.replace("Ġ", " ") for piece in PIECES]


class Tokenizer:
    """Pieces by their number; the decoder leaves out a leading space, as SentencePiece's does."""

    def batch_decode(self, ids: torch.Tensor) -> list[str]:
        return [TEXTS[int(token)].removeprefix(" ") for (token,) in ids.tolist()]

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [PIECES[token] for token in ids]


def spelling() -> Spelling:
    return Spelling(Tokenizer(), len(PIECES))  # type: ignore[arg-type]


def read(*pieces: str) -> tuple[Words, list[int]]:
    ids = torch.tensor([[PIECES.index(piece) for piece in pieces]])
    words = spelling().words(ids, ids != 0)
    return words, words.bucket_NT[0].tolist()


def groups(*pieces: str) -> list[int]:
    """Number of the word of each token, by order of first occurrence."""
    _, buckets = read(*pieces)
    order = list(dict.fromkeys(buckets))
    return [order.index(bucket) for bucket in buckets]


@pytest.mark.parametrize(
    ("pieces", "wanted"),
    [
        (["Ġthe", "ĠWo", "j", "tyla"], [0, 1, 1, 1]),  # a space begins a word
        (["1", "9", "9", "Ġ7"], [0, 0, 0, 1]),  # the digits of a number are one word
        (["Ġ(", "ĠWo", "j", ".", "1"], [0, 1, 1, 2, 3]),  # marks stand by themselves
        (["ĠWo", "\ufffd", "j"], [0, 0, 0]),  # part of a letter goes on the word
        (["日", "本", "日"], [0, 1, 0]),  # scripts without capitals: token by token
        (["ĠWo", "\n", "j"], [0, 1, 2]),
    ],
)
def test_tokens_of_one_word_share_a_bucket(pieces: list[str], wanted: list[int]) -> None:
    assert groups(*pieces) == wanted


def test_case_and_the_space_before_make_no_difference() -> None:
    _, buckets = read("the", "Ġthe", "ĠWo", "j", "tyla")
    assert buckets[0] == buckets[1]
    again, _ = read("Ġthe", "ĠWo", ".", "Ġthe", ".")
    assert again.again_NT[0].tolist() == [False, False, False, True, True]


def test_the_order_of_pieces_matters() -> None:
    _, buckets = read("1", "9", "Ġthe", "9", "1")
    assert buckets[0] != buckets[3]


def test_special_tokens_are_no_part_of_a_word() -> None:
    assert groups("ĠWo", "<s>", "j")[0] != groups("ĠWo", "<s>", "j")[2]


def test_marks_are_not_spoken() -> None:
    words, _ = read("Ġ(", "1", ".", "\n", "\ufffd")
    assert words.spoken_NT[0].tolist() == [False, True, False, False, True]


rows = st.lists(st.lists(st.integers(1, len(PIECES) - 1), min_size=1, max_size=12), min_size=1, max_size=4)


@settings(deadline=None, max_examples=80)
@given(rows=rows, before=st.integers(0, 3))
def test_padded_texts_read_as_each_alone(rows: list[list[int]], before: int) -> None:
    width = max(map(len, rows)) + before
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, before : before + len(row)] = torch.tensor(row)
    together = spelling().words(ids, ids != 0)
    for number, row in enumerate(rows):
        alone = spelling().words(torch.tensor([row]), torch.ones(1, len(row), dtype=torch.bool))
        for both, one in zip(together, alone, strict=True):
            assert both[number, before : before + len(row)].tolist() == one[0].tolist()


@settings(deadline=None, max_examples=80)
@given(row=st.lists(st.integers(1, len(PIECES) - 1), min_size=1, max_size=14))
def test_words_are_those_of_a_walk_over_the_letters(row: list[int]) -> None:
    spans: list[list[int]] = []
    for place, token in enumerate(row):
        meeting = TEXTS[token][0] + TEXTS[row[place - 1]][-1]
        if place and not set(meeting) & set(" .(\n日本"):
            spans[-1].append(place)
        else:
            spans.append([place])
    words = [tuple(TEXTS[row[place]].strip().casefold() for place in span) for span in spans]

    found, buckets = read(*(PIECES[token] for token in row))

    for number, (span, word) in enumerate(zip(spans, words, strict=True)):
        assert {bool(found.again_NT[0, place]) for place in span} == {word in words[:number]}
        assert {bool(found.spoken_NT[0, place]) for place in span} == {any(map(_spoken, word))}
    named = {(word, buckets[place]) for span, word in zip(spans, words, strict=True) for place in span}
    assert len(named) == len(set(words)) == len(set(buckets))


def _spoken(piece: str) -> bool:
    return piece.isalnum() or piece == "\ufffd"


@torch.no_grad()
def test_a_rare_word_is_chosen_whole_and_once(tiny_backbone: Callable[..., ClaraBackbone]) -> None:
    backbone = tiny_backbone(kind="words", tokens=4)
    head = backbone.head(COMPRESSOR)
    texts = ["the cat sat on the mat", "the dog sat on the zyx zyx", "the cat and the dog"]
    backbone.calibrate(texts)
    chosen = backbone.tokenizer.decode(list(backbone.standing_tokens([texts[1]])[0]))
    assert chosen.count("zyx") == 1
    # Distinct words of each text, and the space, which is a token of its own here.
    assert int(head.document_frequency_W.sum()) == (5 + 1) + (5 + 1) + (4 + 1)


@torch.no_grad()
def test_a_query_counts_each_word_once_and_by_its_own_rarity(tiny_backbone: Callable[..., ClaraBackbone]) -> None:
    backbone = tiny_backbone(kind="words", tokens=12)
    texts, questions = ["the cat sat", "the dog zyx", "the cat and the dog"], ["the zyx", "the dog"]
    backbone.calibrate(texts, questions)
    tokens = backbone.tokenize(["the zyx the zyx ."])
    weight = backbone.head(COMPRESSOR).query_weight(tokens.ids_NT, tokens.words)[0].tolist()
    word, found = "", []  # each word of the text with the weights of its pieces
    for token, value in zip(tokens.of(0), weight, strict=True):
        piece = backbone.tokenizer.decode([token])
        if token in backbone.tokenizer.all_special_ids or not piece.strip():
            word = ""
            continue
        if not word or piece.startswith(" "):
            found.append((word := "", set[float]()))
        word += piece.strip()
        found[-1] = (word, found[-1][1] | {round(value, 5)})
    rarity = {"the": math.log(6 / 6), "zyx": math.log(6 / 3)}  # three texts and two questions
    once = [(name, {round(rarity[name], 5)}) for name in ("the", "zyx")]
    assert found == [*once, ("the", {0.0}), ("zyx", {0.0}), (".", {0.0})]


@pytest.mark.parametrize("words_per_token", [0, 1, 3])
def test_the_words_of_a_memory_are_told_whole_once_and_in_order(
    tiny_backbone: Callable[..., ClaraBackbone], words_per_token: int
) -> None:
    backbone = tiny_backbone(kind="words", tokens=32, words_per_token=words_per_token)
    told = backbone.standing_words(["the cat (zyx) sat,\non the zyx", "."])
    if words_per_token:
        assert told == ["the cat zyx sat on", ""]
    else:  # the words that stand once more have places left
        assert told == ["the cat zyx sat on the zyx", ""]
