"""What is sent to an endpoint, and what no more after its server did not take it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.chat import Chat, Completion, Sampling


def problem(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


def test_a_request_holds_what_the_sampling_says(scripted_server: Any, client: Any) -> None:
    server = scripted_server(["fine"])
    sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=99, seed=5)

    client.ask(
        client.model_at(server.url, sampling=sampling),
        chat=Chat(client.CHAT.messages, client.SCHEMA, "answer", attempt=2),
    )

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
            "json_schema": {"name": "answer", "schema": client.SCHEMA, "strict": True},
        },
    }


def test_the_whole_probability_needs_no_top_p_and_no_schema_is_sent_where_none_is_wanted(
    scripted_server: Any, client: Any
) -> None:
    server = scripted_server(["fine"])

    client.ask(client.model_at(server.url, structured="none"))

    assert server.requests[0].body.keys() == {"model", "messages", "temperature", "max_tokens", "seed"}


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
    scripted_server: Any, client: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    status, body, parameter = UNSUPPORTED[name]
    refusal = scripted_server.reply(status=status, body=body)
    server = scripted_server(lambda asked: refusal if parameter in asked else "fine")
    clock = client.QuickClock()

    completion = client.ask(client.model_at(server.url, sampling=Sampling(top_p=0.5), clock=clock), times=2)

    assert completion.text == "fine" and not clock.slept
    before, *after = (request.body for request in server.requests)
    wanted = before.keys() - {parameter} | ({"max_completion_tokens"} if parameter == "max_tokens" else set())
    assert [body.keys() for body in after] == [wanted, wanted]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.records[0].message.startswith(f"{parameter} is not taken by the server")


def test_requests_under_way_hear_the_same_refusal_and_it_is_told_once(
    scripted_server: Any, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = scripted_server.reply(status=400, body=problem("response_format is unavailable now"), together=5)
    server = scripted_server(lambda asked: refusal if "response_format" in asked else "fine")

    async def run() -> list[Completion]:
        model = client.model_at(server.url)
        try:
            return await asyncio.gather(*(model.complete(client.CHAT) for _ in range(5)))
        finally:
            await model.close()

    completions = asyncio.run(run())

    assert [completion.usage.requests for completion in completions] == [2] * 5
    assert len(caplog.records) == 1


def test_a_server_that_takes_no_limit_at_all_gets_none(scripted_server: Any, client: Any) -> None:
    def script(asked: dict[str, Any]) -> Any:
        for name in ("max_tokens", "max_completion_tokens"):
            if name in asked:
                return scripted_server.reply(status=400, body=problem(f"Unrecognized request argument: {name}"))
        return "fine"

    server = scripted_server(script)

    assert client.ask(client.model_at(server.url)).usage.requests == 3


def test_a_schema_that_is_demanded_is_not_given_up(scripted_server: Any, client: Any) -> None:
    server = scripted_server([scripted_server.reply(status=400, body=problem("json_schema is not supported"))])

    with pytest.raises(ClaraError, match=r"--structured json_schema: .*json_schema is not supported"):
        client.ask(client.model_at(server.url, structured="json_schema"))
