"""What a run shows while it works: documents, rate, tokens, cost and time left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.outcome import Outcome
from clara_lightning.synthesis.teacher import NO_USAGE, Usage

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 30.0
"""Where there is no terminal, a line is written so often."""
_MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """What a teacher costs, in any currency, for a million tokens read and a million written."""

    per_million_read: float = 0.0
    per_million_written: float = 0.0

    def __post_init__(self) -> None:
        for option, value in (("--price-in", self.per_million_read), ("--price-out", self.per_million_written)):
            if value < 0:
                raise ClaraError(f"{option} must be >= 0, got {value}")

    def of(self, usage: Usage) -> float:
        """The cost of so many tokens."""
        read, written = self.per_million_read, self.per_million_written
        return (usage.prompt_tokens * read + usage.completion_tokens * written) / _MILLION


class Pace:
    """Counts what is finished since the start, and says how fast it goes.

    Args:
        done: documents that were finished before.
        total: documents in all.
        price: of tokens.
        clock: seconds that only grow.
    """

    def __init__(self, *, done: int, total: int, price: Price, clock: Callable[[], float] = time.monotonic) -> None:
        self.before = done
        self.done = done
        self.total = total
        self.accepted = 0
        self.usage = NO_USAGE
        self._price = price
        self._clock = clock
        self._started = clock()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._clock() - self._started

    @property
    def cost(self) -> float:
        """Of the tokens since the start."""
        return self._price.of(self.usage)

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far; unknown before the first document is finished."""
        finished = self.done - self.before
        return self.seconds / finished * (self.total - self.done) if finished else None

    def count(self, outcome: Outcome) -> None:
        """Count a finished document."""
        self.done += 1
        self.accepted += outcome.reason is None
        self.usage += outcome.usage

    def words(self) -> str:
        """All of it on a line, but for how many are done."""
        finished, seconds = self.done - self.before, max(self.seconds, 1e-9)
        parts = [f"{finished / seconds:.3g} documents/s"]
        if finished:
            parts.append(f"accepted {self.accepted / finished:.0%}")
        if self.usage.requests:
            tokens = self.usage.prompt_tokens + self.usage.completion_tokens
            parts.append(f"{self.usage.requests:,} requests, {tokens / seconds:,.0f} tokens/s")
        if self.cost:
            parts.append(f"cost {self.cost:.2f}")
        left = self.seconds_left
        parts.append(f"time left {duration(left)}" if left is not None else "time left unknown")
        return " · ".join(parts)


def duration(seconds: float) -> str:
    """A time as hours, minutes and seconds.

    Example:
        >>> duration(59.6), duration(3725)
        ('0:01:00', '1:02:05')
    """
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


@contextmanager
def shown(pace: Pace) -> Iterator[Callable[[Outcome], None]]:
    """Scope that shows how a run goes on, on the terminal's standard error; gives the function that counts."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns: list[Any] = [BarColumn(bar_width=20), MofNCompleteColumn(), TextColumn("{task.description}")]
    if not console.is_terminal:
        yield _in_lines(pace)
        return
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(pace.words(), total=pace.total, completed=pace.done)

        def count(outcome: Outcome) -> None:
            pace.count(outcome)
            progress.update(bar, completed=pace.done, description=pace.words())

        yield count


def _in_lines(pace: Pace) -> Callable[[Outcome], None]:
    due = SECONDS_BETWEEN_LINES

    def count(outcome: Outcome) -> None:
        nonlocal due
        pace.count(outcome)
        if pace.seconds >= due:
            log.info("%s/%s documents · %s", f"{pace.done:,}", f"{pace.total:,}", pace.words())
            due = pace.seconds + SECONDS_BETWEEN_LINES

    return count
