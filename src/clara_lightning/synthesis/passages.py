"""Documents of a file or a folder, cut into passages that are short enough to ask about."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from clara_lightning.data.convert.conversion import Conversion
from clara_lightning.data.convert.passages import PARAGRAPH, cut
from clara_lightning.data.convert.text_files import text_files
from clara_lightning.data.readers import read_documents
from clara_lightning.data.records import Document
from clara_lightning.synthesis.ngrams import CHARACTERS_PER_WORD, UNSPACED

_ENDS = "\u3002\uff01\uff1f\uff61"  # full stops, exclamation and question mark, which no space follows
_CLOSING = "\u300d\u300f\u201d\u2019\uff09\u3011\u300b"  # quotation marks and brackets that may stand behind them
_PAUSES = "\uff0c\u3001\uff1b\uff1a"  # commas, semicolon, colon
_SENTENCE = re.compile(rf"(?<=[.!?])\s+|(?<=[{_ENDS}])(?![{_ENDS}{_CLOSING}])\s*|(?<=[{_ENDS}][{_CLOSING}])\s*")
_CLAUSE = re.compile(rf"\s+|(?<=[{_PAUSES}])")
_BOUNDARIES = (PARAGRAPH, _SENTENCE, _CLAUSE)
# What white space surrounds counts as several words where it is longer: an address, encoded bytes.
_LONGEST_WORD = 15
_DATASET_FILES = ("state.json", "dataset_dict.json")


@dataclass
class Source:
    """Where documents come from.

    Attributes:
        path: a file or saved data set as :func:`clara_lightning.data.readers.read_documents` takes it, or a folder of
            ``.txt`` and ``.md`` files, each a document with its path as its id.
        skip_bad_rows: so many rows, or files of a folder, may be bad.
        not_read: what else was in a folder, counted by what it is.
    """

    path: str
    skip_bad_rows: int = 0
    not_read: dict[str, int] = field(default_factory=dict)

    def documents(self) -> Iterator[Document]:
        """All documents, as they are asked for.

        Raises:
            ClaraError: something cannot be read, or is bad.
        """
        if not is_text_folder(self.path):
            yield from read_documents(self.path, skip_bad_rows=self.skip_bad_rows)
            return
        conversion = Conversion(self.path, self.skip_bad_rows, max_words=sys.maxsize)
        try:
            for document in text_files(conversion):
                yield replace(document, id=document.metadata["source"])
        finally:  # also where the first ones are enough
            self.not_read = {what: count for what, count in conversion.counts.left_out.items() if count}


def is_text_folder(path: str | Path) -> bool:
    """Whether a folder is one of text files, and not a saved data set."""
    return os.path.isdir(path) and not any(os.path.exists(os.path.join(path, name)) for name in _DATASET_FILES)


def count_words(text: str) -> float:
    """The length of a text in words, also where its script has no spaces or its words have no end.

    Example:
        >>> count_words("The Nile."), count_words("尼罗河"), count_words("x" * 60)
        (2.0, 2.0, 4.0)
    """
    unspaced = 0
    if not text.isascii():
        text, unspaced = UNSPACED.subn(" ", text)
    spaced = text.split()
    return max(len(spaced), sum(map(len, spaced)) / _LONGEST_WORD) + unspaced / CHARACTERS_PER_WORD


def cut_document(document: Document, *, max_words: int) -> Iterator[Document]:
    """A document as it is, or where it is too long its passages: ``ID#1``, ``ID#2``, with its title and metadata.

    They end where a paragraph does, where that is not enough a sentence, a clause or a word, and where there is none of
    these after a fixed number of characters.

    Args:
        document: any document.
        max_words: words of a passage at most, by :func:`count_words`.
    """
    if count_words(document.text) <= max_words:
        yield document
        return
    pieces = cut(document.text, max_words=max_words, boundaries=_BOUNDARIES, count=count_words)
    passages = (passage for piece in pieces for passage in _slices(piece, max_words))
    for number, passage in enumerate(passages, start=1):
        yield replace(document, id=f"{document.id}#{number}", text=passage)


def _slices(piece: str, max_words: int) -> Iterator[str]:
    if count_words(piece) <= max_words:
        yield piece
        return
    per_word = CHARACTERS_PER_WORD if UNSPACED.search(piece) else _LONGEST_WORD
    size = max(1, int(per_word * max_words))
    start = 0
    while start < len(piece):
        end = start + size
        while start + 1 < end < len(piece) and unicodedata.category(piece[end])[0] == "M":
            end -= 1  # a mark, such as a vowel of Thai, stays with its letter
        yield piece[start:end]
        start = end
