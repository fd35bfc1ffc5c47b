"""What is kept of millions of texts: a few with the smallest stable hashes, so that their order changes nothing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from clara_lightning.synthesis.report.counting import Share, share

Item = TypeVar("Item", bound=tuple[str, ...])
Value = TypeVar("Value")
SAMPLE = 10_000
DISTINCT = 2**19


@dataclass(frozen=True)
class Phrase:
    """A phrase, how often it was counted, its share, and texts that it stands for."""

    phrase: str
    count: int
    share: float | None
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Phrases:
    """The most frequent phrases.

    Attributes:
        total: texts in all.
        looked_at: so many of them were counted: all, or those of the smallest hashes.
        top: the most frequent first.
    """

    total: int
    looked_at: int
    top: tuple[Phrase, ...]


def stable_number(*parts: str) -> int:
    """A number of 64 bits that depends on the texts alone, not on the process as ``hash`` does."""
    whole = "\0".join(parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(whole, digest_size=8).digest())


class Smallest(Generic[Item]):
    """Of all that is offered, the ``limit`` items with the smallest hashes; equal hashes go by the items' order.

    Args:
        limit: how many are kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: list[tuple[int, Item]] = []
        self._bound = 2**64

    def wants(self, number: int) -> bool:
        """Whether an item of this hash may be among them, so that none need be made in vain."""
        return number <= self._bound

    def add(self, number: int, item: Item) -> None:
        """Offer an item with its hash."""
        if not self.wants(number):
            return
        self._items.append((number, item))
        if len(self._items) >= 2 * self._limit:
            self._cut()

    def result(self) -> list[Item]:
        """The items, the one with the smallest hash first."""
        self._cut()
        return [item for _, item in self._items]

    def _cut(self) -> None:
        self._items.sort()
        del self._items[self._limit :]
        if len(self._items) == self._limit:
            self._bound = self._items[-1][0]


class PhraseCounter:
    """The most frequent phrases: exactly up to :data:`SAMPLE` texts, and above that among a sample of so many.

    Args:
        limit: texts that are counted at most.
    """

    def __init__(self, limit: int = SAMPLE) -> None:
        self._sample: Smallest[tuple[str, str]] = Smallest(limit)
        self._total = 0

    def add(self, phrase: str, *, example: str, number: int) -> None:
        """Count a text under a phrase.

        Args:
            phrase: the phrase.
            example: the text.
            number: the text's hash.
        """
        self._total += 1
        self._sample.add(number, (phrase, example))

    def result(self, *, top: int = 10, examples: int = 5) -> Phrases:
        """The ``top`` phrases with so many examples each."""
        sample = self._sample.result()
        counts = Counter(phrase for phrase, _ in sample)
        first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]
        told: dict[str, list[str]] = {phrase: [] for phrase, _ in first}
        for phrase, example in sample:
            if phrase in told and len(told[phrase]) < examples and example not in told[phrase]:
                told[phrase].append(example)
        phrases = [Phrase(name, count, count / len(sample), tuple(told[name])) for name, count in first]
        return Phrases(self._total, len(sample), tuple(phrases))


class Repeats:
    """How many documents share a text; exact up to :data:`DISTINCT` texts.

    Of more texts, those are counted whose hash ends in so many zero bits that no more than the limit remain. Which
    these are depends on the texts alone, and they were counted from the beginning.

    Args:
        limit: distinct texts that are counted at most.
    """

    def __init__(self, limit: int = DISTINCT) -> None:
        self._limit = limit
        self._bits = 0
        self._counts: dict[int, int] = {}
        self._texts: dict[int, str] = {}

    def add(self, text: str) -> None:
        """Take a text of one more document."""
        number = stable_number(text)
        if number % 2**self._bits:
            return
        count = self._counts[number] = self._counts.get(number, 0) + 1
        if count == 2:  # texts that stand in one document are never shown
            self._texts[number] = text
        while len(self._counts) > self._limit:
            self._bits += 1
            self._counts = _ending(self._counts, self._bits)
            self._texts = _ending(self._texts, self._bits)

    @property
    def looked_at(self) -> float:
        """Share of the texts that is counted."""
        return 2.0**-self._bits

    @property
    def counted(self) -> Share:
        """Texts that other documents have too, of all texts that are counted, each once for each document."""
        return share(sum(count for count in self._counts.values() if count > 1), sum(self._counts.values()))

    def top(self, most: int = 5) -> list[tuple[str, int]]:
        """The texts of the most documents, with their numbers of documents."""
        found = [(text, self._counts[number]) for number, text in self._texts.items()]
        return sorted(found, key=lambda item: (-item[1], item[0]))[:most]


def _ending(values: Mapping[int, Value], bits: int) -> dict[int, Value]:
    return {number: value for number, value in values.items() if not number % 2**bits}
