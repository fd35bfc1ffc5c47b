"""Near duplicates: MinHash sketches of texts, and buckets that similar ones share.

Two texts are as similar as the sets of their runs of words are (Jaccard: what both have by what either has). A sketch
estimates that to about 0.03. Sketches lie on the disk while they are made; to compare them takes 4 bytes of memory for
each band of a sketch (64 bytes for the default threshold), and 16 more for a moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clara_lightning.data.writers import writable
from clara_lightning.synthesis.ngrams import Hashes, num_unspaced, run_hashes

SLOTS = 128
"""Numbers of a sketch."""
_SHINGLE_WORDS, _SHINGLE_CHARACTERS = 3, 5
_SEED = 1
_RECALL = 0.9  # at the threshold itself; 0.1 above it 0.999 and more
_MOST_PER_BUCKET = 64
_ROWS_AT_ONCE = 1 << 14

Sketch = NDArray[np.uint32]


def shingles(words: Sequence[str], word_hashes: Hashes) -> Hashes:
    """Hashes of the runs that a text is compared by: three words, or five characters of a script without spaces.

    Of a text that is shorter, all of it.

    Args:
        words: of :func:`clara_lightning.synthesis.ngrams.words`.
        word_hashes: their hashes.
    """
    is_unspaced = 2 * num_unspaced(words) > len(words)
    length = _SHINGLE_CHARACTERS if is_unspaced else _SHINGLE_WORDS
    return run_hashes(word_hashes, min(length, max(1, len(words))))


class Sketches:
    """Sketches of texts, one after the other, in a file that nobody sees and that goes with the process."""

    def __init__(self, folder: Path, *, batch_size: int = 512) -> None:
        """Begin with none.

        Args:
            folder: on the disk that is to hold them, 512 bytes each.
            batch_size: texts that are sketched at once.

        Raises:
            ClaraError: nothing can be written to ``folder``; by the methods too.
        """
        self._folder, self._batch_size = folder, batch_size
        with writable(folder):
            self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as this object
        self._waiting: list[Hashes] = []
        self._num_written = 0

    def __len__(self) -> int:
        return self._num_written + len(self._waiting)

    def add(self, words: Sequence[str], word_hashes: Hashes) -> None:
        """Sketch a text.

        Args:
            words: of :func:`clara_lightning.synthesis.ngrams.words`.
            word_hashes: their hashes.
        """
        self._waiting.append(shingles(words, word_hashes))
        if len(self._waiting) == self._batch_size:
            self._write()

    def rows(self) -> Sketch:
        """All sketches so far, (texts, SLOTS), mapped from the disk."""
        self._write()
        if not self._num_written:
            return np.empty((0, SLOTS), np.uint32)
        with writable(self._folder):
            self._file.flush()
            return np.memmap(self._file, np.uint32, "r", shape=(self._num_written, SLOTS))

    def close(self) -> None:
        """Remove them from the disk."""
        with suppress(OSError):  # a full disk was reported already, and close() would report it again
            self._file.close()

    def _write(self) -> None:
        if self._waiting:
            rows = sketch(self._waiting)
            with writable(self._folder):
                self._file.write(rows.tobytes())
            self._num_written += len(rows)
            self._waiting.clear()


def sketch(sets: Sequence[Hashes]) -> Sketch:
    """MinHash sketches, (sets, SLOTS): two of them agree in about as many slots as the sets are similar.

    Args:
        sets: numbers of 64 bits; how often one is in a set does not matter.
    """
    from rensa import RMinHash  # type: ignore[import-not-found,import-untyped,unused-ignore]

    ends = np.cumsum([0, *map(len, sets)], dtype=np.uint64)
    matrix: Any = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(sets), ends, SLOTS, _SEED)
    return np.array(matrix.to_rows(), np.uint32)


def bands(threshold: float) -> tuple[int, int]:
    """How sketches are cut into bands, of which similar ones share at least one: number of bands, slots of each.

    As many slots as leave 0.9 of the pairs that are just as similar as ``threshold``.

    Args:
        threshold: above 0, and at most 1.

    Example:
        >>> bands(0.8)
        (16, 8)
    """
    slots = SLOTS
    while slots > 1 and 1 - (1 - threshold**slots) ** (SLOTS // slots) < _RECALL:
        slots -= 1
    return SLOTS // slots, slots


@dataclass(frozen=True)
class Repeats:
    """Which texts repeat one before them.

    Attributes:
        earlier: for each text the position of the one that it repeats; -1 where it repeats none.
        similarity: how similar these two are, estimated (0 to 1); 0 where it repeats none.
    """

    earlier: NDArray[np.int32]
    similarity: NDArray[np.float32]


def find_repeats(sketches: Sketch, *, rows: NDArray[np.int64], threshold: float) -> Repeats:
    """Texts that are nearly the same as one before them which is itself no such repeat.

    Of the texts in each of a text's buckets the nearest 64 before it are looked at. Only where more texts than that
    resemble each other without being similar enough can a repeat be overlooked.

    Args:
        sketches: (texts, SLOTS), of all texts.
        rows: the texts that matter, in order; positions in the result are positions in here.
        threshold: from this estimated similarity on (above 0, at most 1) a text is a repeat.

    Returns:
        For each of ``rows`` the most similar text before it, where that is similar enough.
    """
    before = _links(sketches, rows, threshold)
    repeats = Repeats(np.full(len(rows), -1, np.int32), np.zeros(len(rows), np.float32))
    for position in np.flatnonzero((before >= 0).any(axis=1)).tolist():
        near = _near(before, position, repeats.earlier)
        if not near:
            continue
        alike = (sketches[rows[near]] == sketches[rows[position]]).mean(axis=1)
        best = int(alike.argmax())
        if alike[best] >= threshold:
            repeats.earlier[position], repeats.similarity[position] = near[best], alike[best]
    return repeats


def _links(sketches: Sketch, rows: NDArray[np.int64], threshold: float) -> NDArray[np.int32]:
    """For each text and band, (rows, bands), the newest text before it in the same bucket; -1 where it is the first."""
    links = _buckets(sketches, rows, *bands(threshold)).view(np.int32)
    for band in range(links.shape[1]):
        buckets = links[:, band]
        order = np.argsort(buckets, kind="stable")
        ordered = buckets[order]
        shared = ordered[1:] == ordered[:-1]
        buckets[:] = -1
        buckets[order[1:][shared]] = order[:-1][shared]
    return links


def _buckets(sketches: Sketch, rows: NDArray[np.int64], num_bands: int, slots: int) -> NDArray[np.uint32]:
    """A hash of each band of each text: (rows, bands)."""
    # Sums of products with odd numbers, of which the high half is kept. An accident costs one comparison.
    factors = np.random.Generator(np.random.PCG64(_SEED)).integers(1 << 63, size=slots, dtype=np.uint64) * 2 + 1
    buckets = np.empty((len(rows), num_bands), np.uint32)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = sketches[rows[start : start + _ROWS_AT_ONCE], : num_bands * slots].astype(np.uint64)
        sums = some.reshape(len(some), num_bands, slots) @ factors
        buckets[start : start + _ROWS_AT_ONCE] = sums >> np.uint64(32)
    return buckets


def _near(before: NDArray[np.int32], position: int, earlier: NDArray[np.int32]) -> list[int]:
    """Texts before this one that share a bucket with it and are no repeats, in order.

    The links of this text are made to pass by repeats, as those of every text before it were: a thousand copies of one
    text are as quick to pass as one.
    """
    found: set[int] = set()
    for band, link in enumerate(before[position].tolist()):
        if link >= 0 and earlier[link] >= 0:
            link = int(before[link, band])
            before[position, band] = link
        for _ in range(_MOST_PER_BUCKET):
            if link < 0:
                break
            found.add(link)
            link = int(before[link, band])
    return sorted(found)
