"""What every training DataModule shares: reading files, and serving examples made from their rows.

Batches are lists of plain records; the backbone, which owns the tokenizer, makes tensors of them.
"""

from __future__ import annotations

import copy
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from lightning.pytorch import LightningDataModule

from clara_lightning.data.loading import BatchLoader
from clara_lightning.errors import ClaraError

Task = Literal["question", "all_pairs", "paraphrase", "continuation", "reconstruction", "recital"]
Row = TypeVar("Row")
Example = TypeVar("Example")


@dataclass(frozen=True)
class ReadingExample:
    """Documents to compress, what is asked about their memory, and the target.

    Attributes:
        documents: what is compressed.
        task: a ``question``, ``all_pairs`` (all questions and answers in one turn), a ``paraphrase``, a
            ``continuation`` (what stands behind the document), a ``reconstruction`` (a part of it, word by word) or a
            ``recital`` (the words that its memory stands on).
        question: for the task ``question``; for a reconstruction the words that the part begins behind.
        answer: the text that the generator learns to write; of a recital nothing yet, since the compressor chooses.
        references: every text that counts as right when the answer is scored; without any, ``answer`` alone.
        gold: for each document whether it holds the answer; empty where that is not known.
    """

    documents: tuple[str, ...]
    task: Task
    answer: str
    question: str = ""
    references: tuple[str, ...] = ()
    gold: tuple[bool, ...] = ()

    @property
    def is_teachable(self) -> bool:
        """Whether who reads the documents' text can know the answer."""
        return self.task != "recital"

    @property
    def is_unsaid(self) -> bool:
        """Whether the answer is still to come from the compressor."""
        return self.task == "recital" and not self.answer


class ExamplesDataModule(LightningDataModule, ABC, Generic[Row, Example]):
    """Reads a training and a validation file and serves examples made from their rows.

    Args:
        train: file to train on (JSONL, Parquet, or a datasets folder).
        val: file to validate on.
        batch_size: examples per device and step.
        seed: of the order and of what is drawn from each row.
        num_workers: processes that make the batches, ahead of the steps; 0 makes the examples between the steps, which
            costs next to nothing unless a DataModule of your own does, and the rest (``prepare``) in a thread.
        skip_bad_rows: so many rows of a file may be unreadable; they are counted and reported.
        max_val_rows: validate on the first so many rows.

    Attributes:
        easy_until: part of the first epoch after which easy and difficult rows are drawn alike; 0: they always are.
        prepare: set by a module whose steps need more of a batch than its examples; see
            :class:`~clara_lightning.data.loading.BatchLoader`. It must pickle, for the workers.
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
    ) -> None:
        super().__init__()
        self.train_path = train
        self.val_path = val
        self.batch_size = batch_size
        self.seed = seed
        self.num_workers = num_workers
        self.skip_bad_rows = skip_bad_rows
        self.max_val_rows = max_val_rows
        self.easy_until = 0.0
        self.train_rows: list[Row] = []
        self.val_rows: list[Row] = []
        self.prepare: Callable[[Sequence[Example], int], Any] | None = None

    @abstractmethod
    def read(self, path: str) -> Sequence[Row]:
        """All records of a file."""

    @abstractmethod
    def train_example(self, row: Row, draw: random.Random) -> Example:
        """An example for training; ``draw`` is the only source of chance."""

    @abstractmethod
    def val_example(self, row: Row, draw: random.Random) -> Example:
        """The example for validation, the same every time."""

    @abstractmethod
    def documents(self) -> list[str]:
        """Every document of the training rows, for the calibration of a new compressor."""

    @abstractmethod
    def questions(self) -> list[str]:
        """Every question of the training rows, likewise."""

    @abstractmethod
    def answers(self) -> list[tuple[str, str]]:
        """The documents that questions are answered from, each with an answer, likewise."""

    def difficulty(self, row: Row) -> float:
        """How difficult a training row is, where ``easy_until`` is given."""
        return 0.0

    def setup(self, stage: str) -> None:
        """Read the files that ``stage`` needs."""
        if stage == "fit" and not self.train_rows:
            if self.train_path is None:
                raise ClaraError("data.init_args.train is required for clara fit: a file to train on")
            self.train_rows = self._rows(self.train_path)
        if stage in ("fit", "validate", "test") and not self.val_rows:
            if self.val_path is None and stage != "fit":
                raise ClaraError(f"data.init_args.val is required for clara {stage}: a file to measure on")
            self.val_rows = self._rows(self.val_path)[: self.max_val_rows] if self.val_path else []

    def train_dataloader(self) -> BatchLoader[Row, Example]:
        """Shuffled, resumable batches."""
        return self._loader(self.train_rows, shuffle=True)

    def val_dataloader(self) -> Any:
        """Batches in the order of the file; none where no validation file was given."""
        return self._loader(self.val_rows, shuffle=False) if self.val_rows else []

    def test_dataloader(self) -> Any:
        """The validation file again: ``clara test`` measures, it never selects."""
        return self.val_dataloader()

    def _rows(self, path: str) -> list[Row]:
        rows = list(self.read(path))
        if not rows:
            raise ClaraError(f"{path}: holds no rows")
        return rows

    def _loader(self, rows: Sequence[Row], *, shuffle: bool) -> BatchLoader[Row, Example]:
        trainer = self.trainer
        maker = copy.copy(self)
        maker.trainer = None  # it cannot go to a worker
        return BatchLoader(
            rows,
            maker.train_example if shuffle else maker.val_example,
            batch_size=self.batch_size,
            seed=self.seed,
            shuffle=shuffle,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
            num_workers=self.num_workers,
            accumulate=trainer.accumulate_grad_batches if trainer else 1,
            progress=self._progress,
            prepare=self.prepare,
            difficulty=[self.difficulty(row) for row in rows] if shuffle and self.easy_until else (),
            easy_until=self.easy_until,
        )

    def _progress(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 0
        batches: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        return self.trainer.current_epoch, batches.processed
