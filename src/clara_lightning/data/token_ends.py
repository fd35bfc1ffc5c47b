"""How many tokens a text has as the compressor reads it, and where in the text they end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

Places = NDArray[np.int64]

_WORD = re.compile(r"\s*\S+")
_PIECE = 64  # characters of a word that are counted at once by a tokenizer that gives no places


@dataclass(frozen=True)
class Tokenized:
    """A text that was counted.

    Attributes:
        text: the text.
        count: its tokens, those that the tokenizer puts around it included.
        encoding: where a fast tokenizer keeps the places of tokens; ``None`` of others.
    """

    text: str
    count: int
    encoding: Any | None


class TokenRuler:
    """Measures texts by a tokenizer, which reads them as :func:`~clara_lightning.data.prompts.document_ids` has it.

    Args:
        tokenizer: any of transformers. Fast ones say where their tokens end; of others it is worked out word by word.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self.num_special = int(tokenizer.num_special_tokens_to_add(pair=False))

    def measure(self, texts: Sequence[str]) -> list[Tokenized]:
        """Count the tokens of texts, of many in about the time of few where there are processors for it."""
        if not texts:
            return []
        # Not verbose: that a text is longer than the backbone's window is what it is measured for.
        found = self._tokenizer([f" {text}" for text in texts], split_special_tokens=True, verbose=False)
        encodings = found.encodings or [None] * len(texts)
        return [
            Tokenized(text, len(ids), encoding)
            for text, ids, encoding in zip(texts, found["input_ids"], encodings, strict=True)
        ]

    def count(self, texts: Sequence[str]) -> list[int]:
        """The tokens of each text, those that the tokenizer puts around it included."""
        return [each.count for each in self.measure(texts)]

    def ends(self, tokenized: Tokenized) -> Places:
        """Where each token ends, in characters of the text and never falling; special tokens may stand at either end.

        Tokens of one character end at the same place. Where the tokenizer does not say, those of a word are taken to be
        of equal length.
        """
        if tokenized.encoding is None:
            return self._worked_out(tokenized.text)
        offsets = np.array(tokenized.encoding.offsets, dtype=np.int64).reshape(-1, 2)
        return np.maximum.accumulate(np.maximum(offsets[:, 1] - 1, 0))  # 1 is the space in front

    def _worked_out(self, text: str) -> Places:
        pieces = list(_pieces(text))
        # Of white space in front one character is left out: that in front of all texts stands for it.
        counts = self.count([text[start + text[start].isspace() : end] for start, end in pieces])
        ends = [
            _spread(start, end, count - self.num_special) for (start, end), count in zip(pieces, counts, strict=True)
        ]
        return np.concatenate(ends) if ends else np.zeros(0, dtype=np.int64)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Words with the white space before them, of which long ones are cut."""
    for word in _WORD.finditer(text):
        for start in range(word.start(), word.end(), _PIECE):
            yield start, min(start + _PIECE, word.end())


def _spread(start: int, end: int, count: int) -> Places:
    return start + np.ceil(np.arange(1, count + 1) * (end - start) / count).astype(np.int64)
