"""Batches in an order that is a function of seed and epoch, so that a resumed run goes on where the other stopped."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from clara_lightning.errors import ClaraError

Row = TypeVar("Row")
Example = TypeVar("Example")
T = TypeVar("T")


class Batch(list[Example]):
    """What one process works on at a time.

    Attributes:
        step: this process's examples of the whole optimizer step: of all batches whose gradients are accumulated.
        real: the first so many examples count; those behind them are repeated, so that all processes have as many.
        prepared: what the loader's ``prepare`` made of the examples; ``None`` without one.
    """

    def __init__(
        self,
        examples: Iterable[Example],
        *,
        step: Iterable[Example] = (),
        real: int | None = None,
        prepared: Any = None,
    ) -> None:
        super().__init__(examples)
        self.step = list(step) or list(self)
        self.real = len(self) if real is None else real
        self.prepared = prepared


class BatchLoader(Generic[Row, Example]):
    """Yields batches of examples, made from rows as they are needed.

    Everything random (order, and what is drawn for a row) depends on ``(seed, epoch, row)`` alone: not on what was
    drawn before, nor on the number of devices or workers. Global batch ``i`` of an epoch is cut into one piece a rank.

    A resumed run goes on after the last finished batch: the place is read from the trainer's own progress when an epoch
    begins. (Lightning would hand over a loader's ``state_dict``, but not where ``configure_optimizers`` asked for
    ``estimated_stepping_batches``: that sets up the loader before the checkpoint is read.)

    Args:
        rows: the records, in memory.
        make_example: turns a row into an example; the generator it gets is the only source of randomness.
        batch_size: per device.
        seed: of order and draws.
        shuffle: off for validation, where also a last, smaller batch is kept.
        rank: of this process.
        world_size: number of processes.
        num_workers: processes that make the batches, a few ahead; 0 makes them in this one.
        accumulate: batches of one optimizer step.
        progress: returns ``(epoch, batches finished in it)`` of the running training.
        prepare: what else a step needs of its batch, made of the examples and the number of the epoch while the step
            before it runs: by the workers, or without them by a thread, one batch ahead. (Examples alone need no
            thread: they are made in microseconds, and Python's lock would let them wait for the step.)
        difficulty: of each row; the first epoch takes the easy ones first, see :func:`easy_first`. Without it, none is.
        easy_until: part of that epoch after which all rows are drawn alike.

    Attributes:
        seconds_waited: how long the newest batch was waited for.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        make_example: Callable[[Row, random.Random], Example],
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
        accumulate: int = 1,
        progress: Callable[[], tuple[int, int]] | None = None,
        prepare: Callable[[Sequence[Example], int], Any] | None = None,
        difficulty: Sequence[float] = (),
        easy_until: float = 0.0,
    ) -> None:
        if batch_size < 1:
            raise ClaraError(f"data.init_args.batch_size must be >= 1, got {batch_size}")
        if num_workers < 0:
            raise ClaraError(f"data.init_args.num_workers must be >= 0, got {num_workers}")
        if shuffle and len(rows) < batch_size * world_size:
            raise ClaraError(
                f"data.init_args.batch_size: {world_size} x {batch_size} (processes x batch_size) rows are a batch, "
                f"data.init_args.train holds {len(rows)}"
            )
        self.rows = rows
        self.make_example = make_example
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.num_workers = num_workers
        self.accumulate = accumulate
        self.prepare = prepare
        self.difficulty = difficulty
        self.easy_until = easy_until
        self.seconds_waited = 0.0
        self._progress = progress or _beginning

    def __len__(self) -> int:
        step = self.batch_size * self.world_size
        return len(self.rows) // step if self.shuffle else -(-len(self.rows) // step)

    def __iter__(self) -> Iterator[Batch[Example]]:
        """Batches; the place to begin is read with the first one, since Lightning asks for an iterator before it."""
        epoch, finished = self._progress() if self.shuffle else (0, 0)
        order = self.order(epoch)
        numbers = range(finished % len(self), len(self))
        loader = DataLoader(
            _Batches(self, epoch, order),
            batch_size=None,
            sampler=numbers,
            num_workers=self.num_workers,
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # or it would draw a seed from the global one
        )
        batches = _one_ahead(iter(loader)) if self.prepare and not self.num_workers else iter(loader)
        while True:
            asked = perf_counter()
            batch = next(batches, None)
            self.seconds_waited = perf_counter() - asked
            if batch is None:
                return
            yield batch

    def order(self, epoch: int) -> list[int]:
        """Places of the rows, in the order in which an epoch takes them."""
        order = list(range(len(self.rows)))
        draw = random.Random(f"{self.seed}-{epoch}")
        if self.shuffle:
            draw.shuffle(order)
        if self.difficulty and epoch == 0:
            order = easy_first(order, self.difficulty, until=self.easy_until, draw=draw)
        return order

    def state_dict(self) -> dict[str, Any]:
        """Nothing; that there is a state tells Lightning that a run may be resumed within an epoch."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""

    def batch(self, number: int, *, epoch: int, order: Sequence[int]) -> Batch[Example]:
        """This rank's part of one global batch."""
        first = number - number % self.accumulate
        together = range(first, min(first + self.accumulate, len(self)))
        parts = {n: self._examples(n, epoch, order) for n in (together if self.shuffle else [number])}
        examples, real = parts[number]
        step = [example for part, _ in parts.values() for example in part]
        prepared = self.prepare(examples, epoch) if self.prepare else None
        return Batch(examples, step=step, real=real, prepared=prepared)

    def _examples(self, number: int, epoch: int, order: Sequence[int]) -> tuple[list[Example], int]:
        size = self.batch_size * self.world_size
        chosen = order[number * size : (number + 1) * size]
        own = chosen[self.rank :: self.world_size]
        missing = -(-len(chosen) // self.world_size) - len(own)  # the first rank has the most rows
        return [self._example(index, epoch) for index in [*own, *chosen[:missing]]], len(own)

    def _example(self, index: int, epoch: int) -> Example:
        return self.make_example(self.rows[index], random.Random(f"{self.seed}-{epoch}-{index}"))


def easy_first(order: Sequence[int], difficulty: Sequence[float], *, until: float, draw: random.Random) -> list[int]:
    """Rows drawn from the easiest alone at first, and each still once.

    The part that is drawn from grows in a straight line, from a tenth to all rows (competence-based curriculum,
    Platanios et al., 2019, arXiv:1903.09848).

    Args:
        order: places of rows; it decides between rows that are as difficult as each other.
        difficulty: by place.
        until: part of the rows after which all are drawn from.
        draw: source of chance.

    Example:
        >>> early = easy_first(range(1000), range(1000), until=0.5, draw=random.Random(0))[:100]
        >>> sorted(early) == early, max(early) < 280
        (False, True)
    """
    easiest = sorted(order, key=lambda row: difficulty[row])
    rows, pool, taken = len(easiest), list[int](), list[int]()
    for number in range(rows):
        share = min(1.0, 0.1 + 0.9 * number / (until * rows)) if until else 1.0
        known = len(taken) + len(pool)
        pool += easiest[known : max(known, number + 1, round(share * rows))]
        at = draw.randrange(len(pool))
        pool[at], pool[-1] = pool[-1], pool[at]
        taken.append(pool.pop())
    return taken


class _Batches(Dataset[Batch[Any]]):
    """The batches of one epoch by their number."""

    def __init__(self, loader: BatchLoader[Any, Any], epoch: int, order: Sequence[int]) -> None:
        self.loader = copy.copy(loader)
        self.loader._progress = _beginning  # the other leads to the trainer, which cannot go to another process
        self.epoch = epoch
        self.order = order

    def __getitem__(self, number: int) -> Batch[Any]:
        return self.loader.batch(number, epoch=self.epoch, order=self.order)


def _one_ahead(batches: Iterator[T]) -> Iterator[T]:
    """The same batches; while one is in work, a thread makes the next."""
    coming = _make_next(batches)
    while (batch := coming.result()) is not None:
        coming = _make_next(batches)
        yield batch


def _make_next(batches: Iterator[T]) -> Future[T | None]:
    """The next batch, or ``None`` behind the last, made by a thread that ends with it: none is left to be stopped."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
    try:
        return thread.submit(next, batches, None)
    finally:
        thread.shutdown(wait=False)


def _beginning() -> tuple[int, int]:
    return 0, 0


def _as_it_is(batch: Any) -> Any:
    return batch
