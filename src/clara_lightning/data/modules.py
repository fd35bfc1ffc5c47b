"""The DataModules of the training stages: what each makes of a row."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Sequence

from clara_lightning.data.examples import Example, ExamplesDataModule, ReadingExample, Task
from clara_lightning.data.readers import read_questions, read_scp
from clara_lightning.data.records import Question, SCPExample
from clara_lightning.data.tasks import MAKE, asked, suits
from clara_lightning.data.tools.words import count_words, folded, stands_in
from clara_lightning.errors import ClaraError

log = logging.getLogger(__name__)

_NOTHING_SUITS = "it has a paraphrase alone, and data.init_args.paraphrase_share is 0"


class SCPDataModule(ExamplesDataModule[SCPExample, ReadingExample]):
    """Salient Compressor Pretraining: one document and one of its targets (paper, section 3.1).

    Each epoch draws for every document one of: a single pair that is asked, all pairs in one turn, the paraphrase, a
    part of the document to be written from the memory of the whole, what follows on its first part, the words that its
    memory stands on.

    Args:
        train: SCP file, or a QA file whose questions are grouped by their gold passage.
        val: the same, to validate on; always asks the first pair.
        batch_size: documents per device and step.
        seed: of the order and the draws.
        num_workers: processes that make the examples.
        skip_bad_rows: so many rows of a file may be unreadable.
        max_val_rows: validate on the first so many documents.
        pair_share: weight of asking a single pair.
        all_pairs_share: weight of writing all pairs in one turn (the published recipe).
        paraphrase_share: weight of the paraphrase, where the document has one.
        reconstruction_share: weight of writing out half of the document, from a place that is drawn.
        continuation_share: weight of writing the second part of the document from the memory of its first.
        recital_share: weight of naming the words that the document's memory stands on (memory ``words`` or
            ``learned``).
        easy_until: in the first epoch the documents with easy questions come first: those drawn from grow from the
            easiest tenth to all within this part of it. Easy is a short answer that stands in the document word for
            word.
    """

    def __init__(
        self,
        train: str | None = None,
        val: str | None = None,
        *,
        batch_size: int = 8,
        seed: int = 0,
        num_workers: int = 0,
        skip_bad_rows: int = 0,
        max_val_rows: int | None = None,
        pair_share: float = 0.5,
        all_pairs_share: float = 0.3,
        paraphrase_share: float = 0.2,
        reconstruction_share: float = 0.0,
        continuation_share: float = 0.0,
        recital_share: float = 0.0,
        easy_until: float = 0.0,
    ) -> None:
        super().__init__(
            train,
            val,
            batch_size=batch_size,
            seed=seed,
            num_workers=num_workers,
            skip_bad_rows=skip_bad_rows,
            max_val_rows=max_val_rows,
        )
        self.shares: dict[Task, float] = {
            "question": pair_share,
            "all_pairs": all_pairs_share,
            "paraphrase": paraphrase_share,
            "reconstruction": reconstruction_share,
            "continuation": continuation_share,
            "recital": recital_share,
        }
        for name, share in self.shares.items():
            if share < 0:
                setting = "pair" if name == "question" else name
                raise ClaraError(f"data.init_args.{setting}_share must be >= 0, got {share}")
        if pair_share + all_pairs_share <= 0:
            raise ClaraError("data.init_args.pair_share and all_pairs_share must not both be 0")
        if not 0 <= easy_until <= 1:
            raise ClaraError(f"data.init_args.easy_until must be in [0, 1], got {easy_until}")
        self.easy_until = easy_until

    def read(self, path: str) -> Sequence[SCPExample]:
        """SCP rows; those without a pair can be trained on, but not asked."""
        return list(read_scp(path, skip_bad_rows=self.skip_bad_rows))

    def setup(self, stage: str) -> None:
        """Read the files; validation asks, so it keeps the rows that have a pair."""
        super().setup(stage)
        for row in self.train_rows:
            if not any(share and suits(row, task) for task, share in self.shares.items()):
                raise ClaraError(f"{self.train_path}: row {row.id!r}: {_NOTHING_SUITS}")
        asked = [row for row in self.val_rows if row.pairs]
        if self.val_rows and not asked:
            raise ClaraError(f"{self.val_path}: no row has a question-answer pair, and validation asks them")
        if len(asked) < len(self.val_rows):
            log.warning("%s: %d rows without a pair are not asked", self.val_path, len(self.val_rows) - len(asked))
        self.val_rows = asked

    def without_effect(self) -> list[str]:
        """Shares of a target that no training row has."""
        found = []
        if self.shares["paraphrase"] and not any(row.paraphrase for row in self.train_rows):
            found.append("data.init_args.paraphrase_share: no row of data.init_args.train has a paraphrase")
        return found

    def documents(self) -> list[str]:
        """The documents."""
        return [row.document for row in self.train_rows]

    def questions(self) -> list[str]:
        """The questions of all pairs."""
        return [pair.question for row in self.train_rows for pair in row.pairs]

    def answers(self) -> list[tuple[str, str]]:
        """Of all pairs."""
        return [(row.document, pair.answer) for row in self.train_rows for pair in row.pairs]

    def difficulty(self, row: SCPExample) -> float:
        """Words of an answer, on average over the pairs; 100 more where the document does not hold them together."""
        document, answers = folded(row.document), [folded(pair.answer) for pair in row.pairs]
        each = [count_words(answer) + 100.0 * (not stands_in(answer, document)) for answer in answers]
        return sum(each) / len(each) if each else math.inf

    def train_example(self, row: SCPExample, draw: random.Random) -> ReadingExample:
        """One target of the document, drawn by the shares."""
        tasks = [task for task in self.shares if suits(row, task)]
        task = draw.choices(tasks, [self.shares[task] for task in tasks])[0]
        return MAKE[task](row, draw)

    def val_example(self, row: SCPExample, draw: random.Random) -> ReadingExample:
        """The first pair, asked."""
        return asked(row, row.pairs[0])


class QuestionsDataModule(ExamplesDataModule[Question, Example]):
    """What the stages that train on questions have in common; every row has an answer."""

    def documents(self) -> list[str]:
        """Distinct passages."""
        return list(dict.fromkeys(passage.content for row in self.train_rows for passage in row.passages))

    def questions(self) -> list[str]:
        """The questions."""
        return [row.question for row in self.train_rows]

    def answers(self) -> list[tuple[str, str]]:
        """Each gold passage with the question's first answer."""
        return [
            (passage.content, row.answers[0]) for row in self.train_rows for passage in row.passages if passage.gold
        ]


class InstructDataModule(QuestionsDataModule[ReadingExample]):
    """Compression instruction tuning: a question and k documents (paper, section 3.2).

    Args:
        train: QA file with passages.
        val: the same, to validate on.
        batch_size: questions per device and step.
        seed: of the order and the draws.
        num_workers: processes that make the examples.
        skip_bad_rows: so many rows of a file may be unreadable.
        max_val_rows: validate on the first so many questions.
        documents_per_question: k; gold passages first, then others, in shuffled order.
    """

    def __init__(
        self,
        train: str | None = None,
        val: str | None = None,
        *,
        batch_size: int = 8,
        seed: int = 0,
        num_workers: int = 0,
        skip_bad_rows: int = 0,
        max_val_rows: int | None = None,
        documents_per_question: int = 5,
    ) -> None:
        super().__init__(
            train,
            val,
            batch_size=batch_size,
            seed=seed,
            num_workers=num_workers,
            skip_bad_rows=skip_bad_rows,
            max_val_rows=max_val_rows,
        )
        if documents_per_question < 1:
            raise ClaraError(f"data.init_args.documents_per_question must be >= 1, got {documents_per_question}")
        self.documents_per_question = documents_per_question

    def read(self, path: str) -> Sequence[Question]:
        """Questions, each of which must have answers and passages."""
        rows = list(read_questions(path, skip_bad_rows=self.skip_bad_rows, require_answers=True))
        for row in rows:
            if not row.passages:
                raise ClaraError(f"{path}: question {row.id!r}: passages: instruction tuning needs documents to read")
        return rows

    def train_example(self, row: Question, draw: random.Random) -> ReadingExample:
        """The gold passages and a draw of the others, shuffled."""
        gold = [passage for passage in row.passages if passage.gold]
        others = [passage for passage in row.passages if not passage.gold]
        chosen = (gold + draw.sample(others, len(others)))[: self.documents_per_question]
        draw.shuffle(chosen)
        return ReadingExample(
            documents=tuple(passage.content for passage in chosen),
            task="question",
            answer=row.answers[0],
            question=row.question,
            references=row.answers,
            gold=tuple(passage.gold for passage in chosen),
        )

    def val_example(self, row: Question, draw: random.Random) -> ReadingExample:
        """As in training, with the row's own fixed draw."""
        return self.train_example(row, draw)


class QADataModule(QuestionsDataModule[Question]):
    """Joint training of retrieval and generation: questions as they are (paper, section 3.3).

    Args:
        train: QA file; with passages where candidates are given, with gold_ids where recall is to be measured.
        val: the same, to validate on.
        batch_size: questions per device and step.
        seed: of the order.
        num_workers: processes that make the examples.
        skip_bad_rows: so many rows of a file may be unreadable.
        max_val_rows: validate on the first so many questions.
    """

    def read(self, path: str) -> Sequence[Question]:
        """Questions, each of which must have answers."""
        return list(read_questions(path, skip_bad_rows=self.skip_bad_rows, require_answers=True))

    def train_example(self, row: Question, draw: random.Random) -> Question:
        """The question; its first answer is the target."""
        return row

    def val_example(self, row: Question, draw: random.Random) -> Question:
        """The question."""
        return row
