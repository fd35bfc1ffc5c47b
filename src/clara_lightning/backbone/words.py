"""Which tokens of a text make a word together, told from the tokens alone.

A tokenizer cuts rare words into common pieces: "Wojtyla" into four, "1978" into its digits. Taken one by one such
pieces are as common as any, and what is rare about the word is lost.

Shapes: N texts, T tokens, V vocabulary.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

BUCKETS = 2**18  # of words: two rare words that share one count as a little less rare
_UNKNOWN = "\ufffd"  # a part of a letter, as byte-level tokenizers have them
_SPACES = ("\u2581", "\u0120")  # how the vocabularies of SentencePiece and of byte-level tokenizers spell a space
_MULTIPLIER = -7046029254386353131  # 2**64 / golden ratio, as a signed number: spreads what is near over all bits


class Words(NamedTuple):
    """For every token of padded texts, the word that it is part of.

    Attributes:
        bucket_NT: a number below :data:`BUCKETS` that stands for the word wherever it occurs.
        again_NT: True where the same word stood earlier in the text.
        spoken_NT: True where the word has a letter or a digit.
        place_NT: how many tokens of the word stand before this one.
    """

    bucket_NT: Tensor
    again_NT: Tensor
    spoken_NT: Tensor
    place_NT: Tensor


class Spelling:
    """Puts the tokens of one tokenizer together to words.

    A word is a run of letters and digits without a space. Letters of scripts without capitals, which often do without
    spaces as well, are words token by token. Case and the space before a word make no difference to what word it is.

    Args:
        tokenizer: any tokenizer of transformers.
        vocab_size: V, rows of the embedding table.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> None:
        self._tokenizer = tokenizer
        self._known_V = torch.zeros(vocab_size, dtype=torch.bool)
        self._key_V = torch.zeros(vocab_size, dtype=torch.int64)
        self._joins_left_V, self._joins_right_V, self._spoken_V = torch.zeros(3, vocab_size, dtype=torch.bool)

    def words(self, ids_NT: Tensor, ordinary_NT: Tensor) -> Words:
        """The word of every token.

        Args:
            ids_NT: token ids, on the CPU.
            ordinary_NT: False on padding and special tokens, which are no part of any word.
        """
        self._learn(ids_NT)
        word_NT, place_NT = self._runs(ids_NT, ordinary_NT)
        mixed_NT = _mix(self._key_V[ids_NT] + place_NT) * ordinary_NT
        zeros_NT = torch.zeros_like(mixed_NT)
        key_NT = zeros_NT.scatter_add(1, word_NT, mixed_NT).gather(1, word_NT)
        spoken_NT = zeros_NT.scatter_add(1, word_NT, (self._spoken_V[ids_NT] & ordinary_NT).long()) > 0
        return Words(_mix(key_NT) % BUCKETS, _again(key_NT, word_NT), spoken_NT.gather(1, word_NT), place_NT)

    def _runs(self, ids_NT: Tensor, ordinary_NT: Tensor) -> tuple[Tensor, Tensor]:
        """Number of each token's word in its text, and the token's place in that word."""
        joins_NT = torch.zeros_like(ordinary_NT)
        joined_NT = self._joins_left_V[ids_NT[:, 1:]] & self._joins_right_V[ids_NT[:, :-1]]
        joins_NT[:, 1:] = joined_NT & ordinary_NT[:, 1:] & ordinary_NT[:, :-1]
        place_NT = torch.arange(ids_NT.shape[1]).expand_as(ids_NT)
        start_NT = place_NT.masked_fill(joins_NT, 0).cummax(1).values
        return (~joins_NT).long().cumsum(1) - 1, place_NT - start_NT

    def _learn(self, ids_NT: Tensor) -> None:
        """Spell the tokens that were not met before."""
        new = ids_NT.unique()
        new = new[~self._known_V[new]]
        if not len(new):
            return
        texts = self._tokenizer.batch_decode(new.unsqueeze(1))
        for token, spelt, text in zip(
            new.tolist(), self._tokenizer.convert_ids_to_tokens(new.tolist()), texts, strict=True
        ):
            digest = hashlib.blake2b(text.strip().casefold().encode(), digest_size=8).digest()
            self._key_V[token] = int.from_bytes(digest, signed=True)
            # A decoder may leave out the space that a text begins with.
            self._joins_left_V[token] = _joins(text[:1]) and not str(spelt).startswith(_SPACES)
            self._joins_right_V[token] = _joins(text[-1:])
            self._spoken_V[token] = any(letter.isalnum() or letter == _UNKNOWN for letter in text)
        self._known_V[new] = True


def _joins(letter: str) -> bool:
    """Whether a letter goes on a word that another one stands before or behind."""
    cased = letter.lower() != letter.upper()
    return letter == _UNKNOWN or letter.isdigit() or (letter.isalpha() and cased)


def _mix(values: Tensor) -> Tensor:
    """Spread the bits of each number; numbers wrap around."""
    values = values * _MULTIPLIER
    return (values ^ (values >> 31)) * _MULTIPLIER


def _again(key_NT: Tensor, word_NT: Tensor) -> Tensor:
    """True where a word with the same key stands earlier in the row."""
    sorted_NT, order_NT = key_NT.sort(dim=1, stable=True)
    first_NT = torch.ones_like(sorted_NT, dtype=torch.bool)
    first_NT[:, 1:] = sorted_NT[:, 1:] != sorted_NT[:, :-1]
    place_NT = torch.arange(key_NT.shape[1]).expand_as(key_NT)
    group_NT = place_NT.masked_fill(~first_NT, 0).cummax(1).values  # where the tokens of equal key begin
    words_NT = word_NT.gather(1, order_NT)
    again_NT = words_NT != words_NT.gather(1, group_NT)
    return torch.zeros_like(again_NT).scatter(1, order_NT, again_NT)
