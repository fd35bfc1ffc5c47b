"""When requests may be sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clara_lightning.synthesis.chat import Sampling
from clara_lightning.synthesis.teachers.pace_of_requests import FIRST_WAIT, LONGEST_WAIT, Bucket, Pace


def test_a_bucket_lets_a_burst_through_and_then_what_runs_in() -> None:
    bucket = Bucket(rate=2.0)

    assert [bucket.take(1, now=10.0) for _ in range(5)] == [0.0, 0.0, 0.5, 1.0, 1.5]
    assert bucket.take(1, now=13.0) == 0.0


def test_a_bucket_never_holds_more_than_a_burst() -> None:
    bucket = Bucket(rate=2.0)
    bucket.give_back(1000)

    assert [bucket.take(1, now=now) for now in (10.0, 500.0, 500.0, 500.0)] == [0.0, 0.0, 0.0, 0.5]


def test_what_is_larger_than_a_bucket_waits_for_a_full_one_and_holds_up_the_next() -> None:
    bucket = Bucket(rate=10.0)

    assert bucket.take(100, now=0.0) == 0.0
    assert bucket.take(100, now=0.0) == 10.0
    assert bucket.take(1, now=0.0) == pytest.approx(19.1)


@pytest.mark.parametrize("rate", [3, 600])
def test_no_minute_sees_more_than_its_rate_and_a_burst(client: Any, rate: int) -> None:
    clock = client.QuickClock()
    pace = Pace(requests_per_minute=rate, clock=clock)
    times = []

    async def run() -> None:
        for _ in range(4 * rate):
            await pace.turn(tokens=0)
            times.append(clock.time())

    asyncio.run(run())

    within = [sum(start <= time < start + 60 for time in times) for start in times]
    assert max(within) <= rate + max(1, rate / 60)
    assert times[-1] - times[0] == pytest.approx(60 * (4 * rate - max(1, rate / 60)) / rate, rel=0.01)


def test_back_off_has_full_jitter_over_a_span_that_doubles_up_to_a_limit(client: Any) -> None:
    clock = client.QuickClock()
    pace = Pace(clock=clock)

    async def run() -> None:
        for failures in (1, 3, 12):
            for _ in range(200):
                await pace.back_off(failures)

    asyncio.run(run())

    for begin, span in ((0, FIRST_WAIT), (200, 4 * FIRST_WAIT), (400, LONGEST_WAIT)):
        slept = clock.slept[begin : begin + 200]
        assert 0 <= min(slept) < 0.1 * span and 0.9 * span < max(slept) <= span


def test_the_same_seed_waits_the_same(client: Any) -> None:
    def slept(seed: int) -> list[float]:
        clock = client.QuickClock()
        asyncio.run(Pace(seed=seed, clock=clock).back_off(3))
        return clock.slept

    assert slept(1) == slept(1) != slept(2)


def test_a_pause_that_grows_while_one_waits_is_waited_out(client: Any) -> None:
    class Growing(client.QuickClock):
        async def sleep(self, seconds: float) -> None:
            if not self.slept:
                assert not pace.hold(50.0)
            await super().sleep(seconds)

    clock = Growing()
    pace = Pace(clock=clock)

    async def run() -> None:
        assert pace.hold(10.0)
        await pace.turn(tokens=0)

    asyncio.run(run())

    assert 10 <= clock.slept[0] < 11 and clock.time() >= 150


def test_retry_after_is_waited_for(scripted_server: Any, client: Any) -> None:
    reply = scripted_server.reply(status=503, headers={"Retry-After": "17"})
    server, clock = scripted_server([reply, "fine"]), client.QuickClock()

    client.ask(client.model_at(server.url, clock=clock))

    assert len(clock.slept) == 1 and 17 <= clock.slept[0] <= 17.5


def test_a_429_holds_back_all_others(scripted_server: Any, client: Any) -> None:
    server = scripted_server([scripted_server.reply(status=429, headers={"Retry-After": "30"}), "fine"])

    async def run() -> None:
        clock = client.StoppedClock()
        model = client.model_at(server.url, clock=clock)
        first = asyncio.create_task(model.complete(client.CHAT))
        await client.until(lambda: len(clock.slept) == 1)
        others = [asyncio.create_task(model.complete(client.CHAT)) for _ in range(4)]
        await client.until(lambda: len(clock.slept) == 5)
        assert len(server.requests) == 1 and min(clock.slept) >= 30
        clock.go.set()
        await asyncio.gather(first, *others)
        await model.close()

    asyncio.run(run())

    assert len(server.requests) == 6


def test_rate_limits_are_kept(scripted_server: Any, client: Any) -> None:
    server, clock = scripted_server(["fine"]), client.QuickClock()

    client.ask(client.model_at(server.url, requests_per_minute=6, clock=clock), times=4)

    assert clock.slept == pytest.approx([10.0] * 3)


def test_tokens_that_were_not_needed_are_given_back(scripted_server: Any, client: Any) -> None:
    server, clock = scripted_server(["fine"]), client.QuickClock()
    model = client.model_at(server.url, tokens_per_minute=60, sampling=Sampling(max_tokens=95), clock=clock)

    client.ask(model, times=3)  # each estimated at 100, and taking 18

    assert clock.slept == pytest.approx([18.0, 18.0])
