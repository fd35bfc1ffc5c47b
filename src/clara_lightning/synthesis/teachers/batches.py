"""Many open requests, and a model that answers them in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from clara_lightning.synthesis.chat import Chat, Completion
from clara_lightning.synthesis.teacher import BadReplyError, UnavailableError
from clara_lightning.synthesis.teachers.local import length_of

Answer = Completion | BadReplyError | UnavailableError
"""What a model has for a chat: its turn, or why it has none for this one."""
MOMENT = 0.01
"""Seconds without a new request after which a batch starts though it is not full."""


@dataclass(frozen=True, eq=False)
class _Request:
    """A chat that waits, and where its completion goes."""

    chat: Chat
    future: asyncio.Future[Completion]


class Batches:
    """Gathers chats that are asked one by one, and has them answered together.

    A batch starts when ``batch_size`` requests wait, or when no other came for a moment: then everyone who could ask
    waits for an answer. It runs in a thread of its own, always the same, and meanwhile the event loop goes on. The
    oldest request is always part of it, with those that are closest to it in length.

    Requests may be cancelled at any time: one that waits is not asked, the answer to one that runs is thrown away. The
    object belongs to no event loop; one loop may use it after another.

    Args:
        generate: answers chats, in their order; what it raises is raised to each of them.
        batch_size: so many chats at most.
        moment: see :data:`MOMENT`.
    """

    def __init__(
        self, generate: Callable[[list[Chat]], Sequence[Answer]], *, batch_size: int, moment: float = MOMENT
    ) -> None:
        self._generate = generate
        self._batch_size = batch_size
        self._moment = moment
        self._waiting: list[_Request] = []
        self._runner: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="teacher")

    async def complete(self, chat: Chat) -> Completion:
        """The answer to one chat.

        Raises:
            BadReplyError: the model refuses this chat.
        """
        request = _Request(chat, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return await request.future

    async def close(self) -> None:
        """Cancel what waits and what runs; returns when the thread has ended."""
        if self._runner is not None and not self._runner.done():
            self._runner.cancel()
            await asyncio.wait([self._runner])
        await asyncio.to_thread(self._thread.shutdown)

    async def _run(self) -> None:
        """Batch after batch, until nothing waits."""
        try:
            while self._waiting:
                await self._arrivals()
                if batch := self._take():
                    await self._answer(batch)
        finally:
            _cancel(self._waiting)
            self._waiting = []

    async def _arrivals(self) -> None:
        """Until a batch is full, or nothing new came for a moment."""
        seen = 0
        while seen < len(self._waiting) < self._batch_size:
            seen = len(self._waiting)
            await asyncio.sleep(self._moment)

    def _take(self) -> list[_Request]:
        """The next batch: the oldest request and its neighbours in length."""
        waiting = [request for request in self._waiting if not request.future.done()]
        if not waiting:
            self._waiting = []
            return []
        by_length = sorted(waiting, key=lambda request: length_of(request.chat))
        start = by_length.index(waiting[0]) - self._batch_size // 2
        start = max(0, min(start, len(waiting) - self._batch_size))
        batch = by_length[start : start + self._batch_size]
        taken = set(batch)
        self._waiting = [request for request in waiting if request not in taken]
        return batch

    async def _answer(self, batch: Sequence[_Request]) -> None:
        chats = [request.chat for request in batch]
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._ask, chats)
        try:
            await asyncio.wait([work])
        finally:
            if not work.done():  # this task was cancelled; the thread comes to its end by itself
                work.cancel()
                _cancel(batch)
        error = work.exception()
        answers: Sequence[Answer | BaseException] = [error] * len(batch) if error else work.result()
        for request, answer in zip(batch, answers, strict=True):
            if request.future.done():
                continue
            if isinstance(answer, Completion):
                request.future.set_result(answer)
            else:
                request.future.set_exception(answer)

    def _ask(self, chats: list[Chat]) -> Sequence[Answer]:
        """In the thread."""
        answers = self._generate(chats)
        assert len(answers) == len(chats)
        return answers


def _cancel(requests: Sequence[_Request]) -> None:
    for request in requests:
        request.future.cancel()
