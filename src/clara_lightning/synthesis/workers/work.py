"""What is done in one process, and the portions that it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol, TypeVar

from clara_lightning.data.records import Document
from clara_lightning.synthesis.outcome import Outcome

T = TypeVar("T")
CHUNK = 64
"""Documents that a worker gets at once."""


class Work(Protocol):
    """Makes outcomes of documents, in the process that it was made in."""

    def run(self, documents: Sequence[Document]) -> Sequence[Outcome]:
        """One outcome for each, in any order."""

    def close(self) -> None:
        """Give back what it holds."""


WorkFactory = Callable[[], Work]
"""Makes the work where it is done; it pickles, and is called once in every process."""


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in portions of ``size``; the last may be smaller.

    >>> list(chunks("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    rest = iter(items)
    while portion := list(islice(rest, size)):
        yield portion
