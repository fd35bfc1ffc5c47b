"""Which passages are worth asking about: those that are long enough, new, and not in an evaluation file."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clara_lightning.data.records import Document
from clara_lightning.synthesis.contamination import Contamination, Hit
from clara_lightning.synthesis.duplicates import Sketches, find_repeats
from clara_lightning.synthesis.ngrams import hashes, length_in_words, words
from clara_lightning.synthesis.spool import Spool

REASONS = ("", "too short", "contaminated", "duplicate", "near duplicate")
"""Why a passage is left out, by number; 0 stands for one that is kept."""
_KEPT, _TOO_SHORT, _CONTAMINATED, _DUPLICATE, _NEAR_DUPLICATE = range(len(REASONS))


@dataclass(frozen=True)
class LeftOut:
    """A passage that is left out.

    Attributes:
        number: of the passage, from 0.
        id: of the passage.
        reason: one of :data:`REASONS`.
        repeats: the id of the earlier passage, or evaluation file and question; empty for one that is too short.
        similarity: to the earlier passage, of a near duplicate.
        hit: what it has in common with an evaluation file.
    """

    number: int
    id: str
    reason: str
    repeats: str = ""
    similarity: float | None = None
    hit: Hit | None = None

    def to_json(self) -> dict[str, Any]:
        """What a line of ``left_out.jsonl`` holds."""
        row = {"number": self.number, "id": self.id, "reason": self.reason, "repeats": self.repeats}
        more = {"similarity": self.similarity, "words": self.hit.words if self.hit else None}
        return row | {key: value for key, value in more.items() if value is not None}


@dataclass(frozen=True)
class Verdicts:
    """What becomes of every passage.

    Attributes:
        reasons: positions in :data:`REASONS`.
        earlier: the passage that it repeats; -1 for none.
        similarity: to that passage, where it is a near duplicate.
    """

    reasons: NDArray[np.uint8]
    earlier: NDArray[np.int32]
    similarity: NDArray[np.float32]

    @property
    def num_kept(self) -> int:
        """How many passages are kept."""
        return int((self.reasons == _KEPT).sum())

    def end_of(self, limit: int | None) -> int:
        """How many passages there are up to the one with which ``limit`` are kept, or all."""
        kept = np.flatnonzero(self.reasons == _KEPT)
        return int(kept[limit - 1]) + 1 if limit is not None and len(kept) >= limit else len(self.reasons)


class Sifting:
    """Passages on their way: what must be known of each to decide in the end.

    About 40 bytes of memory a passage, 160 in :meth:`decide`, and 600 on the disk.
    """

    def __init__(
        self, folder: Path, *, min_words: int, near_duplicates: float, contamination: Contamination | None
    ) -> None:
        """Begin without passages.

        Args:
            folder: on the disk that is to hold what memory should not.
            min_words: of a passage.
            near_duplicates: similarity of a near duplicate; 0 looks for none.
            contamination: evaluation files.

        Raises:
            ClaraError: nothing can be written to ``folder``; by the methods too.
        """
        self._min_words, self._near_duplicates, self._contamination = min_words, near_duplicates, contamination
        self._ids, self._hits = Spool(folder), Spool(folder)
        self._sketches = Sketches(folder)
        self._reasons, self._is_first, self._keys = array("B"), array("B"), array("Q")
        self._num_words = array("I")

    @property
    def num_hopeful(self) -> int:
        """How many passages are left unless they repeat another one."""
        return len(self._keys)

    def add(self, passage: Document, *, is_first: bool) -> None:
        """The next passage.

        Args:
            passage: the passage.
            is_first: whether it is the first one of its document.
        """
        self._ids.append(passage.id)
        self._is_first.append(is_first)
        self._reasons.append(self._reason(passage))

    def decide(self) -> Verdicts:
        """What becomes of the passages so far. More can be added afterwards, which change nothing for these."""
        reasons = np.array(self._reasons, np.uint8)
        earlier, similarity = np.full(len(reasons), -1, np.int32), np.zeros(len(reasons), np.float32)
        hopeful = np.flatnonzero(reasons == _KEPT)
        first = _firsts(np.array(self._keys, np.uint64))
        is_new = first == np.arange(len(first))
        reasons[hopeful[~is_new]] = _DUPLICATE
        earlier[hopeful[~is_new]] = hopeful[first[~is_new]]
        if self._near_duplicates:
            rows = np.flatnonzero(is_new)
            repeats = find_repeats(self._sketches.rows(), rows=rows, threshold=self._near_duplicates)
            is_repeat = repeats.earlier >= 0
            near = hopeful[rows[is_repeat]]
            reasons[near] = _NEAR_DUPLICATE
            earlier[near] = hopeful[rows[repeats.earlier[is_repeat]]]
            similarity[near] = repeats.similarity[is_repeat]
        return Verdicts(reasons, earlier, similarity)

    def num_documents(self, end: int) -> int:
        """How many documents the passages before ``end`` are of."""
        return int(np.frombuffer(self._is_first, np.uint8)[:end].sum())

    def num_words(self, verdicts: Verdicts, end: int) -> int:
        """The words of the passages before ``end`` that are kept."""
        is_kept = verdicts.reasons[:end] == _KEPT
        return int(np.frombuffer(self._num_words, np.uint32)[:end][is_kept].sum())

    def left_out(self, verdicts: Verdicts, end: int) -> Iterator[LeftOut]:
        """Passages before ``end`` that are left out, in order."""
        num_hits = 0
        for number in np.flatnonzero(verdicts.reasons[:end] != _KEPT).tolist():
            reason = REASONS[verdicts.reasons[number]]
            row = LeftOut(number, self._ids[number], reason)
            if verdicts.reasons[number] == _CONTAMINATED:
                hit = Hit(**json.loads(self._hits[num_hits]))
                num_hits += 1
                row = LeftOut(number, row.id, reason, hit.place, hit=hit)
            elif verdicts.earlier[number] >= 0:
                similarity = round(float(verdicts.similarity[number]), 2) or None
                row = LeftOut(number, row.id, reason, self._ids[int(verdicts.earlier[number])], similarity)
            yield row

    def close(self) -> None:
        """Give back what it holds on the disk."""
        for held in (self._ids, self._hits, self._sketches):
            held.close()

    def _reason(self, passage: Document) -> int:
        passage_words = words(passage.text)
        length = length_in_words(passage_words)
        self._num_words.append(round(length))
        if length < self._min_words:
            return _TOO_SHORT
        word_hashes = hashes(passage_words)
        hit = self._contamination.of_words(passage_words, word_hashes) if self._contamination else None
        if hit is not None:
            self._hits.append(json.dumps(asdict(hit)))
            return _CONTAMINATED
        self._keys.append(_key(passage.text))
        if self._near_duplicates:
            self._sketches.add(passage_words, word_hashes)
        return _KEPT


def _key(text: str) -> int:
    """Equal for texts that differ in white space and case alone."""
    folded = " ".join(text.casefold().split())
    return int.from_bytes(hashlib.blake2b(folded.encode(), digest_size=8).digest())


def _firsts(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each key the position of the first one that is equal."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)
