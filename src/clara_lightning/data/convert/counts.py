"""What a conversion counts: what came in, what went out, and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from clara_lightning.data.records import Document, Question, SCPExample

Record = TypeVar("Record", bound=Document | Question | SCPExample)


@dataclass
class Counts:
    """Figures of one conversion.

    Attributes:
        rows_in: rows that were read; of a folder of texts, files.
        documents: documents written.
        questions: questions written.
        examples: examples of SCP supervision written.
        passages: candidates of the questions written.
        gold: gold passages among them, and gold ids.
        left_out: how often something was left out, by what it was.
    """

    rows_in: int = 0
    documents: int = 0
    questions: int = 0
    examples: int = 0
    passages: int = 0
    gold: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def rows_out(self) -> int:
        """Records written, of whatever kind."""
        return self.documents + self.questions + self.examples

    def counted(self, records: Iterable[Record]) -> Iterator[Record]:
        """The same records, each counted when it is taken."""
        for record in records:
            if isinstance(record, Document):
                self.documents += 1
            elif isinstance(record, Question):
                self.questions += 1
                self.passages += len(record.passages)
                self.gold += sum(passage.gold for passage in record.passages) + len(record.gold_ids)
            else:
                self.examples += 1
            yield record

    def to_json(self) -> dict[str, Any]:
        """All figures, as JSON holds them."""
        return {"rows_in": self.rows_in, "rows_out": self.rows_out, **self._written(), "left_out": self._left_out()}

    def sentence(self) -> str:
        """All figures that are not zero, on one line.

        Example:
            >>> Counts(rows_in=3, questions=2, passages=20, gold=4, left_out=Counter({"bad rows": 1})).sentence()
            '3 rows in, 2 rows out: questions 2, passages 20, gold 4; left out: bad rows 1'
        """
        written, left_out = _listed(self._written()), _listed(self._left_out())
        return f"{self.rows_in:,} rows in, {self.rows_out:,} rows out: {written}; left out: {left_out}"

    def _written(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in ("documents", "questions", "examples", "passages", "gold")}

    def _left_out(self) -> dict[str, int]:
        return {what: count for what, count in self.left_out.items() if count}


def _listed(figures: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in figures.items() if count) or "nothing"
