"""The words in a memory: what its places decode to, and which of these words do not stand in the text.

Shapes: N texts, L memory tokens, D hidden size, V vocabulary.

A token *stands in the text* when, without the spaces around it and in lower case, it is one of the tokens or one of the
words (runs of letters and digits) of the text as far as the backbone reads it. Tokens are compared whole: the piece
``Par`` does not stand in ``Paris``, unless the tokenizer cuts ``Paris`` there. A token without a letter or a digit, or
a special token, is no word, and is not counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from clara_lightning.backbone.adapters import COMPRESSOR
from clara_lightning.backbone.backbone import ClaraBackbone, embedding_statistics, embedding_table

Measure = Literal["probability", "cosine"]

BATCH = 8
"""Texts at a time: their logits are ``(8, L, V)``."""

VOCABULARY_PART = 16384
"""Input embeddings at a time."""


@dataclass(frozen=True)
class Word:
    """A token that a place decodes to.

    Attributes:
        text: the token as text, with its spaces.
        value: its probability, or the cosine with its embedding.
        in_text: whether it stands in the text; ``None`` for what is no word.
    """

    text: str
    value: float
    in_text: bool | None


@dataclass(frozen=True)
class Place:
    """One memory token.

    Attributes:
        anchor: the token of the text that it stands on; ``None`` for memory without anchors, and for an empty place.
        words: what it decodes to, best first.
        empty: whether the text is too short to fill it: it has no anchor where others have one.
    """

    anchor: str | None
    words: tuple[Word, ...]
    empty: bool = False

    @property
    def best_word(self) -> Word | None:
        """The first of them that is a word."""
        return next((word for word in self.words if word.in_text is not None), None)


@dataclass(frozen=True)
class Lens:
    """The places of one text's memory.

    Attributes:
        text: what was read.
        cut: whether it was longer than what is read.
        measure: what the words' values are.
        places: in order.
    """

    text: str
    cut: bool
    measure: Measure
    places: tuple[Place, ...]

    @property
    def share_not_in_text(self) -> float | None:
        """Share of the filled places whose best word does not stand in the text; ``None`` where there is no word."""
        best = [place.best_word for place in self.places if not place.empty]
        found = [word.in_text for word in best if word is not None]
        return found.count(False) / len(found) if found else None

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self) | {"share_not_in_text": self.share_not_in_text}


@torch.no_grad()
def logit_lens(backbone: ClaraBackbone, texts: Sequence[str], *, adapter: str, top: int = 5) -> list[Lens]:
    """Push the last hidden state at each memory token through the LM's own head (the paper's look at query vectors).

    Args:
        backbone: reads, without dropout; its mode and its active adapter are as before afterwards.
        texts: documents, or questions.
        adapter: who reads them.
        top: words for each place.
    """
    found: list[Lens] = []
    with backbone.evaluating():
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            shares_NLV = backbone.memory_logits(part, adapter=adapter).softmax(dim=-1)
            found += _lenses(backbone, part, shares_NLV, adapter=adapter, measure="probability", top=top)
    return found


@torch.no_grad()
def nearest_words(
    backbone: ClaraBackbone, texts: Sequence[str], memory_NLD: Tensor, *, adapter: str = COMPRESSOR, top: int = 5
) -> list[Lens]:
    """The input embeddings that stored memory lies nearest to; the texts are tokenized, and not read again.

    Nearness is the cosine after the mean of the embedding table is taken off: all embeddings share it, so with it
    every cosine would be alike.

    Args:
        backbone: its embeddings.
        texts: of the documents, to compare the words with.
        memory_NLD: their memory.
        adapter: who made it.
        top: words for each place.
    """
    mean_D, _ = embedding_statistics(backbone.causal_lm)
    # Memory of most kinds is centred already; published memory is not, and its centre is zero.
    memory_NLD = memory_NLD.to(backbone.device).float() + backbone.head(adapter).centre_D - mean_D
    found: list[Lens] = []
    for start in range(0, len(texts), BATCH):
        part = slice(start, start + BATCH)
        cosines_NLV = _embedding_cosines(backbone, memory_NLD[part], mean_D)
        found += _lenses(backbone, texts[part], cosines_NLV, adapter=adapter, measure="cosine", top=top)
    return found


def _embedding_cosines(backbone: ClaraBackbone, memory_NLD: Tensor, mean_D: Tensor) -> Tensor:
    """``(N, L, V)`` cosines of centred memory with every input embedding."""
    ids_V = torch.arange(embedding_table(backbone.causal_lm).weight.shape[0], device=backbone.device)
    unit_NLD = F.normalize(memory_NLD, dim=-1)
    parts = (F.normalize(backbone.embed(part).float() - mean_D, dim=-1) for part in ids_V.split(VOCABULARY_PART))
    return torch.cat([unit_NLD @ part_VD.T for part_VD in parts], dim=-1)


def _lenses(
    backbone: ClaraBackbone, texts: Sequence[str], values_NLV: Tensor, *, adapter: str, measure: Measure, top: int
) -> Iterator[Lens]:
    """The best tokens of each place, in words."""
    tokens, tokenizer = backbone.tokenize(texts), backbone.tokenizer
    anchors = anchor_words(backbone, texts, adapter=adapter)
    best = values_NLV.topk(min(top, values_NLV.shape[-1]), dim=-1)
    for number, text in enumerate(texts):
        standing = standing_words(tokenizer, tokens.of(number))
        rows = zip(anchors[number], best.indices[number].tolist(), best.values[number].tolist(), strict=True)
        places = tuple(
            Place(
                anchor,
                tuple(_word(tokenizer, token, value, standing) for token, value in zip(ids, values, strict=True)),
                empty=anchor is None and backbone.memory_config.is_anchored,
            )
            for anchor, ids, values in rows
        )
        yield Lens(text, backbone.count_cut([text]) > 0, measure, places)


def anchor_words(backbone: ClaraBackbone, texts: Sequence[str], *, adapter: str) -> list[list[str | None]]:
    """What each place of each text's memory stands on, a token or whole words; ``None`` where there is nothing."""
    head, tokens = backbone.head(adapter), backbone.tokenize(texts)
    if not head.config.is_anchored:
        return [[None] * head.config.tokens for _ in texts]
    places_NT = head.places(tokens.ids_NT, tokens.ordinary_NT, tokens.words, length=backbone.memory_tokens)
    found: list[list[str | None]] = []
    for ids_T, places_T in zip(tokens.ids_NT, places_NT, strict=True):
        standing = [ids_T[places_T == place].tolist() for place in range(backbone.memory_tokens)]
        found.append([_decoded(backbone.tokenizer, *ids) if ids else None for ids in standing])
    return found


def standing_words(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> set[str]:
    """The tokens and the words of a text, as they are compared."""
    words = re.findall(r"[^\W_]+", str(tokenizer.decode(list(ids), skip_special_tokens=True)).casefold())
    return {*words, *(_compared(_decoded(tokenizer, token)) for token in set(ids))}


def _word(tokenizer: PreTrainedTokenizerBase, token: int, value: float, standing: set[str]) -> Word:
    text = _decoded(tokenizer, token)
    is_word = any(map(str.isalnum, text)) and token not in tokenizer.all_special_ids
    return Word(text, value, _compared(text) in standing if is_word else None)


def _decoded(tokenizer: PreTrainedTokenizerBase, *tokens: int) -> str:
    """Tokens as text; an embedding without a token (padding of the table) by its number."""
    return str(tokenizer.decode(list(tokens))) or f"<{tokens[0]}>"


def _compared(text: str) -> str:
    return text.strip().casefold()
