"""A client of the endpoint as tests want it, and clocks that do not make them wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from clara_lightning.synthesis.chat import Chat, Completion, Message, Sampling
from clara_lightning.synthesis.teachers.endpoint import EndpointModel, EndpointSettings

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}
CHAT = Chat((Message(role="user", content="What is told here?"),), schema=SCHEMA, schema_name="answer")


class QuickClock:
    """Time passes at once when somebody waits for it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class StoppedClock(QuickClock):
    """No time passes until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.go.wait()
        self.now += seconds


def model_at(url: str, *, clock: Any = None, sampling: Sampling | None = None, **settings: Any) -> EndpointModel:
    """A model; settings that are not given suit a test."""
    given = EndpointSettings(**{"url": url, "model": "m", "max_attempts": 3, "timeout": 20.0} | settings)
    return EndpointModel(given, sampling=sampling or Sampling(), clock=clock or QuickClock())


def ask(model: EndpointModel, *, chat: Chat = CHAT, times: int = 1) -> Completion:
    """The last of so many completions, after which the model is closed."""

    async def run() -> Completion:
        try:
            for _ in range(times):
                completion = await model.complete(chat)
            return completion
        finally:
            await model.close()

    return asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another task or thread does."""
    while not condition():
        await asyncio.sleep(0.001)
