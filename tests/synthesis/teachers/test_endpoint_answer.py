"""How the answer of an endpoint is read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from clara_lightning.synthesis.teacher import Usage
from clara_lightning.synthesis.teachers.endpoint_answer import (
    LONGEST_RETRY_AFTER,
    Complaint,
    Wording,
    read_complaint,
    read_retry_after,
)


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
def test_a_completion_is_read(scripted_server: Any, client: Any, told: dict[str, Any], text: str, cut: bool) -> None:
    server = scripted_server([scripted_server.reply(body=scripted_server.completion(**told))])

    completion = client.ask(client.model_at(server.url))

    assert (completion.text, completion.cut) == (text, cut)


def test_a_model_that_is_cut_before_it_says_anything_said_nothing(scripted_server: Any, client: Any) -> None:
    body = {"choices": [{"finish_reason": "length", "message": {"reasoning_content": "let me see"}}]}
    server = scripted_server([scripted_server.reply(body=body)])

    completion = client.ask(client.model_at(server.url))

    assert (completion.text, completion.cut) == ("", True)


@pytest.mark.parametrize("usage", [{}, [], {"prompt_tokens": None, "completion_tokens": -1}])
def test_tokens_that_nobody_counts_are_estimated(scripted_server: Any, client: Any, usage: Any) -> None:
    server = scripted_server([scripted_server.reply(body=scripted_server.completion("x" * 41, usage=usage))])

    assert client.ask(client.model_at(server.url)).usage == Usage(1, 5, 11)  # 18 and 41 characters


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("nan", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        (None, 0.0),
        ("86400", LONGEST_RETRY_AFTER),
        ("inf", LONGEST_RETRY_AFTER),
        ("Wed, 21 Oct 2026 07:28:20 GMT", 20.0),
        ("Wed, 21 Oct 2026 07:28:20 -0000", 20.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", LONGEST_RETRY_AFTER),
    ],
)
def test_retry_after_is_a_number_or_a_date_and_bounded(header: str | None, seconds: float) -> None:
    assert read_retry_after(header, now=datetime(2026, 10, 21, 7, 28, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b'{"error": {"message": "no", "type": "t", "param": "seed", "code": 400}}', Complaint("no", "seed", "400")),
        (b'{"error": {"message": "no", "type": "t", "param": null, "code": null}}', Complaint("no", "", "t")),
        (b'{"object": "error", "message": "no", "type": "t"}', Complaint("no", "", "t")),
        (b'{"error": "no"}', Complaint("no")),
        (b'{"detail": [{"loc": ["body", 0], "msg": "no"}, {"msg": "never"}]}', Complaint("body.0: no; never")),
        (b'["no", 3]', Complaint("no")),
        (b"<p>no</p>", Complaint(" no ")),
        (b"\xff", Complaint("\ufffd")),
        (b"", Complaint("")),
    ],
)
def test_complaints_of_all_servers_are_read(raw: bytes, complaint: Complaint) -> None:
    assert read_complaint(raw) == complaint


def test_wording_is_one_line_of_what_can_be_printed() -> None:
    assert Wording()("a\n\tb\x1b[31m c\u200b") == "a b [31m c"
    assert len(Wording()("word " * 1000)) == 200


def test_secrets_are_taken_out_before_a_line_is_cut() -> None:
    wording = Wording(["abcdefgh", "abcdefghij", ""])

    assert wording("xabcdefghijx, abcdefgh") == "x***x, ***"
    assert "abc" not in wording("." * 190 + "abcdefghij" * 2)


def test_a_short_key_is_taken_out_as_a_word() -> None:
    assert Wording(["x"])("the key x exceeds") == "the key *** exceeds"
