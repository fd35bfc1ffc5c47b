"""Which documents a teacher is shown, as it was asked for, and what became of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.contamination import Against


def document_key(document: Document) -> str:
    """What stands for a document in files: a hash of title and text, 32 hexadecimal digits; its id does not matter."""
    return hashlib.blake2b(json.dumps([document.title, document.text]).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class DocumentSettings:
    """Which documents are asked about.

    Attributes:
        max_words: longer documents are cut into passages.
        min_words: shorter passages are left out.
        near_duplicates: a passage that is so similar to an earlier one (by runs of three words, 0 to 1) is left out; 0
            keeps them all. Equal texts are left out in any case.
        decontaminate: evaluation files that training data must have nothing in common with.
        ngram: so many words in a row are something in common.
        against: what is compared (see :class:`clara_lightning.synthesis.contamination.Contamination`). ``questions``
            where the documents are those that the evaluation searches.
        skip_bad_rows: so many rows may be bad.
        limit: the first so many passages that are kept; all if ``None``.

    Raises:
        ClaraError: a value makes no sense.
    """

    max_words: int = 180
    min_words: int = 5
    near_duplicates: float = 0.8
    decontaminate: tuple[str, ...] = ()
    ngram: int = 13
    against: Against = "both"
    skip_bad_rows: int = 0
    limit: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("max_words", 1), ("min_words", 1), ("ngram", 1), ("skip_bad_rows", 0), ("limit", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ClaraError(f"--{name.replace('_', '-')} must be >= {least}, got {value}")
        if self.min_words > self.max_words:
            raise ClaraError(f"--min-words must be <= --max-words ({self.max_words}), got {self.min_words}")
        if not 0 <= self.near_duplicates <= 1:
            raise ClaraError(f"--near-duplicates must be between 0 and 1, got {self.near_duplicates}")
        if self.against not in get_args(Against):
            raise ClaraError(f"--against must be one of {', '.join(get_args(Against))}, got {self.against}")

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        return asdict(self) | {"decontaminate": list(self.decontaminate)}


@dataclass(frozen=True)
class DocumentFigures:
    """What was read and what became of it.

    Attributes:
        read: documents; with a limit, up to the one that reaches it.
        passages: that they were cut into.
        kept: passages that are left.
        words: of these; one and a half characters of a script without spaces count as one.
        left_out: the others, counted by reason.
        not_read: what else was in a folder of texts, counted by what it is.
    """

    read: int
    passages: int
    kept: int
    words: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    not_read: Mapping[str, int] = field(default_factory=dict)

    def sentence(self) -> str:
        """All of them in a line.

        Example:
            >>> DocumentFigures(3, 5, 3, 90, {"duplicate": 2}).sentence()
            '3 documents, 5 passages, 3 kept (90 words); left out: duplicate 2'
        """
        line = f"{self.read:,} documents, {self.passages:,} passages, {self.kept:,} kept ({self.words:,} words)"
        return line + _listed("left out", self.left_out) + self.not_read_in_words()

    def not_read_in_words(self) -> str:
        """What else was in a folder, as the end of a sentence; empty where there was nothing."""
        return _listed("not read", self.not_read)


def _listed(what: str, counts: Mapping[str, int]) -> str:
    return f"; {what}: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()) if counts else ""
