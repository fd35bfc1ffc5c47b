"""``clara data stats``: what is in a file, in one pass over it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from clara_lightning.data.records import PairKind, Question, SCPExample
from clara_lightning.data.tools.contents import answer_stands, asked_in, documents_of, gold_of, key_of, record_key
from clara_lightning.data.tools.kinds import Record, Row, read_rows
from clara_lightning.data.tools.lengths import Bar, LengthCounts, Lengths
from clara_lightning.data.tools.words import count_words, scripts
from clara_lightning.errors import ClaraError

CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""Tokens of each text, as the compressor reads it before it is cut."""
Part = Literal["documents", "questions", "answers", "paraphrases"]
PARTS: tuple[Part, ...] = ("documents", "questions", "answers", "paraphrases")


@dataclass(frozen=True)
class FileStats:
    """What is in a file. Documents count once, however many rows hold them.

    Attributes:
        file: its path.
        rows: rows, bad ones among them.
        formats: how many rows are written how.
        bad_rows: rows that cannot be read; nothing else counts them.
        first_mistake: what is wrong with the first of them.
        records: documents, questions or examples of supervision; a row of the reference may hold several.
        documents: distinct documents, passages among them.
        questions: distinct questions.
        duplicates: records that are equal to an earlier one, but for the id.
        words: lengths in words: of distinct documents, and of every question, answer (the first) and paraphrase.
        tokens: the same in tokens; empty without a tokenizer.
        histogram_of: what ``histogram`` shows, in tokens where these are counted, else in words.
        histogram: how many are how long.
        document_tokens: the compressor's limit; ``None`` without a tokenizer.
        documents_cut: distinct documents that are longer.
        pairs: question-answer pairs of supervision, by kind; ``pairs_per_example`` likewise.
        answers_in_documents: share of the questions whose answer stands in their document, of ``answers_looked_for``
            that have both; ``None`` where no question has.
        passages: passages of a question.
        gold: gold passages of a question, or without any its gold ids.
        questions_without_gold: questions of which no document is known to hold the answer.
        teachers: examples by the teacher that they name.
        scripts: shares of the letters in documents and questions, by script.
    """

    file: str
    rows: int
    formats: Mapping[str, int]
    bad_rows: int
    first_mistake: str
    records: int
    documents: int
    questions: int
    duplicates: int
    words: Mapping[Part, Lengths]
    tokens: Mapping[Part, Lengths]
    histogram_of: Part
    histogram: tuple[Bar, ...]
    document_tokens: int | None
    documents_cut: int | None
    pairs: Mapping[PairKind, int]
    pairs_per_example: Mapping[PairKind, float]
    answers_in_documents: float | None
    answers_looked_for: int
    passages: Lengths | None
    gold: Lengths | None
    questions_without_gold: int
    teachers: Mapping[str, int]
    scripts: Mapping[str, float]

    @property
    def non_latin(self) -> float:
        """Share of the letters that are of another script than Latin."""
        return 1.0 - self.scripts.get("Latin", 0.0) if self.scripts else 0.0

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self) | {"non_latin": self.non_latin}


def file_stats(path: str, *, count_tokens: CountTokens | None = None, document_tokens: int = 256) -> FileStats:
    """Read a file and count.

    Args:
        path: as in :func:`~clara_lightning.data.readers.read_documents`.
        count_tokens: measures texts in tokens too.
        document_tokens: documents of more tokens are counted as cut.

    Raises:
        ClaraError: the file cannot be read, or has no good row.
    """
    counting = _Counting(count_tokens)
    for row in read_rows(path):
        counting.add_row(row)
    if counting.rows == counting.bad_rows:
        raise ClaraError(counting.first_mistake or f"{path}: holds no rows")
    return counting.result(path, document_tokens)


class _Counting:
    """Counts of what was read so far; of texts only their keys are kept."""

    def __init__(self, count_tokens: CountTokens | None) -> None:
        self.count_tokens = count_tokens
        self.rows = self.bad_rows = self.duplicates = self.without_gold = 0
        self.first_mistake = ""
        self.formats: Counter[str] = Counter()
        self.keys: dict[str, set[int]] = {"records": set(), "documents": set(), "questions": set()}
        self.records = self.examples = 0
        self.words = {part: LengthCounts() for part in PARTS}
        self.tokens = {part: LengthCounts() for part in PARTS}
        self.passages, self.gold = LengthCounts(), LengthCounts()
        self.pairs: Counter[PairKind] = Counter()
        self.stands: Counter[bool | None] = Counter()
        self.teachers: Counter[str] = Counter()
        self.characters: Counter[str] = Counter()

    def add_row(self, row: Row) -> None:
        self.rows += 1
        if row.mistake:
            self.bad_rows += 1
            self.first_mistake = self.first_mistake or f"{row.place}: {row.mistake}"
            return
        assert row.format is not None
        self.formats[row.format] += 1
        for record in row.records:
            self._add(record)

    def _add(self, record: Record) -> None:
        self.records += 1
        self.duplicates += not self._is_new("records", record_key(record))
        documents = [text for text in documents_of(record) if self._is_new("documents", key_of(text))]
        asked = list(asked_in(record))
        self._measure("documents", documents)
        self._measure("questions", [each.question for each in asked])
        self._measure("answers", [each.answers[0] for each in asked if each.answers])
        self.stands.update(map(answer_stands, asked))
        for each in asked:
            self._is_new("questions", key_of(each.question))
        for text in (*documents, *(each.question for each in asked)):
            self.characters.update(text)
        if isinstance(record, Question):
            self._add_passages(record)
        elif isinstance(record, SCPExample):
            self._add_supervision(record)

    def _add_passages(self, question: Question) -> None:
        num_gold = len(gold_of(question)) or len(question.gold_ids)
        self.passages.add([len(question.passages)])
        self.gold.add([num_gold])
        self.without_gold += not num_gold

    def _add_supervision(self, example: SCPExample) -> None:
        self.examples += 1
        self.pairs.update(pair.kind for pair in example.pairs)
        self._measure("paraphrases", [example.paraphrase] if example.paraphrase else [])
        self.teachers.update([example.teacher] if example.teacher else [])

    def _measure(self, part: Part, texts: Sequence[str]) -> None:
        self.words[part].add(map(count_words, texts))
        if self.count_tokens is not None and texts:
            self.tokens[part].add(self.count_tokens(texts))

    def _is_new(self, what: str, key: int) -> bool:
        keys = self.keys[what]
        before = len(keys)
        keys.add(key)
        return len(keys) > before

    def result(self, path: str, document_tokens: int) -> FileStats:
        measured = self.tokens if self.count_tokens else self.words
        shown: Part = "documents" if self.keys["documents"] else "questions"
        looked_for = self.stands[True] + self.stands[False]
        letters = scripts(self.characters)
        return FileStats(
            file=path,
            rows=self.rows,
            formats=dict(self.formats),
            bad_rows=self.bad_rows,
            first_mistake=self.first_mistake,
            records=self.records,
            documents=len(self.keys["documents"]),
            questions=len(self.keys["questions"]),
            duplicates=self.duplicates,
            words=_summaries(self.words),
            tokens=_summaries(self.tokens),
            histogram_of=shown,
            histogram=tuple(measured[shown].bars()),
            document_tokens=document_tokens if self.count_tokens else None,
            documents_cut=self.tokens["documents"].above(document_tokens) if self.count_tokens else None,
            pairs=dict(self.pairs),
            pairs_per_example={kind: count / self.examples for kind, count in self.pairs.items()},
            answers_in_documents=self.stands[True] / looked_for if looked_for else None,
            answers_looked_for=looked_for,
            passages=self.passages.summary(),
            gold=self.gold.summary(),
            questions_without_gold=self.without_gold,
            teachers=dict(self.teachers),
            scripts=_shares(letters),
        )


def _summaries(counts: Mapping[Part, LengthCounts]) -> dict[Part, Lengths]:
    return {part: found for part, each in counts.items() if (found := each.summary()) is not None}


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()}
