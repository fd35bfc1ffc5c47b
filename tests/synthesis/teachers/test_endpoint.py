"""A server that fails in every way, and what the client makes of it."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.chat import Completion
from clara_lightning.synthesis.teacher import BadReplyError, UnavailableError, Usage


def problem(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


# name: reply, words of the last reason
PASSING: dict[str, tuple[dict[str, Any], str]] = {
    "429 with Retry-After": (
        {"status": 429, "headers": {"Retry-After": "3"}, "body": problem("slow down")},
        "slow down",
    ),
    "429 without": ({"status": 429, "body": problem("slow down")}, "HTTP 429: slow down"),
    "408": ({"status": 408}, "HTTP 408"),
    "409": ({"status": 409}, "HTTP 409"),
    "425": ({"status": 425}, "HTTP 425"),
    "500": ({"status": 500, "body": {"detail": "out of memory"}}, "HTTP 500: out of memory"),
    "502": ({"status": 502}, "HTTP 502"),
    "503 with a page": ({"status": 503, "body": "<html><h1>Back\nsoon</h1></html>"}, "HTTP 503: Back soon"),
    "504": ({"status": 504}, "HTTP 504"),
    "529": ({"status": 529, "body": {"error": "overloaded"}}, "HTTP 529: overloaded"),
    "half a body": ({"body": {"choices": []}, "ends": "half"}, "the answer broke off"),
    "no JSON": ({"body": b'{"choices": ['}, "the answer is not JSON"),
    "nested too deep": ({"body": b"[" * 100_000}, "the answer is not JSON"),
    "a page": ({"body": "<html>Welcome</html>"}, "the answer is not JSON"),
    "no choices": ({"body": {"error": {"message": "upstream is gone"}}}, "has no message upstream is gone"),
    "empty choices": ({"body": {"choices": []}}, "has no message"),
    "no content": ({"body": {"choices": [{"message": {"role": "assistant"}}]}}, "message has no content"),
    "content of a wrong type": ({"body": {"choices": [{"message": {"content": 3}}]}}, "has no message"),
    "JSON of a wrong type": ({"body": [1, 2]}, "has no message"),
    "connection closed": ({"ends": "closed"}, "the connection was closed without an answer"),
    "no answer": ({"ends": "never"}, "no answer within 0.3 s"),
}


@pytest.fixture(params=PASSING)
def passing(request: pytest.FixtureRequest) -> tuple[dict[str, Any], str, float]:
    reply, words = PASSING[request.param]
    return reply, words, 0.3 if reply.get("ends") == "never" else 20.0


def test_a_failure_that_passes_costs_an_attempt(
    scripted_server: Any, client: Any, passing: tuple[dict[str, Any], str, float]
) -> None:
    failure, _, timeout = passing
    server, clock = scripted_server([scripted_server.reply(**failure), "fine"]), client.QuickClock()

    completion = client.ask(client.model_at(server.url, timeout=timeout, clock=clock))

    assert completion == Completion("fine", cut=False, usage=Usage(2, 11, 7))
    assert len(server.requests) == 2 and len(clock.slept) == 1


def test_a_failure_that_stays_is_told_after_every_attempt(
    scripted_server: Any, client: Any, passing: tuple[dict[str, Any], str, float]
) -> None:
    failure, words, timeout = passing
    server = scripted_server([scripted_server.reply(**failure)])

    with pytest.raises(UnavailableError, match=f"no answer in 3 attempts, at last: .*{re.escape(words)}"):
        client.ask(client.model_at(server.url, timeout=timeout))

    assert len(server.requests) == 3


FATAL: dict[str, tuple[dict[str, Any], str]] = {
    "401": (
        {"status": 401, "body": problem("who are you?")},
        "key in the environment variable OPENAI_API_KEY is not set",
    ),
    "403": ({"status": 403}, "key in the environment variable OPENAI_API_KEY is not set (HTTP 403)"),
    "404": ({"status": 404, "body": {"detail": "Not Found"}}, "no such address, or no model 'm' (HTTP 404: Not Found)"),
    "405": ({"status": 405}, "refuses requests (HTTP 405)"),
    "402": ({"status": 402, "body": problem("pay first")}, "refuses requests (HTTP 402: pay first)"),
    "quota": (
        {"status": 429, "body": problem("none left", code="insufficient_quota")},
        "quota is used up (HTTP 429: none",
    ),
    "redirect": ({"status": 307, "headers": {"Location": "http://b.test/v1?key=1"}}, "redirects to http://b.test/v1, "),
}


@pytest.mark.parametrize("name", FATAL)
def test_what_no_request_can_survive_ends_the_run(scripted_server: Any, client: Any, name: str) -> None:
    reply, words = FATAL[name]
    server = scripted_server([scripted_server.reply(**reply)])

    with pytest.raises(ClaraError, match=f"^--url {server.url}: .*{re.escape(words)}") as caught:
        client.ask(client.model_at(server.url))

    assert len(server.requests) == 1 and "\n" not in str(caught.value)


def test_a_wrong_key_is_told_by_the_name_of_its_variable(
    scripted_server: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-0123456789")
    server = scripted_server([scripted_server.reply(status=401, body=problem("no such key"))])

    with pytest.raises(
        ClaraError, match=r"the key in the environment variable MY_KEY is refused \(HTTP 401: no such key"
    ):
        client.ask(client.model_at(server.url, key_env="MY_KEY"))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "context": (
        {"status": 400, "body": problem("maximum context length is 512, max_tokens of 600 is not supported\nso")},
        "HTTP 400: maximum context length is 512, max_tokens of 600 is not supported so",
    ),
    "filter": (
        {"status": 400, "body": problem("filtered by response_format of our content policy")},
        "HTTP 400: filtered",
    ),
    "too large": ({"status": 413, "body": "<h1>Too large</h1>"}, "HTTP 413: Too large"),
    "validation": (
        {"status": 422, "body": {"detail": [{"loc": ["body", "n"], "msg": "odd"}]}},
        "HTTP 422: body.n: odd",
    ),
    "long": ({"status": 400, "body": "x" * 5000}, "x..."),
    "unknown words": ({"status": 400, "body": {"what": 1}}, 'HTTP 400: {"what": 1}'),
    "refusal": ({"body": "REFUSAL"}, "refused: I would rather not."),
    "answer filtered": ({"body": "FILTERED"}, "refused: the server's filter"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_only_this_request_cannot_survive_is_a_bad_reply(scripted_server: Any, client: Any, name: str) -> None:
    reply, words = REFUSED[name]
    bodies = {
        "REFUSAL": scripted_server.completion(None, refusal="I would\nrather not."),
        "FILTERED": scripted_server.completion("half", finish="content_filter"),
    }
    server = scripted_server([scripted_server.reply(**reply | {"body": bodies.get(str(reply["body"]), reply["body"])})])

    with pytest.raises(BadReplyError, match=re.escape(words)) as caught:
        client.ask(client.model_at(server.url))

    assert len(server.requests) == caught.value.usage.requests == 1
    assert len(str(caught.value)) < 220


def test_the_bound_of_requests_in_flight_is_reached_and_kept(scripted_server: Any, client: Any) -> None:
    server = scripted_server(lambda body: scripted_server.reply(body=scripted_server.completion("fine"), together=8))

    async def run() -> None:
        model = client.model_at(server.url, concurrency=8)
        await asyncio.gather(*(model.complete(client.CHAT) for _ in range(64)))
        await model.close()

    asyncio.run(run())

    assert server.most_at_once == 8 and len(server.requests) == 64


@pytest.fixture
def deaf_url() -> Iterator[str]:
    with socket.socket() as taken:  # bound and not listening, so nobody else can take the port
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def test_a_server_that_was_never_reached_ends_the_run(scripted_server: Any, client: Any, deaf_url: str) -> None:
    clock = client.QuickClock()

    with pytest.raises(ClaraError, match=rf"^--url {deaf_url}: cannot be reached: Connect call failed"):
        client.ask(client.model_at(deaf_url, clock=clock))

    assert len(clock.slept) == 2


def test_a_server_that_speaks_no_tls_cannot_be_reached(scripted_server: Any, client: Any) -> None:
    server = scripted_server(["fine"])

    with pytest.raises(ClaraError, match=r"^--url https://.*: cannot be reached: .*SSL"):
        client.ask(client.model_at(server.url.replace("http:", "https:")))


def test_a_server_that_has_answered_before_may_come_back(scripted_server: Any, client: Any) -> None:
    server = scripted_server(["fine"])

    async def run() -> None:
        model = client.model_at(server.url)
        await model.complete(client.CHAT)
        server.stop()
        try:
            await model.complete(client.CHAT)
        finally:
            await model.close()

    with pytest.raises(UnavailableError, match="cannot be reached"):
        asyncio.run(run())


@pytest.mark.filterwarnings("error")
def test_a_cancelled_request_leaves_nothing_open(scripted_server: Any, client: Any) -> None:
    server = scripted_server([scripted_server.reply(ends="never")])

    async def run() -> None:
        model = client.model_at(server.url, concurrency=2)
        tasks = [asyncio.create_task(model.complete(client.CHAT)) for _ in range(4)]
        await client.until(lambda: len(server.requests) == 2)
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True)
        )
        await client.until(lambda: server.given_up == 2)
        await model.close()
        await model.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


def test_closing_what_was_never_opened_is_nothing(scripted_server: Any, client: Any) -> None:
    asyncio.run(client.model_at("http://127.0.0.1:1/v1").close())
