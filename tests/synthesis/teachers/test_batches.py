"""Requests that come one by one are answered together, each with its own answer, whatever happens to the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest

from clara_lightning.synthesis.chat import Chat, Completion
from clara_lightning.synthesis.teacher import NO_USAGE, BadReplyError
from clara_lightning.synthesis.teachers.batches import Answer, Batches


def chat(text: str) -> Chat:
    return Chat(messages=({"role": "user", "content": text},), schema={}, schema_name="any")


def said(one: Chat) -> str:
    return one.messages[0]["content"]


class Model:
    """Answers a text with itself in capitals; "bad" is refused, "broken" breaks the batch."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.threads: set[int] = set()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.is_asked = threading.Event()

    def __call__(self, chats: list[Chat]) -> Sequence[Answer]:
        self.batches.append([said(one) for one in chats])
        self.threads.add(threading.get_ident())
        self.is_asked.set()
        assert self.may_answer.wait(timeout=30)
        if any(said(one) == "broken" for one in chats):
            raise ArithmeticError("it broke")
        return [
            BadReplyError("refused") if said(one) == "bad" else Completion(said(one).upper(), False, NO_USAGE)
            for one in chats
        ]


def run(model: Model, work: Callable[[Batches], Awaitable[None]], *, batch_size: int = 4) -> None:
    """Give ``work`` batches over a model, and close them."""

    async def all_of_it() -> None:
        batches = Batches(model, batch_size=batch_size)
        try:
            await work(batches)
        finally:
            await batches.close()

    asyncio.run(all_of_it())


async def ask(batches: Batches, *texts: str) -> list[str | BaseException]:
    answers = await asyncio.gather(*(batches.complete(chat(text)) for text in texts), return_exceptions=True)
    return [one.text if isinstance(one, Completion) else one for one in answers]


def test_requests_that_are_open_together_are_one_batch() -> None:
    model = Model()

    async def work(batches: Batches) -> None:
        assert await ask(batches, "a", "b", "c") == ["A", "B", "C"]

    run(model, work)
    assert model.batches == [["a", "b", "c"]]


def test_no_batch_is_larger_than_batch_size() -> None:
    model = Model()
    texts = [chr(ord("a") + number) for number in range(10)]

    async def work(batches: Batches) -> None:
        assert await ask(batches, *texts) == [text.upper() for text in texts]

    run(model, work)
    assert [len(batch) for batch in model.batches] == [4, 4, 2]


def test_like_lengths_stand_together_and_the_oldest_is_always_among_them() -> None:
    model = Model()
    texts = ["long" * 9, "s", "mid" * 4, "long" * 10, "ss", "mid" * 5]

    async def work(batches: Batches) -> None:
        await ask(batches, *texts)

    run(model, work, batch_size=2)
    assert [sorted(batch, key=len) for batch in model.batches] == [
        ["mid" * 5, "long" * 9],
        ["s", "ss"],
        ["mid" * 4, "long" * 10],
    ]


def test_all_batches_run_in_one_thread_that_is_not_the_loops() -> None:
    model = Model()

    async def work(batches: Batches) -> None:
        await ask(batches, *"abcdefgh")
        await ask(batches, *"abcdefgh")

    run(model, work)
    assert len(model.threads) == 1 and threading.get_ident() not in model.threads


def test_the_loop_goes_on_while_a_batch_runs_and_what_comes_meanwhile_is_the_next_batch() -> None:
    model = Model()
    model.may_answer.clear()

    async def work(batches: Batches) -> None:
        first = asyncio.create_task(ask(batches, "a"))
        while not model.is_asked.is_set():
            await asyncio.sleep(0)
        others = asyncio.create_task(ask(batches, "b", "c"))
        await asyncio.sleep(0)
        model.may_answer.set()
        assert await first == ["A"] and await others == ["B", "C"]

    run(model, work)
    assert model.batches == [["a"], ["b", "c"]]


def test_an_exception_goes_to_every_request_of_its_batch_and_to_no_other() -> None:
    model = Model()

    async def work(batches: Batches) -> None:
        answers = await ask(batches, "a", "broken")
        assert [str(one) for one in answers] == ["it broke", "it broke"]
        assert all(isinstance(one, ArithmeticError) for one in answers)
        assert await ask(batches, "b") == ["B"]

    run(model, work)


def test_a_refusal_goes_to_its_own_request_alone() -> None:
    async def work(batches: Batches) -> None:
        first, second = await ask(batches, "a", "bad")
        assert first == "A" and isinstance(second, BadReplyError)

    run(Model(), work)


def test_a_request_that_is_cancelled_while_it_waits_is_not_asked() -> None:
    model = Model()

    async def work(batches: Batches) -> None:
        tasks = [asyncio.create_task(batches.complete(chat(text))) for text in "abc"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in done] == [Completion, asyncio.CancelledError, Completion]

    run(model, work)
    assert model.batches == [["a", "c"]]


def test_a_request_that_is_cancelled_while_it_runs_leaves_the_others_their_answers() -> None:
    model = Model()
    model.may_answer.clear()

    async def work(batches: Batches) -> None:
        tasks = [asyncio.create_task(batches.complete(chat(text))) for text in "ab"]
        while not model.is_asked.is_set():
            await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        model.may_answer.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(done[0], asyncio.CancelledError) and isinstance(done[1], Completion)

    run(model, work)


def test_a_batch_of_which_every_request_was_cancelled_is_not_asked() -> None:
    model = Model()

    async def work(batches: Batches) -> None:
        task = asyncio.create_task(batches.complete(chat("a")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert await ask(batches, "b") == ["B"]

    run(model, work)
    assert model.batches == [["b"]]


def test_closing_cancels_what_is_open_and_ends_the_thread() -> None:
    model = Model()
    model.may_answer.clear()

    async def work() -> None:
        batches = Batches(model, batch_size=1)
        tasks = [asyncio.create_task(batches.complete(chat(text))) for text in "ab"]
        while not model.is_asked.is_set():
            await asyncio.sleep(0)
        closing = asyncio.create_task(batches.close())
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        model.may_answer.set()
        await closing

    asyncio.run(work())
    assert model.batches == [["a"]]
    assert not model.threads & {thread.ident for thread in threading.enumerate()}


def test_one_loop_may_use_it_after_another() -> None:
    model = Model()
    batches = Batches(model, batch_size=4)
    assert asyncio.run(ask(batches, "a", "b")) == ["A", "B"]
    assert asyncio.run(ask(batches, "c")) == ["C"]
    asyncio.run(batches.close())


@pytest.mark.filterwarnings("error")
def test_a_loop_that_ends_early_leaves_the_next_one_nothing() -> None:
    model = Model()
    model.may_answer.clear()
    batches = Batches(model, batch_size=1)

    async def leave() -> None:
        for text in "ab":
            asyncio.create_task(batches.complete(chat(text)))  # noqa: RUF006  # the loop's end cancels it
        while not model.is_asked.is_set():
            await asyncio.sleep(0)

    asyncio.run(leave())
    model.may_answer.set()
    assert asyncio.run(ask(batches, "c")) == ["C"]
    asyncio.run(batches.close())
    assert model.batches == [["a"], ["c"]]
