"""When a request may be sent: the server's rate limits, a pause that holds for all, waits between attempts."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Protocol

FIRST_WAIT = 0.5  # seconds; doubles with every failure
LONGEST_WAIT = 30.0
BURST = 1.0  # seconds of a rate that may be spent at once


class Clock(Protocol):
    """Time that passes, in seconds."""

    def time(self) -> float:
        """Now, counted from anywhere."""

    async def sleep(self, seconds: float) -> None:
        """Return when they are over."""


class LoopClock:
    """The time of the running event loop."""

    def time(self) -> float:
        """See :class:`Clock`."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """See :class:`Clock`."""
        await asyncio.sleep(seconds)


@dataclass
class Bucket:
    """A token bucket: fills steadily, and whoever takes more than it holds waits until that has run in.

    Those who wait have taken already, so they go in the order in which they came.

    Args:
        rate: what runs in, a second.
    """

    rate: float
    level: float = field(init=False)
    filled_at: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.level = self.capacity

    @property
    def capacity(self) -> float:
        """What it holds at most; a rate of less than one a second must still let one through."""
        return max(1.0, self.rate * BURST)

    def take(self, amount: float, *, now: float) -> float:
        """Take, and say how many seconds to wait; what is larger than the bucket waits for a full one."""
        passed = 0.0 if self.filled_at is None else now - self.filled_at
        self.level, self.filled_at = min(self.capacity, self.level + passed * self.rate), now
        wait = (min(amount, self.capacity) - self.level) / self.rate
        self.level -= amount
        return max(0.0, wait)

    def give_back(self, amount: float) -> None:
        """What was taken and not needed; below 0: what was needed beyond it."""
        self.level += amount


class Pace:
    """Says to every request when its turn is.

    Args:
        requests_per_minute: ``None``: no limit.
        tokens_per_minute: ``None``: no limit.
        seed: of the jitter.
        clock: another than the event loop's, for tests.
    """

    def __init__(
        self,
        *,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        seed: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self._requests = Bucket(requests_per_minute / 60) if requests_per_minute else None
        self._tokens = Bucket(tokens_per_minute / 60) if tokens_per_minute else None
        self._random = random.Random(seed)
        self._clock = clock or LoopClock()
        self._not_before = 0.0

    async def turn(self, *, tokens: int) -> None:
        """Return when a request that may take so many tokens may be sent."""
        waits = [
            bucket.take(amount, now=self._clock.time())
            for bucket, amount in ((self._requests, 1), (self._tokens, tokens))
            if bucket is not None
        ]
        if (wait := max(waits, default=0.0)) > 0:
            await self._clock.sleep(wait)
        # Another 429 may come while this one waits. The jitter keeps all of them from going in the same moment.
        while (rest := self._not_before - self._clock.time()) > 0:
            await self._clock.sleep(rest + self._random.uniform(0, FIRST_WAIT))

    def correct(self, *, estimated: int, used: int) -> None:
        """A request took other tokens than :meth:`turn` was told."""
        if self._tokens is not None:
            self._tokens.give_back(estimated - used)

    def hold(self, seconds: float) -> bool:
        """No request is sent for so long; whether none was held back before."""
        now = self._clock.time()
        begins = now >= self._not_before
        self._not_before = max(self._not_before, now + seconds)
        return begins

    async def back_off(self, failures: int, *, at_least: float = 0.0) -> None:
        """Wait after so many failures of one request: full jitter over a span that doubles, on top of ``at_least``."""
        span = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (failures - 1))
        await self._clock.sleep(at_least + self._random.uniform(0, span))
