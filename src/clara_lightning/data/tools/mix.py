"""``clara data mix``: one file of several, each with its share of the rows."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

from clara_lightning.data.tools.kinds import Kind, Row, good_rows
from clara_lightning.data.tools.lines import line_of
from clara_lightning.data.writers import check_target, write_lines
from clara_lightning.errors import ClaraError


@dataclass(frozen=True)
class Part:
    """A file and its weight: a share of the output's rows, relative to the other weights."""

    file: str
    weight: Fraction


@dataclass(frozen=True)
class Taken:
    """What was taken of a file: ``taken`` rows of its ``rows``; where it has fewer, some more than once."""

    file: str
    rows: int
    taken: int

    @property
    def repeated(self) -> int:
        """Rows that stand in the output once more."""
        return max(0, self.taken - self.rows)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self) | {"repeated": self.repeated}


def parse_part(given: str) -> Part:
    """A file and its weight, from ``FILE:WEIGHT``.

    Raises:
        ClaraError: there is no weight, or it is not above 0.

    Example:
        >>> parse_part("hf://owner/name#train:0.25")
        Part(file='hf://owner/name#train', weight=Fraction(1, 4))
    """
    file, _, weight = given.rpartition(":")
    try:
        value = Fraction(weight)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if not file or value <= 0:
        raise ClaraError(f"data mix: expected FILE:WEIGHT with a weight above 0, as in a.jsonl:0.7, got {given!r}")
    return Part(file, value)


def mix(
    parts: Sequence[Part], out: str, *, rows: int | None = None, seed: int = 0, replace: bool = False
) -> list[Taken]:
    """Draw rows of each file and write them shuffled, all or nothing. Rows that were drawn are held in memory.

    Args:
        parts: the files, all of rows of one kind.
        out: the JSONL file to write.
        rows: how many in all; without it as many as give each file its share and repeat none. Where a file has too few,
            each of its rows is taken equally often, to one.
        seed: of what is drawn and of the order; files, weights and seed give the same bytes.
        replace: whether ``out`` may be there already.

    Returns:
        What was taken of each file, in order.

    Raises:
        ClaraError: an option is wrong, or a row; nothing is written then.
    """
    _check(parts, out, rows=rows, replace=replace)
    counts = _counts(parts)
    shares = [part.weight / sum(each.weight for each in parts) for part in parts]
    total = rows or min(floor(count / share) for count, share in zip(counts, shares, strict=True))
    numbers = _apportion(shares, total)
    taken = [Taken(part.file, *both) for part, *both in zip(parts, counts, numbers, strict=True)]
    drawn = [_draw(each, random.Random(f"{seed}-{place}")) for place, each in enumerate(taken)]
    lines = list(_lines(list(zip(taken, drawn, strict=True))))
    random.Random(f"{seed}-order").shuffle(lines)
    write_lines(out, lines)
    return taken


def _check(parts: Sequence[Part], out: str, *, rows: int | None, replace: bool) -> None:
    if rows is not None and rows < 1:
        raise ClaraError(f"--rows must be >= 1, got {rows}")
    places = [os.path.realpath(part.file) for part in parts]
    for part, place in zip(parts, places, strict=True):
        if places.count(place) > 1:
            raise ClaraError(f"data mix: {part.file} is given twice; one weight says how much of it to take")
    check_target(Path(out), [part.file for part in parts], replace=replace)


def _counts(parts: Sequence[Part]) -> list[int]:
    """How many rows each file has; all must be good and of one kind."""
    counts: list[int] = []
    kinds: list[Kind | None] = []
    for part in parts:
        count = 0
        for count, row in enumerate(good_rows(part.file), start=1):
            if count == 1:
                kinds.append(row.kind)
        if not count:
            raise ClaraError(f"{part.file}: holds no rows")
        if kinds[-1] != kinds[0]:
            raise ClaraError(f"{part.file}: holds {kinds[-1]}, and {parts[0].file} {kinds[0]}: they do not mix")
        counts.append(count)
    return counts


def _apportion(shares: Sequence[Fraction], total: int) -> list[int]:
    """Whole numbers that add up to ``total``, next to the shares of it: what is left goes to the largest remainders."""
    exact = [share * total for share in shares]
    numbers = [floor(each) for each in exact]
    by_remainder = sorted(range(len(shares)), key=lambda place: (numbers[place] - exact[place], place))
    for place in by_remainder[: total - sum(numbers)]:
        numbers[place] += 1
    return numbers


def _draw(taken: Taken, draw: random.Random) -> Counter[int]:
    """How often each row is taken, by its place."""
    whole, rest = divmod(taken.taken, taken.rows)
    times = Counter(draw.sample(range(taken.rows), rest))
    if whole:
        times.update(dict.fromkeys(range(taken.rows), whole))
    return times


def _lines(drawn: Sequence[tuple[Taken, Counter[int]]]) -> Iterator[bytes]:
    """The rows that were drawn, file by file."""
    ids: dict[str, str] = {}
    for taken, times in drawn:
        for place, row in enumerate(good_rows(taken.file, all_columns=True)):
            if times[place]:
                _check_id(row, ids, times[place])
                yield from [line_of(row)] * times[place]


def _check_id(row: Row, ids: dict[str, str], times: int) -> None:
    """Refuse two documents of one id, which no verb could read."""
    if row.kind != "documents":
        return
    name = row.records[0].id
    if name in ids:
        raise ClaraError(f"{row.place}: id: {name!r} is the id of a document in {ids[name]}, too")
    if times > 1:
        raise ClaraError(f"{row.place}: a document cannot stand twice in a file: --rows asks for more than there are")
    ids[name] = row.place
