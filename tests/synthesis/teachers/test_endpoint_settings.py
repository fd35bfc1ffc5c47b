"""What an endpoint is told by its user, and what of that stays secret."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.chat import Sampling
from clara_lightning.synthesis.teacher import BadReplyError, UnavailableError
from clara_lightning.synthesis.teachers.endpoint import EndpointSettings

KEY = "sk-very/secret+0123456789"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"concurrency": 0}, "--concurrency must be >= 1, got 0"),
        ({"max_attempts": 0}, "--max-attempts must be >= 1, got 0"),
        ({"requests_per_minute": 0}, "--requests-per-minute must be >= 1, got 0"),
        ({"tokens_per_minute": -5}, "--tokens-per-minute must be >= 1, got -5"),
        ({"timeout": 0.0}, "--timeout must be > 0, got 0"),
        ({"timeout": float("nan")}, "--timeout must be > 0, got nan"),
        ({"model": " "}, "--model must not be empty"),
        ({"structured": "yes"}, "--structured must be auto, json_schema, none, got yes"),
        ({"url": "host:8000/v1"}, "--url: must be like http://host:8000/v1, got 'host:8000/v1'"),
        ({"url": "ftp://host/v1?key=secret"}, "--url: must be like http://host:8000/v1, got 'ftp://host/v1'"),
        ({"url": "http:///v1"}, "--url: must be like http://host:8000/v1, got 'http:///v1'"),
        ({"url": "http://a b/v1"}, "--url: must be like http://host:8000/v1, got 'http://a b/v1'"),
        ({"url": "http://a..b/v1"}, "--url: must be like http://host:8000/v1, got 'http://a..b/v1'"),
        ({"url": "http://a:99999/v1"}, "--url: must be like http://host:8000/v1, got 'http://a:99999/v1'"),
        ({"url": "http://[::1/v1"}, "--url: must be like http://host:8000/v1, got 'http://[::1/v1'"),
    ],
)
def test_a_setting_that_cannot_be_is_named(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ClaraError) as caught:
        EndpointSettings(**{"url": "http://host/v1", "model": "m"} | setting)

    assert str(caught.value) == message


@pytest.mark.parametrize("url", ["http://me:secret@host/v1", "me:secret@host/v1", "http://secret@host/v1"])
def test_a_password_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ClaraError, match=r"^--url: .*a key belongs into the environment variable") as caught:
        EndpointSettings(url=url, model="m")

    assert "secret" not in str(caught.value)


def test_a_key_instead_of_its_variable_is_refused_and_not_repeated() -> None:
    with pytest.raises(ClaraError, match=r"^--key-env must be the name of an environment variable") as caught:
        EndpointSettings(url="http://host/v1", model="m", key_env=KEY)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["two words", "sch\u00f6n", "a\nb"])
def test_a_key_that_no_header_can_hold_is_refused_by_its_name(
    client: Any, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("MY_KEY", key)

    with pytest.raises(ClaraError, match=r"^environment variable MY_KEY: a key has no spaces") as caught:
        client.ask(client.model_at("http://127.0.0.1:1/v1", key_env="MY_KEY"))

    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://host:8000/v1", "http://host:8000/v1/chat/completions"),
        ("http://host/v1/", "http://host/v1/chat/completions"),
        ("https://host", "https://host/chat/completions"),
        ("https://host/v1?version=2#top", "https://host/v1/chat/completions?version=2"),
        ("https://host/v1/chat/completions", "https://host/v1/chat/completions"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1/chat/completions"),
    ],
)
def test_requests_go_below_the_base(url: str, address: str) -> None:
    assert EndpointSettings(url=url, model="m").address == address


def test_the_key_is_sent_where_there_is_one(scripted_server: Any, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = scripted_server(["fine"])
    client.ask(client.model_at(server.url))
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    client.ask(client.model_at(server.url))

    assert "Authorization" not in server.requests[0].headers
    assert server.requests[1].headers["Authorization"] == f"Bearer {KEY}"


def test_a_query_stays_behind_the_path(scripted_server: Any, client: Any) -> None:
    server = scripted_server(["fine"])

    client.ask(client.model_at(f"{server.url}/?api-version=2"))

    assert server.requests[0].path == "/v1/chat/completions?api-version=2"


def test_the_environments_proxy_is_used(scripted_server: Any, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = scripted_server(["fine"])
    monkeypatch.setenv("http_proxy", server.url.replace("http://", "http://me:word@").removesuffix("/v1"))
    monkeypatch.delenv("no_proxy", raising=False)

    client.ask(client.model_at("http://model.invalid/v1"))

    assert server.requests[0].headers["Host"] == "model.invalid"
    assert server.requests[0].headers["Proxy-Authorization"].startswith("Basic ")


def test_a_host_that_the_environment_exempts_needs_no_proxy(
    scripted_server: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = scripted_server(["fine"])

    assert client.ask(client.model_at(server.url)).text == "fine"


def test_a_proxy_of_another_kind_is_refused(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)

    with pytest.raises(ClaraError, match=r"^environment variable http_proxy: must begin with http://"):
        client.ask(client.model_at("http://model.invalid/v1"))


def test_netrc_is_not_read(scripted_server: Any, client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password word\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = scripted_server(["fine"])

    client.ask(client.model_at(server.url))

    assert "Authorization" not in server.requests[0].headers


@pytest.mark.parametrize("status", [200, 400, 401, 404, 307, 429, 500])
def test_the_key_is_nowhere(
    scripted_server: Any, client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    echo = {"Location": f"http://b.test/{KEY}", "Retry-After": "1"}
    server = scripted_server(
        [scripted_server.reply(status=status, body={"error": f"seed {KEY} unknown"}, headers=echo)]
    )
    model = client.model_at(f"{server.url}?token={KEY}")

    with pytest.raises((ClaraError, UnavailableError, BadReplyError)) as caught:
        client.ask(model)

    told = [*traceback.format_exception(caught.value), repr(caught.value), caplog.text]
    told += [repr(model), repr(model.identity), repr(EndpointSettings("http://h/v1", "m"))]
    assert "very" not in "".join(told) and "0123456789" not in "".join(told)


def test_the_identity_is_what_a_text_depends_on(client: Any) -> None:
    sampling = Sampling(temperature=0.5, seed=3)
    model = client.model_at("HTTPS://Host:8000/V1/?key=abc", sampling=sampling, structured="none", concurrency=7)

    assert model.name == "m"
    assert model.identity == {
        "model": "m",
        "host": "host",
        "sampling": {"temperature": 0.5, "top_p": 1.0, "max_tokens": 1024, "seed": 3},
        "structured": "none",
    }
