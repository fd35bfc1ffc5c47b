"""The records that travel through the system: documents, questions, and supervision for the compressor.

Each record is a frozen dataclass that holds what its JSONL row holds, after validation. ``readers.py`` makes them from
files; nothing else parses JSON rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

PairKind = Literal["simple", "complex"]


@dataclass(frozen=True)
class Document:
    """One passage of a corpus, the unit that is compressed, stored and retrieved."""

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """What the compressor reads: the title, where there is one, and the text."""
        return titled(self.title, self.text)


def document_of(name: str) -> str:
    """The id of the document that a chunk is of, by the chunk's id; any other id is its own document's.

    Example:
        >>> document_of("kenya#12"), document_of("kenya"), document_of("C#")
        ('kenya', 'kenya', 'C#')
    """
    document, sign, number = name.rpartition("#")
    return document if sign and document and number.isdecimal() else name


@dataclass(frozen=True)
class Passage:
    """One candidate passage of a question."""

    text: str
    gold: bool
    id: str | None = None
    title: str = ""

    @property
    def content(self) -> str:
        """What the compressor reads: the title, where there is one, and the text."""
        return titled(self.title, self.text)

    @property
    def document_id(self) -> str:
        """Its id as a document of a corpus: its own, or one that depends on its content alone."""
        return self.id or content_id(self.content)


@dataclass(frozen=True)
class Question:
    """A question with its reference answers and, where known, its candidates and its gold documents.

    Attributes:
        answers: every string that counts as right; the first is the training target. Empty where only the search for
            the gold documents can be measured.
        passages: this question's own candidates.
        gold_ids: ids of documents in a store that hold the answer.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    passages: tuple[Passage, ...] = ()
    gold_ids: tuple[str, ...] = ()

    @property
    def gold_document_ids(self) -> tuple[str, ...]:
        """Where the answer is in a corpus: ``gold_ids``, or without them the ids of the gold passages."""
        return self.gold_ids or tuple(dict.fromkeys(p.document_id for p in self.passages if p.gold))


@dataclass(frozen=True)
class QAPair:
    """A question about one document and its answer (SCP supervision)."""

    question: str
    answer: str
    kind: PairKind = "simple"


@dataclass(frozen=True)
class SCPExample:
    """Supervision for Salient Compressor Pretraining of one document (paper, section 3.1)."""

    id: str
    document: str
    pairs: tuple[QAPair, ...]
    paraphrase: str | None = None
    teacher: str | None = None


def content_id(content: str) -> str:
    """An id for a passage without one; equal content, equal id."""
    return f"passage-{hashlib.blake2b(content.encode(), digest_size=8).hexdigest()}"


def content_key(content: str) -> int:
    """A number that stands for a document wherever it appears; equal content, equal number, never below 0."""
    return int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest()) >> 1


def titled(title: str, text: str) -> str:
    """The text that stands for a document everywhere: ``title`` on a line of its own, then ``text``.

    The space after the line break gives the first word of the text the token that it has inside a sentence.
    """
    return f"{title}\n {text}" if title else text
