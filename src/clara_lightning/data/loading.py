"""Batches in an order that is a function of seed and epoch, so that a resumed run goes on where the other stopped."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from clara_lightning.errors import ClaraError

Row = TypeVar("Row")
Example = TypeVar("Example")


class BatchLoader(Generic[Row, Example]):
    """Yields lists of examples, made from rows as they are needed.

    Everything random (order, and what is drawn for a row) depends on ``(seed, epoch, row)`` alone: not on what was
    drawn before, nor on the number of devices. Global batch ``i`` of an epoch is cut into one piece a rank.

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
        progress: returns ``(epoch, batches finished in it)`` of the running training.
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
        progress: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:
        if batch_size < 1:
            raise ClaraError(f"data.init_args.batch_size must be >= 1, got {batch_size}")
        if shuffle and len(rows) < world_size:
            raise ClaraError(f"data.init_args.train: {len(rows)} rows are too few for {world_size} processes")
        self.rows = rows
        self.make_example = make_example
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self._progress = progress

    def __len__(self) -> int:
        step = self.batch_size * self.world_size
        if self.shuffle:
            return max(1, len(self.rows) // step)
        return -(-len(self.rows) // step)

    def __iter__(self) -> Iterator[list[Example]]:
        epoch, finished = self._progress() if self.shuffle else (0, 0)
        order = list(range(len(self.rows)))
        if self.shuffle:
            random.Random(f"{self.seed}-{epoch}").shuffle(order)
        step = self.batch_size * self.world_size
        for number in range(finished % len(self), len(self)):
            chosen = order[number * step : (number + 1) * step][self.rank :: self.world_size]
            if chosen:
                yield [self._example(index, epoch) for index in chosen]

    def state_dict(self) -> dict[str, Any]:
        """Nothing; that there is a state tells Lightning that a run may be resumed within an epoch."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""

    def _example(self, index: int, epoch: int) -> Example:
        return self.make_example(self.rows[index], random.Random(f"{self.seed}-{epoch}-{index}"))
