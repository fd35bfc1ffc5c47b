"""Scores made in two passes are those of bm25s, and of the formula."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import bm25s
import numpy as np
import pytest

from clara_lightning.corpus.postings import Postings, collect

draw = random.Random(0)
VOCABULARY = [f"word{n}" for n in range(60)]
TEXTS = [" ".join(draw.choices(VOCABULARY, k=draw.randrange(0, 40))) for _ in range(83)] + ["", "the of"]


def collected(texts: Sequence[str], *, size: int) -> Postings:
    def batches() -> Iterator[Sequence[str]]:
        for first in range(0, len(texts), size):
            yield texts[first : first + size]

    return collect(batches, allocate=lambda name, length, dtype: np.empty(length, dtype=dtype))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_scores_are_those_of_bm25s_bit_by_bit_however_documents_are_batched(size: int) -> None:
    model = bm25s.BM25()
    model.index(bm25s.tokenize(TEXTS, stopwords="en", show_progress=False), show_progress=False)

    made = collected(TEXTS, size=size)

    assert made.words == {word: number for word, number in model.vocab_dict.items() if word}
    for ours, theirs in ((made.scores, "data"), (made.rows, "indices"), (made.starts, "indptr")):
        assert np.array_equal(ours, model.scores[theirs])
    assert (made.scores.dtype, made.rows.dtype) == (np.float32, np.int32)


def test_scores_are_those_of_the_formula() -> None:
    counted = [Counter(text.split()) for text in ("red red fish", "blue fish", "one blue sea sea sea")]
    average = (3 + 2 + 5) / 3

    made = collected(["red red fish", "blue fish", "one blue sea sea sea"], size=2)

    for word, number in made.words.items():
        pairs = slice(made.starts[number], made.starts[number + 1])
        having = [row for row, counts in enumerate(counted) if word in counts]
        weight = math.log(1 + (3 - len(having) + 0.5) / (len(having) + 0.5))
        expected = [
            weight * counted[row][word] / (counted[row][word] + 1.5 * (0.25 + 0.75 * counted[row].total() / average))
            for row in having
        ]
        assert made.rows[pairs].tolist() == having
        assert made.scores[pairs].tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("texts", [[], ["the", "of"], [""]], ids=["no documents", "stop words alone", "an empty text"])
def test_documents_without_words_have_no_scores(texts: list[str]) -> None:
    made = collected(texts, size=1)

    assert (len(made.scores), made.starts.tolist(), made.num_documents) == (0, [0], len(texts))


def test_arrays_on_disk_hold_the_same(tmp_path: Path) -> None:
    in_memory = collected(TEXTS, size=10)

    on_disk = collect(
        lambda: [TEXTS],
        allocate=lambda name, length, dtype: np.lib.format.open_memmap(
            tmp_path / name, mode="w+", dtype=dtype, shape=(length,)
        ),
    )

    assert np.array_equal(np.load(tmp_path / "scores"), in_memory.scores)
    assert np.array_equal(on_disk.rows, in_memory.rows)
