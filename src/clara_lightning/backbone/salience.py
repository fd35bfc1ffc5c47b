"""Which words of a document questions ask for, learned from questions and their answers.

What is rare in a corpus is not yet what anyone asks. Over a few thousand documents whose questions are answered in
their own words, a small network learns from a word's embedding, place, rarity and length how likely it is part of an
answer. It is fitted once, when a new compressor is calibrated, in seconds; no gradient of the training reaches it.

Shapes: N texts, T tokens, D hidden size, F features, H width of the network, X words, Y tokens of all texts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, gelu

from clara_lightning.backbone.words import Words

WIDTH = 64
PLACES = 6  # features beside the embedding
STEPS, DOCUMENTS, RATE = 1500, 16, 2e-3
PASSES = 50  # at most, over few documents; how many are best was not measured
MOST_DOCUMENTS = STEPS * DOCUMENTS  # more are not drawn
MEASURED = 256  # documents that mean and spread of the features are taken from
LONGEST = 12  # words of an answer; a longer one retells the document, and tells no word from another
LOST = -64.0  # logit of padding and special tokens, which are no part of a word


class WordsRead(NamedTuple):
    """Texts as the scorer sees them.

    Attributes:
        embedded_NTD: input embeddings.
        words: the tokens' words.
        rarity_NT: of each token's word.
        ordinary_NT: False on padding and special tokens.
    """

    embedded_NTD: Tensor
    words: Words
    rarity_NT: Tensor
    ordinary_NT: Tensor


class WordsFound(NamedTuple):
    """What the scorer says, alike for all tokens of a word.

    Attributes:
        logit_NT: of the chance that the word is part of an answer; -64 on padding and special tokens.
        tokens_NT: of the word.
    """

    logit_NT: Tensor
    tokens_NT: Tensor


class _Features(NamedTuple):
    starts_NT: Tensor  # where words start
    start_NT: Tensor  # where each token's word does
    tokens_NT: Tensor  # of the word that starts here
    features_XF: Tensor  # of the words, in reading order


class WordScorer(nn.Module):
    """How likely a word of a document is part of an answer: one hidden layer over standardised features.

    It has buffers and no parameters: what a compressor stands on must not change while it is trained.

    Args:
        dim: D.
    """

    mean_F: Tensor
    std_F: Tensor
    first_HF: Tensor
    first_H: Tensor
    last_H: Tensor
    last: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        features = dim + PLACES
        self.register_buffer("mean_F", torch.zeros(features))
        self.register_buffer("std_F", torch.ones(features))
        draw = torch.Generator().manual_seed(0)
        self.register_buffer("first_HF", torch.randn(WIDTH, features, generator=draw) * features**-0.5)
        self.register_buffer("first_H", torch.zeros(WIDTH))
        self.register_buffer("last_H", torch.zeros(WIDTH))
        self.register_buffer("last", torch.zeros(1))

    def forward(self, read: WordsRead) -> WordsFound:
        """Every word's chance, as a logit in float32."""
        found = _features(read)
        logits_X = self._logits(found.features_XF, dict(self.named_buffers()))
        spread_NT = torch.full(found.starts_NT.shape, LOST, device=logits_X.device)
        spread_NT = spread_NT.masked_scatter(found.starts_NT, logits_X)
        return WordsFound(spread_NT.gather(1, found.start_NT), found.tokens_NT.gather(1, found.start_NT))

    def _logits(self, features_XF: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        standard_XF = (features_XF - self.mean_F) / self.std_F
        hidden_XH = gelu(standard_XF @ weights["first_HF"].T + weights["first_H"])
        return hidden_XH @ weights["last_H"] + weights["last"]

    def fit(self, read: Callable[[Sequence[int]], WordsRead], wanted: Sequence[Mapping[int, float]]) -> None:
        """Learn from documents, the same wherever it is done.

        Args:
            read: the documents of these numbers.
            wanted: of each document the share of its answers that each word, by its bucket, is part of.
        """
        draw = random.Random(0)
        with torch.no_grad():
            some = sorted(draw.sample(range(len(wanted)), min(MEASURED, len(wanted))))
            parts = [_features(read(some[at : at + DOCUMENTS])).features_XF for at in range(0, len(some), DOCUMENTS)]
            features_XF = torch.cat(parts)
            self.mean_F.copy_(features_XF.mean(0))
            std_F = features_XF.std(0, correction=0)
            # What is the same in all of them tells nothing, and must not count where it is once another.
            self.std_F.copy_(std_F.masked_fill(std_F < 1e-4, math.inf))
            self.last.fill_(-2.0)  # few words are asked for
        trained = {
            name: value.clone().requires_grad_()
            for name, value in self.named_buffers()
            if name not in ("mean_F", "std_F")
        }
        optimizer = torch.optim.AdamW(trained.values(), lr=RATE, weight_decay=0.05)
        steps = min(STEPS, PASSES * math.ceil(len(wanted) / DOCUMENTS))
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
        for _ in range(steps):
            numbers = draw.sample(range(len(wanted)), min(DOCUMENTS, len(wanted)))
            with torch.no_grad():
                texts = read(numbers)
                starts_NT, _, _, features_XF = _features(texts)
            rows = starts_NT.nonzero()[:, 0].tolist()
            buckets = texts.words.bucket_NT[starts_NT].tolist()
            asked = [wanted[numbers[row]].get(bucket, 0.0) for row, bucket in zip(rows, buckets, strict=True)]
            with torch.enable_grad():
                asked_X = torch.tensor(asked, device=features_XF.device)
                loss = binary_cross_entropy_with_logits(self._logits(features_XF, trained), asked_X)
                optimizer.zero_grad()
                loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            for name, value in trained.items():
                getattr(self, name).copy_(value)


def _features(read: WordsRead) -> _Features:
    """What the network sees of each word.

    The mean embedding of the word's tokens; its place, in tokens, over 256, over the text's length, and its logarithm;
    its rarity; its number of tokens; the text's, over 256.
    """
    words, ordinary_NT = read.words, read.ordinary_NT
    at_T = torch.arange(ordinary_NT.shape[1], device=ordinary_NT.device)
    starts_NT = ordinary_NT & (words.place_NT == 0)
    start_NT = at_T - words.place_NT * ordinary_NT
    row_N1 = torch.arange(ordinary_NT.shape[0], device=ordinary_NT.device).unsqueeze(1) * ordinary_NT.shape[1]
    start_Y, embedded_YD = (start_NT + row_N1)[ordinary_NT], read.embedded_NTD[ordinary_NT].float()
    sum_YD = embedded_YD.new_zeros(ordinary_NT.numel(), embedded_YD.shape[1]).index_add(0, start_Y, embedded_YD)
    tokens_NT = torch.bincount(start_Y, minlength=ordinary_NT.numel()).float().view_as(start_NT)
    row_X, at_X = starts_NT.nonzero(as_tuple=True)
    own_X, all_X = tokens_NT[starts_NT], ordinary_NT.sum(1)[row_X]
    numbers = (at_X / 256, at_X / all_X, at_X.float().log1p(), read.rarity_NT[starts_NT], own_X, all_X / 256)
    features_XF = torch.cat([sum_YD[starts_NT.flatten()] / own_X.unsqueeze(1), torch.stack(numbers, dim=1)], dim=1)
    return _Features(starts_NT, start_NT, tokens_NT, features_XF)


def asked_share(answers: Sequence[Sequence[int]]) -> dict[int, float]:
    """Of a document's short answers, each given by the buckets of its words, the share that each word is part of."""
    short = [set(answer) for answer in answers if len(set(answer)) <= LONGEST]
    return {bucket: sum(bucket in each for each in short) / len(short) for bucket in sorted(set().union(*short))}
