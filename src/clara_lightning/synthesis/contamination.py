"""What training data has in common with evaluation files: passages in documents, questions in generated ones."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from clara_lightning.data import formats
from clara_lightning.data.fields import RowError
from clara_lightning.data.readers import read_questions, read_scp
from clara_lightning.data.records import Document
from clara_lightning.data.reference_formats import is_pretraining
from clara_lightning.data.rows import open_rows, parse_row
from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.ngrams import Hashes, hashes, run_hashes, words

Against = Literal["questions", "passages", "both"]
SHORTEST_PASSAGE = 5
"""A gold passage of fewer words ("Yes.") stands in any document, and is not compared."""


@dataclass(frozen=True)
class Hit:
    """Where something stands in an evaluation file.

    Attributes:
        file: the evaluation file, as it was named.
        id: the question, or the row of an SCP file.
        words: the words that both have, without case and punctuation.
    """

    file: str
    id: str
    words: str

    @property
    def place(self) -> str:
        """File and question in one."""
        return f"{self.file}:{self.id}"


@dataclass(frozen=True)
class EvaluationFile:
    """An evaluation file, with how many questions it has and how many different gold passages, none of them short."""

    name: str
    questions: int
    passages: int


@dataclass(frozen=True)
class _Entry:
    """A row of an evaluation file."""

    id: str
    questions: tuple[str, ...]
    passages: tuple[str, ...]


class Contamination:
    """An index of evaluation files: 12 bytes for each word of a gold passage or question, and their ids.

    Words are compared without case and punctuation, and each character of a script without spaces is a word. A run of
    ``ngram`` words in common is a hit.

    - A **document** is compared with gold passages. A passage that is shorter than ``ngram`` words is a hit where the
      document holds all of it; one of fewer than five words is not compared.
    - A **generated question** is compared with questions. One that is the same is a hit whatever its length.

    Where the documents are those that the evaluation searches, which is a sound way to evaluate (the questions must be
    new, the documents need not), ``against`` must be ``"questions"``, or no gold document is left. ``"passages"`` lets
    questions alone, ``"both"`` compares both.
    """

    def __init__(self, *, ngram: int, against: Against) -> None:
        """Begin without files; :meth:`from_files` is the way in.

        Args:
            ngram: words of a run, 1 or more.
            against: what is compared.
        """
        self.ngram, self.against = ngram, against
        self.files: list[EvaluationFile] = []
        self._ids: list[str] = []
        self._file_starts: list[int] = []
        self._passages, self._questions, self._whole_questions = _Index(), _Index(), _Index()

    @classmethod
    def from_files(cls, paths: Sequence[str | Path], *, ngram: int = 13, against: Against = "both") -> Contamination:
        """Read evaluation files.

        Args:
            paths: QA or SCP files, as :func:`clara_lightning.data.readers.read_questions` and ``read_scp`` read them.
            ngram: words of a run, 1 or more.
            against: what is compared.

        Raises:
            ClaraError: an option is wrong, or a file is missing, bad or empty.
        """
        if ngram < 1:
            raise ClaraError(f"--ngram must be >= 1, got {ngram}")
        if against not in get_args(Against):
            raise ClaraError(f"--against must be one of {', '.join(get_args(Against))}, got {against}")
        contamination = cls(ngram=ngram, against=against)
        for path in dict.fromkeys(map(str, paths)):
            contamination._read(path)
        for index in (contamination._passages, contamination._questions, contamination._whole_questions):
            index.close()
        return contamination

    def of_document(self, document: Document) -> Hit | None:
        """The gold passage with which a document's text has words in common.

        ``None`` where there is none, and where passages are not compared. The title is not looked at.
        """
        in_words = words(document.text)
        return self.of_words(in_words, hashes(in_words))

    def of_words(self, document_words: Sequence[str], word_hashes: Hashes) -> Hit | None:
        """The same as :meth:`of_document` for a text whose words and hashes are there already."""
        if self.against == "questions":
            return None
        return self._hit(self._passages, document_words, word_hashes)

    def of_question(self, question: str) -> Hit | None:
        """The evaluation question that a generated one repeats; ``None`` also where questions are not compared."""
        if self.against == "passages":
            return None
        question_words = words(question)
        if not question_words:
            return None
        word_hashes = hashes(question_words)
        found = self._whole_questions.find(run_hashes(word_hashes, len(word_hashes)))
        if found is not None:
            return self._hit_of(found[1], question_words)
        return self._hit(self._questions, question_words, word_hashes)

    def _read(self, path: str) -> None:
        start = len(self._ids)
        self._file_starts.append(start)
        seen: set[int] = set()
        num_questions = 0
        for entry in _entries(path):
            self._ids.append(entry.id)
            num_questions += len(entry.questions)
            for question in entry.questions:
                self._add_question(question)
            for passage in entry.passages:
                self._add_passage(passage, seen)
        if len(self._ids) == start:
            raise ClaraError(f"{path}: no questions to compare with")
        self.files.append(EvaluationFile(path, num_questions, len(seen)))

    def _add_question(self, question: str) -> None:
        word_hashes = hashes(words(question))
        if self.against == "passages" or not len(word_hashes):
            return
        owner = len(self._ids) - 1
        self._whole_questions.add(word_hashes, len(word_hashes), owner)
        self._questions.add(word_hashes, self.ngram, owner)

    def _add_passage(self, passage: str, seen: set[int]) -> None:
        word_hashes = hashes(words(passage))
        if self.against == "questions" or len(word_hashes) < SHORTEST_PASSAGE:
            return
        key = int(run_hashes(word_hashes, len(word_hashes))[0])
        if key not in seen:  # questions often share their gold passage
            seen.add(key)
            self._passages.add(word_hashes, min(self.ngram, len(word_hashes)), len(self._ids) - 1)

    def _hit(self, index: _Index, text_words: Sequence[str], word_hashes: Hashes) -> Hit | None:
        for length in index.lengths:
            found = index.find(run_hashes(word_hashes, length))
            if found is not None:
                return self._hit_of(found[1], text_words[found[0] : found[0] + length])
        return None

    def _hit_of(self, owner: int, shared: Sequence[str]) -> Hit:
        file = self.files[bisect_right(self._file_starts, owner) - 1]
        return Hit(file.name, self._ids[owner], " ".join(shared))


class _Index:
    """Whose a run of words is, by its hash; of several owners the first."""

    def __init__(self) -> None:
        self._keys, self._owners = array("Q"), array("I")
        self._lengths: set[int] = set()
        self._sorted_keys: Hashes = np.empty(0, np.uint64)
        self._sorted_owners: NDArray[np.uint32] = np.empty(0, np.uint32)

    @property
    def lengths(self) -> list[int]:
        """Of the runs, in words; the longest first."""
        return sorted(self._lengths, reverse=True)

    def add(self, word_hashes: Hashes, length: int, owner: int) -> None:
        runs = run_hashes(word_hashes, length)
        if len(runs):
            self._lengths.add(length)
            self._keys.frombytes(runs.tobytes())
            self._owners.frombytes(np.full(len(runs), owner, np.uint32).tobytes())

    def close(self) -> None:
        """Make it ready to be searched; nothing can be added after."""
        # What is not needed any more is let go at once: of a million questions an array here takes half a gigabyte.
        order = np.argsort(np.frombuffer(self._keys, np.uint64), kind="stable")
        keys = np.frombuffer(self._keys, np.uint64)[order]
        del self._keys
        owners = np.frombuffer(self._owners, np.uint32)[order]
        del self._owners, order
        is_first = np.ones(len(keys), np.bool_)
        is_first[1:] = keys[1:] != keys[:-1]
        self._sorted_keys, self._sorted_owners = keys[is_first], owners[is_first]

    def find(self, runs: Hashes) -> tuple[int, int] | None:
        """The first of the runs that is here: its position and its owner."""
        if not len(self._sorted_keys) or not len(runs):
            return None
        at = np.searchsorted(self._sorted_keys, runs)
        at[at == len(self._sorted_keys)] = 0
        is_here = self._sorted_keys[at] == runs
        position = int(is_here.argmax())
        return (position, int(self._sorted_owners[at[position]])) if is_here[position] else None


def _entries(path: str) -> Iterator[_Entry]:
    """What is compared of each row."""
    if _holds_scp(path):
        for example in read_scp(path):
            yield _Entry(example.id, tuple(pair.question for pair in example.pairs), (example.document,))
        return
    for question in read_questions(path):
        gold = tuple(passage.text for passage in question.passages if passage.gold)
        yield _Entry(question.id, (question.question,), gold)


def _holds_scp(path: str) -> bool:
    """Whether the first row is one of SCP supervision; if it is bad, the reader of questions will say so."""
    source = open_rows(path, columns=formats.KNOWN_FIELDS)
    for _, content in source.rows:
        try:
            row = parse_row(content, expected=source.expected)
            return row.get("document") is not None or is_pretraining(row)
        except RowError:
            break
    return False
