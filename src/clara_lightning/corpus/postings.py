"""The BM25 score of every word in every document, made in two passes over the documents.

bm25s itself can build in memory alone: it holds the words of all documents and sorts them at once (2,060 bytes a
passage of 60 words, 560 of them its tokens; measured on 100,000). Here a pass counts, a second one writes each score to
its place, and in between nothing is held but the words there are and how many documents have each (47 MB in all for
300,000 passages). The scores are those of bm25s, bit by bit (its default: Lucene's BM25, k1 = 1.5, b = 0.75, float32).

Shapes: N documents of a batch, X words of them one behind the other, P pairs of a document and a word that it has, V
different words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from clara_lightning.corpus.words import words_of

K1, B = 1.5, 0.75
Ints = NDArray[np.int64]
Batches = Callable[[], Iterable[Sequence[str]]]
"""Gives the documents' texts, batch by batch and in their order; called twice."""

Allocate = Callable[[str, int, DTypeLike], NDArray[Any]]
"""``allocate(name, length, dtype)``: an array to write into, in memory or on disk."""


class Postings(NamedTuple):
    """Scores by word, and for each word by document: the columns of a sparse matrix.

    Attributes:
        scores: float32, of each pair.
        rows: int32, the pair's document.
        starts: where the pairs of word v begin, and at V where all end.
        words: number of each word.
        num_documents: all, also those without a word.
    """

    scores: NDArray[np.float32]
    rows: NDArray[np.int32]
    starts: Ints
    words: dict[str, int]
    num_documents: int


@dataclass
class _Counts:
    """What the first pass finds.

    Attributes:
        words: number of each word, in the order in which they come.
        documents_V: how many documents have each; with room for more words behind them.
        num_documents: read so far.
        num_words: of all documents together.
    """

    words: dict[str, int] = field(default_factory=dict)
    documents_V: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    num_documents: int = 0
    num_words: int = 0

    def add(self, texts: Sequence[str]) -> None:
        """Count a batch."""
        words = self.words
        pairs = _pairs([[words.setdefault(word, len(words)) for word in words_of(text)] for text in texts])
        if len(words) > len(self.documents_V):  # at least doubled, so that it is seldom copied
            self.documents_V = np.concatenate([self.documents_V, np.zeros(len(words), dtype=np.int64)])
        different, _, times = _runs(pairs.words_P)
        self.documents_V[different] += times
        self.num_documents += len(texts)
        self.num_words += int(pairs.lengths_N.sum())


class _Pairs(NamedTuple):
    """Words and documents of a batch, each pair once, by word and then by document."""

    words_P: Ints
    documents_P: Ints
    times_P: Ints
    lengths_N: Ints


def collect(batches: Batches, *, allocate: Allocate) -> Postings:
    """Score every word of every document.

    Args:
        batches: the documents.
        allocate: makes the two long arrays, of ``P`` float32 and int32 values.
    """
    counts = _Counts()
    for texts in batches():
        counts.add(texts)
    counts.documents_V = counts.documents_V[: len(counts.words)]
    starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts.documents_V)])
    scores, rows = allocate("scores", int(starts[-1]), np.float32), allocate("rows", int(starts[-1]), np.int32)
    _fill(batches, counts, scores, rows, next_V=starts[:-1].copy())
    return Postings(scores, rows, starts, counts.words, counts.num_documents)


def _fill(
    batches: Batches, counts: _Counts, scores: NDArray[np.float32], rows: NDArray[np.int32], *, next_V: Ints
) -> None:
    """Write each batch's scores to the next places of its words."""
    weights_V = _inverse_frequencies(counts.documents_V, counts.num_documents)
    average = counts.num_words / max(1, counts.num_documents)
    first = 0
    for texts in batches():
        pairs = _pairs([[counts.words[word] for word in words_of(text)] for text in texts])
        lengths_P = pairs.lengths_N[pairs.documents_P]
        often_P = pairs.times_P / (K1 * ((1 - B) + B * lengths_P / average) + pairs.times_P)
        different, begins, times = _runs(pairs.words_P)
        places_P = np.arange(len(pairs.words_P)) + np.repeat(next_V[different] - begins, times)
        scores[places_P] = weights_V[pairs.words_P] * often_P
        rows[places_P] = first + pairs.documents_P
        next_V[different] += times
        first += len(texts)


def _pairs(numbers: Sequence[Sequence[int]]) -> _Pairs:
    lengths_N = np.array([len(each) for each in numbers], dtype=np.int64)
    words_X = np.array([number for each in numbers for number in each], dtype=np.int64)
    documents_X = np.repeat(np.arange(len(numbers)), lengths_N)
    keys_P, times_P = np.unique(words_X * len(numbers) + documents_X, return_counts=True)
    words_P, documents_P = np.divmod(keys_P, max(1, len(numbers)))
    return _Pairs(words_P, documents_P, times_P, lengths_N)


def _runs(sorted_P: Ints) -> tuple[Ints, Ints, Ints]:
    """Different values of sorted ones, where each begins, and how often it stands there.

    Example:
        >>> [each.tolist() for each in _runs(np.array([3, 3, 5, 8, 8, 8]))]
        [[3, 5, 8], [0, 2, 3], [2, 1, 3]]
    """
    different, begins, times = np.unique(sorted_P, return_index=True, return_counts=True)
    return different, begins, times


def _inverse_frequencies(documents_V: Ints, num_documents: int) -> NDArray[np.float32]:
    r""":math:`\ln(1 + (N - n + 0.5) / (n + 0.5))` of words that n of N documents have; each n is worked out once."""
    different, place_V = np.unique(documents_V, return_inverse=True)
    weights = [math.log(1 + (num_documents - n + 0.5) / (n + 0.5)) for n in different.tolist()]
    return np.array(weights, dtype=np.float32)[place_V]
