"""What became of a document: its supervision, or why there is none, with all that the report counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from clara_lightning.data.records import PairKind
from clara_lightning.synthesis.tasks import ComplexType
from clara_lightning.synthesis.teacher import NO_USAGE, Usage

PairType = Literal["simple"] | ComplexType
Found = Literal["exact", "teacher"]
"""How an answer was found in its document: letter by letter, or because the teacher says that it follows."""
Reason = Literal["coverage", "no pairs", "bad reply", "refused"]
"""Why a document has no supervision: coverage too low, no pair left, no usable answer of the teacher, a request that
its model refuses (too long, a filter)."""
Unavailable = Literal["unavailable"]
"""No verdict: the teacher did not answer, and may next time."""


@dataclass(frozen=True)
class Pair:
    """A question and an answer that passed every check."""

    question: str
    answer: str
    type: PairType
    found: Found
    round: int

    @property
    def kind(self) -> PairKind:
        """As the SCP format has it."""
        return "simple" if self.type == "simple" else "complex"


@dataclass(frozen=True)
class Dropped:
    """A question that was not kept.

    Attributes:
        question: the question.
        answer: its answer, empty where there was none.
        type: what kind of question it was.
        reason: why it was dropped, one of few fixed phrases.
        detail: the teacher's words about it, if any.
        round: in which round.
    """

    question: str
    answer: str
    type: PairType
    reason: str
    detail: str
    round: int


@dataclass(frozen=True)
class Round:
    """One round of simple questions: how many were asked, how many kept, and what is covered after it (0 to 1)."""

    asked: int
    kept: int
    coverage: float


@dataclass(frozen=True)
class Outcome:
    """What became of one document.

    Attributes:
        key: hash of its title and text: what a resumed run knows it by.
        id: its id.
        document: what the compressor reads: title and text.
        pairs: what was kept, simple ones first; kept for the report too where the document is rejected.
        paraphrase: the paraphrase, if one passed.
        paraphrase_faults: why the last one did not.
        rounds: of simple questions.
        word_coverage: share of the document's content words that stand in a kept pair (0 to 1).
        dropped: questions that were not kept.
        reason: why the document is rejected; ``None`` where it is accepted.
        detail: more about the reason, in words.
        usage: what the teacher took.
    """

    key: str
    id: str
    document: str
    pairs: tuple[Pair, ...] = ()
    paraphrase: str | None = None
    paraphrase_faults: tuple[str, ...] = ()
    rounds: tuple[Round, ...] = ()
    word_coverage: float = 0.0
    dropped: tuple[Dropped, ...] = ()
    reason: Reason | Unavailable | None = None
    detail: str = ""
    usage: Usage = NO_USAGE

    @property
    def coverage(self) -> float:
        """Share of the document's facts that are asked about, as the teacher counts them, after the last round."""
        return self.rounds[-1].coverage if self.rounds else 0.0

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Outcome:
        """The way back from :meth:`to_json`."""
        return cls(
            **{
                **row,
                "pairs": tuple(Pair(**pair) for pair in row["pairs"]),
                "paraphrase_faults": tuple(row["paraphrase_faults"]),
                "rounds": tuple(Round(**one) for one in row["rounds"]),
                "dropped": tuple(Dropped(**one) for one in row["dropped"]),
                "usage": Usage(**row["usage"]),
            }
        )
