"""Rows that must stay together, and on which side of a split each group of them lies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

Key = bytes
"""What stands for a document, a question or an id."""


def key(kind: str, text: str) -> Key:
    """The key of a text of some kind; texts that differ in white space alone have the same, in every process."""
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16, person=kind.encode()).digest()


class Groups:
    """Joins keys that stand in one row: the rows of a group share keys, if only by way of other rows.

    A group is known by its least key. Which side it lies on depends on that key alone, and so on nothing that stands
    in other groups, nor on any order. A row that is added to a file can move a group only by joining it with another
    one, or by bringing a key that is less than all of the group's.
    """

    def __init__(self) -> None:
        self._above: dict[Key, Key] = {}

    def join(self, keys: Sequence[Key]) -> None:
        """Put all these keys, one or more, into one group."""
        roots = {self.root(each) for each in keys}
        least = min(roots)
        for root in roots:
            self._above[root] = least

    def root(self, member: Key) -> Key:
        """The least key of a key's group; a new key is a group of its own."""
        path = []
        while (above := self._above.setdefault(member, member)) != member:
            path.append(member)
            member = above
        for each in path:  # the next way is short
            self._above[each] = member
        return member


def side_of(root: Key, shares: Mapping[str, float], *, seed: int) -> str | None:
    """The name of the share that a group falls into, or ``None`` for the rest.

    Shares are cut from both ends of a line in turn, so that a second one, added later, takes nothing from the first.

    Args:
        root: of the group.
        shares: at most two, by name; below 1 together.
        seed: another one gives another split.
    """
    # Not the key's own order: the least of many keys is nearly always small.
    digest = hashlib.blake2b(root, digest_size=8, key=str(seed).encode(), person=b"side").digest()
    place = int.from_bytes(digest) / 2**64
    for (name, share), distance in zip(shares.items(), (place, 1.0 - place), strict=False):
        if distance < share:
            return name
    return None
