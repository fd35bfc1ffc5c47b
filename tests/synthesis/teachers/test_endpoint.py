"""A server that fails in every way, and what the client makes of it."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.chat import Chat, Completion, Message, Sampling
from clara_lightning.synthesis.teacher import BadReplyError, UnavailableError, Usage
from clara_lightning.synthesis.teachers.endpoint import EndpointModel, EndpointSettings

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}
CHAT = Chat((Message(role="user", content="What is told here?"),), schema=SCHEMA, schema_name="answer")
KEY = "sk-very/secret+0123456789"


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
    given = EndpointSettings(**{"url": url, "model": "m", "max_attempts": 3, "timeout": 20.0} | settings)
    return EndpointModel(given, sampling=sampling or Sampling(), clock=clock or QuickClock())


def ask(model: EndpointModel, *, chat: Chat = CHAT, times: int = 1) -> Completion:
    async def run() -> Completion:
        try:
            for _ in range(times):
                completion = await model.complete(chat)
            return completion
        finally:
            await model.close()

    return asyncio.run(run())


def problem(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


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
    scripted_server: Any, passing: tuple[dict[str, Any], str, float]
) -> None:
    failure, _, timeout = passing
    server, clock = scripted_server([scripted_server.reply(**failure), "fine"]), QuickClock()

    completion = ask(model_at(server.url, timeout=timeout, clock=clock))

    assert completion == Completion("fine", cut=False, usage=Usage(2, 11, 7))
    assert len(server.requests) == 2 and len(clock.slept) == 1


def test_a_failure_that_stays_is_told_after_every_attempt(
    scripted_server: Any, passing: tuple[dict[str, Any], str, float]
) -> None:
    failure, words, timeout = passing
    server = scripted_server([scripted_server.reply(**failure)])

    with pytest.raises(UnavailableError, match=f"no answer in 3 attempts, at last: .*{re.escape(words)}"):
        ask(model_at(server.url, timeout=timeout))

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
def test_what_no_request_can_survive_ends_the_run(scripted_server: Any, name: str) -> None:
    reply, words = FATAL[name]
    server = scripted_server([scripted_server.reply(**reply)])

    with pytest.raises(ClaraError, match=f"^--url {server.url}: .*{re.escape(words)}") as caught:
        ask(model_at(server.url))

    assert len(server.requests) == 1 and "\n" not in str(caught.value)


def test_a_wrong_key_is_told_by_the_name_of_its_variable(scripted_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server = scripted_server([scripted_server.reply(status=401, body=problem("no such key"))])

    with pytest.raises(
        ClaraError, match=r"the key in the environment variable MY_KEY is refused \(HTTP 401: no such key"
    ):
        ask(model_at(server.url, key_env="MY_KEY"))


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
def test_what_only_this_request_cannot_survive_is_a_bad_reply(scripted_server: Any, name: str) -> None:
    reply, words = REFUSED[name]
    bodies = {
        "REFUSAL": scripted_server.completion(None, refusal="I would\nrather not."),
        "FILTERED": scripted_server.completion("half", finish="content_filter"),
    }
    server = scripted_server([scripted_server.reply(**reply | {"body": bodies.get(str(reply["body"]), reply["body"])})])

    with pytest.raises(BadReplyError, match=re.escape(words)) as caught:
        ask(model_at(server.url))

    assert len(server.requests) == caught.value.usage.requests == 1
    assert len(str(caught.value)) < 220


# --- what is sent -------------------------------------------------------------------------------------------------------


def test_a_request_holds_what_the_sampling_says(scripted_server: Any) -> None:
    server = scripted_server(["fine"])
    sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=99, seed=5)

    ask(model_at(server.url, sampling=sampling), chat=Chat(CHAT.messages, SCHEMA, "answer", attempt=2))

    assert server.requests[0].path == "/v1/chat/completions"
    assert server.requests[0].headers["Content-Type"] == "application/json"
    assert server.requests[0].body == {
        "model": "m",
        "messages": [{"role": "user", "content": "What is told here?"}],
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 99,
        "seed": 7,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        },
    }


def test_the_whole_probability_needs_no_top_p_and_no_schema_is_sent_where_none_is_wanted(scripted_server: Any) -> None:
    server = scripted_server(["fine"])

    ask(model_at(server.url, structured="none"))

    assert server.requests[0].body.keys() == {"model", "messages", "temperature", "max_tokens", "seed"}


def test_the_key_is_sent_where_there_is_one(scripted_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = scripted_server(["fine"])
    ask(model_at(server.url))
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    ask(model_at(server.url))

    assert "Authorization" not in server.requests[0].headers
    assert server.requests[1].headers["Authorization"] == f"Bearer {KEY}"


def test_a_query_stays_behind_the_path(scripted_server: Any) -> None:
    server = scripted_server(["fine"])

    ask(model_at(f"{server.url}/?api-version=2"))

    assert server.requests[0].path == "/v1/chat/completions?api-version=2"


def test_the_environments_proxy_is_used(scripted_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = scripted_server(["fine"])
    monkeypatch.setenv("http_proxy", server.url.replace("http://", "http://me:word@").removesuffix("/v1"))
    monkeypatch.delenv("no_proxy", raising=False)

    ask(model_at("http://model.invalid/v1"))

    assert server.requests[0].headers["Host"] == "model.invalid"
    assert server.requests[0].headers["Proxy-Authorization"].startswith("Basic ")


def test_netrc_is_not_read(scripted_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password word\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = scripted_server(["fine"])

    ask(model_at(server.url))

    assert "Authorization" not in server.requests[0].headers


# --- what comes back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "text", "cut"),
    [
        ({"text": "to the end", "finish": "length"}, "to the end", True),
        ({"text": ""}, "", False),
        ({"text": None}, "", False),
        ({"text": [{"type": "thinking", "text": "hm"}, {"type": "text", "text": "so"}]}, "so", False),
        ({"text": "fine", "refusal": None}, "fine", False),
    ],
    ids=["cut", "empty", "null", "in parts", "no refusal"],
)
def test_a_completion_is_read(scripted_server: Any, told: dict[str, Any], text: str, cut: bool) -> None:
    server = scripted_server([scripted_server.reply(body=scripted_server.completion(**told))])

    completion = ask(model_at(server.url))

    assert (completion.text, completion.cut) == (text, cut)


def test_a_model_that_is_cut_before_it_says_anything_said_nothing(scripted_server: Any) -> None:
    body = {"choices": [{"finish_reason": "length", "message": {"reasoning_content": "let me see"}}]}
    server = scripted_server([scripted_server.reply(body=body)])

    completion = ask(model_at(server.url))

    assert (completion.text, completion.cut) == ("", True)


@pytest.mark.parametrize("usage", [{}, [], {"prompt_tokens": None, "completion_tokens": -1}])
def test_tokens_that_nobody_counts_are_estimated(scripted_server: Any, usage: Any) -> None:
    server = scripted_server([scripted_server.reply(body=scripted_server.completion("x" * 41, usage=usage))])

    assert ask(model_at(server.url)).usage == Usage(1, 5, 11)  # 18 and 41 characters


# --- what a server does not take ----------------------------------------------------------------------------------------

UNSUPPORTED: dict[str, tuple[int, dict[str, Any], str]] = {
    "format by name": (400, problem("'response_format' of type 'json_schema' is not supported"), "response_format"),
    "format by field": (400, problem("Invalid value", param="response_format"), "response_format"),
    "format as an extra": (
        422,
        {"detail": [{"loc": ["body", "response_format"], "msg": "Extra inputs are not permitted"}]},
        "response_format",
    ),
    "max_tokens": (400, problem("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'."), "max_tokens"),
    "seed": (
        422,
        {"message": {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}},
        "seed",
    ),
    "temperature": (400, problem("'temperature' does not support 0. Only the default (1)."), "temperature"),
    "top_p": (400, problem("Unknown parameter: top_p"), "top_p"),
    "both": (400, problem("`temperature` and `top_p` cannot both be specified"), "temperature"),
    "by code": (400, problem("no", param="seed", code="unsupported_parameter"), "seed"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_a_server_does_not_take_is_left_out_for_the_rest_of_the_run(
    scripted_server: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    status, body, parameter = UNSUPPORTED[name]
    refusal = scripted_server.reply(status=status, body=body)
    server = scripted_server(lambda asked: refusal if parameter in asked else "fine")
    clock = QuickClock()

    completion = ask(model_at(server.url, sampling=Sampling(top_p=0.5), clock=clock), times=2)

    assert completion.text == "fine" and not clock.slept
    before, *after = (request.body for request in server.requests)
    wanted = before.keys() - {parameter} | ({"max_completion_tokens"} if parameter == "max_tokens" else set())
    assert [body.keys() for body in after] == [wanted, wanted]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.records[0].message.startswith(f"{parameter} is not taken by the server")


def test_requests_under_way_hear_the_same_refusal_and_it_is_told_once(
    scripted_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = scripted_server.reply(status=400, body=problem("response_format is unavailable now"), together=5)
    server = scripted_server(lambda asked: refusal if "response_format" in asked else "fine")

    async def run() -> list[Completion]:
        model = model_at(server.url)
        try:
            return await asyncio.gather(*(model.complete(CHAT) for _ in range(5)))
        finally:
            await model.close()

    completions = asyncio.run(run())

    assert [completion.usage.requests for completion in completions] == [2] * 5
    assert len(caplog.records) == 1


def test_a_server_that_takes_no_limit_at_all_gets_none(scripted_server: Any) -> None:
    def script(asked: dict[str, Any]) -> Any:
        for name in ("max_tokens", "max_completion_tokens"):
            if name in asked:
                return scripted_server.reply(status=400, body=problem(f"Unrecognized request argument: {name}"))
        return "fine"

    server = scripted_server(script)

    assert ask(model_at(server.url)).usage.requests == 3


def test_a_schema_that_is_demanded_is_not_given_up(scripted_server: Any) -> None:
    server = scripted_server([scripted_server.reply(status=400, body=problem("json_schema is not supported"))])

    with pytest.raises(ClaraError, match=r"--structured json_schema: .*json_schema is not supported"):
        ask(model_at(server.url, structured="json_schema"))


# --- when it is sent ----------------------------------------------------------------------------------------------------


def test_retry_after_is_waited_for(scripted_server: Any) -> None:
    reply = scripted_server.reply(status=503, headers={"Retry-After": "17"})
    server, clock = scripted_server([reply, "fine"]), QuickClock()

    ask(model_at(server.url, clock=clock))

    assert len(clock.slept) == 1 and 17 <= clock.slept[0] <= 17.5


def test_a_429_holds_back_all_others(scripted_server: Any) -> None:
    server = scripted_server([scripted_server.reply(status=429, headers={"Retry-After": "30"}), "fine"])

    async def run() -> None:
        clock = StoppedClock()
        model = model_at(server.url, clock=clock)
        first = asyncio.create_task(model.complete(CHAT))
        await until(lambda: len(clock.slept) == 1)
        others = [asyncio.create_task(model.complete(CHAT)) for _ in range(4)]
        await until(lambda: len(clock.slept) == 5)
        assert len(server.requests) == 1 and min(clock.slept) >= 30
        clock.go.set()
        await asyncio.gather(first, *others)
        await model.close()

    asyncio.run(run())

    assert len(server.requests) == 6


def test_rate_limits_are_kept(scripted_server: Any) -> None:
    server, clock = scripted_server(["fine"]), QuickClock()

    ask(model_at(server.url, requests_per_minute=6, clock=clock), times=4)

    assert clock.slept == pytest.approx([10.0] * 3)


def test_tokens_that_were_not_needed_are_given_back(scripted_server: Any) -> None:
    server, clock = scripted_server(["fine"]), QuickClock()
    model = model_at(server.url, tokens_per_minute=60, sampling=Sampling(max_tokens=95), clock=clock)

    ask(model, times=3)  # each estimated at 100, and taking 18

    assert clock.slept == pytest.approx([18.0, 18.0])


def test_the_bound_of_requests_in_flight_is_reached_and_kept(scripted_server: Any) -> None:
    server = scripted_server(lambda body: scripted_server.reply(body=scripted_server.completion("fine"), together=8))

    async def run() -> None:
        model = model_at(server.url, concurrency=8)
        await asyncio.gather(*(model.complete(CHAT) for _ in range(64)))
        await model.close()

    asyncio.run(run())

    assert server.most_at_once == 8 and len(server.requests) == 64


# --- no network, and no more patience -----------------------------------------------------------------------------------


@pytest.fixture
def deaf_url() -> Iterator[str]:
    with socket.socket() as taken:  # bound and not listening, so nobody else can take the port
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def test_a_server_that_was_never_reached_ends_the_run(scripted_server: Any, deaf_url: str) -> None:
    clock = QuickClock()

    with pytest.raises(ClaraError, match=rf"^--url {deaf_url}: cannot be reached: Connect call failed"):
        ask(model_at(deaf_url, clock=clock))

    assert len(clock.slept) == 2


def test_a_server_that_has_answered_before_may_come_back(scripted_server: Any) -> None:
    server = scripted_server(["fine"])

    async def run() -> None:
        model = model_at(server.url)
        await model.complete(CHAT)
        server.stop()
        try:
            await model.complete(CHAT)
        finally:
            await model.close()

    with pytest.raises(UnavailableError, match="cannot be reached"):
        asyncio.run(run())


@pytest.mark.filterwarnings("error")
def test_a_cancelled_request_leaves_nothing_open(scripted_server: Any) -> None:
    server = scripted_server([scripted_server.reply(ends="never")])

    async def run() -> None:
        model = model_at(server.url, concurrency=2)
        tasks = [asyncio.create_task(model.complete(CHAT)) for _ in range(4)]
        await until(lambda: len(server.requests) == 2)
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True)
        )
        await until(lambda: server.given_up == 2)
        await model.close()
        await model.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


def test_closing_what_was_never_opened_is_nothing(scripted_server: Any) -> None:
    asyncio.run(model_at("http://127.0.0.1:1/v1").close())


# --- what must stay secret ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 401, 404, 307, 429, 500])
def test_the_key_is_nowhere(
    scripted_server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    echo = {"Location": f"http://b.test/{KEY}", "Retry-After": "1"}
    server = scripted_server([scripted_server.reply(status=status, body=problem(f"seed {KEY} unknown"), headers=echo)])
    model = model_at(f"{server.url}?token={KEY}")

    with pytest.raises((ClaraError, UnavailableError, BadReplyError)) as caught:
        ask(model)

    told = [*traceback.format_exception(caught.value), repr(caught.value), caplog.text]
    told += [repr(model), repr(model.identity), repr(EndpointSettings("http://h/v1", "m"))]
    assert "very" not in "".join(told) and "0123456789" not in "".join(told)


def test_the_identity_is_what_a_text_depends_on() -> None:
    sampling = Sampling(temperature=0.5, seed=3)
    model = model_at("HTTPS://Host:8000/V1/?key=abc", sampling=sampling, structured="none", concurrency=7)

    assert model.name == "m"
    assert model.identity == {
        "model": "m",
        "url": "host:8000/V1",
        "sampling": {"temperature": 0.5, "top_p": 1.0, "max_tokens": 1024, "seed": 3},
        "structured": "none",
    }
