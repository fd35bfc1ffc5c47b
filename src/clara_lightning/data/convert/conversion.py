"""What every converter is given: where to read, how, and what it counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from clara_lightning.data.convert.counts import Counts
from clara_lightning.data.readers import convert_rows
from clara_lightning.data.rows import RowSource

Row = Mapping[str, Any]
Made = TypeVar("Made")


@dataclass(frozen=True)
class Conversion:
    """One conversion, as it was asked for.

    Attributes:
        source: file or folder to read.
        skip_bad_rows: so many rows of a file may be bad.
        split: the judgements to take, where a format has several.
        max_words: words of a passage at most, where text is cut.
        counts: what is counted on the way.
    """

    source: str
    skip_bad_rows: int = 0
    split: str = "test"
    max_words: int = 120
    counts: Counts = field(default_factory=Counts)

    def records(self, source: RowSource, convert: Callable[[Row, int], Iterable[Made]]) -> Iterator[Made]:
        """What ``convert`` makes of every row, with the rows counted, and the bad ones.

        Args:
            source: the rows.
            convert: makes everything of one row, given its number; raises ``RowError`` where the row is bad.

        Raises:
            ClaraError: a row is bad, beyond the number that may be.
        """
        counts = self.counts

        def rows() -> Iterator[tuple[int, bytes | Row]]:
            for row in source.rows:
                counts.rows_in += 1
                counts.left_out["bad rows"] += 1  # until it is converted
                yield row

        def converted(row: Row, number: int) -> Iterable[Made]:
            made = convert(row, number)
            counts.left_out["bad rows"] -= 1
            return made

        return convert_rows(replace(source, rows=rows()), converted, skip_bad_rows=self.skip_bad_rows)
