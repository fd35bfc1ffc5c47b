"""What an endpoint answers, read: a completion, or a complaint in one line without the key."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from clara_lightning.synthesis.chat import Completion
from clara_lightning.synthesis.teacher import BadReplyError, Usage

LONGEST_RETRY_AFTER = 120.0  # seconds; some servers name the next day
LONGEST_MESSAGE = 200  # characters
CHARACTERS_PER_TOKEN = 4  # where nobody counts tokens

_ENDS = ("length", "content_filter")
_TAG = re.compile(r"<[^<>]*>")


class TryAgainError(Exception):
    """An attempt failed, and another may not.

    Args:
        reason: in words.
        sent: whether the server may have seen the request.
        retry_after: seconds that the server wants to be left alone, 0 where it says nothing.
        for_all: whether that holds for other requests too.
    """

    def __init__(self, reason: str, *, sent: bool = True, retry_after: float = 0.0, for_all: bool = False) -> None:
        super().__init__(reason)
        self.sent = sent
        self.retry_after = retry_after
        self.for_all = for_all


@dataclass(frozen=True)
class Complaint:
    """Why a server refuses a request, in its own words; what it does not say is empty."""

    message: str
    parameter: str = ""
    code: str = ""


class Wording:
    """Makes one line of a server's words, without secrets that it may repeat.

    Args:
        secrets: what must not be read anywhere. A short one is taken out only where it stands as a word: nobody could
            read the rest otherwise, and ``x`` is what users give to servers that want no key.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        escaped = {secret: re.escape(secret) for secret in secrets if secret}
        words = [text if len(secret) >= 8 else rf"(?<!\w){text}(?!\w)" for secret, text in escaped.items()]
        self._secret = re.compile("|".join(sorted(words, key=len, reverse=True))) if words else None

    def __call__(self, text: str) -> str:
        """The line; secrets go before it is cut, so that no half of one stays."""
        if self._secret is not None:
            text = self._secret.sub("***", text)
        line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return line if len(line) <= LONGEST_MESSAGE else f"{line[: LONGEST_MESSAGE - 3]}..."


def estimated_tokens(characters: int) -> int:
    """Tokens of a text whose tokenizer is not known."""
    return math.ceil(characters / CHARACTERS_PER_TOKEN)


def read_retry_after(value: str | None, *, now: datetime) -> float:
    """Seconds of a ``Retry-After`` header, which holds a number or a date: 0 where it holds neither."""
    try:
        seconds = float(value or "")
    except ValueError:
        seconds = _seconds_until(value or "", now)
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER) if not math.isnan(seconds) else 0.0


def _seconds_until(date: str, now: datetime) -> float:
    try:
        then = parsedate_to_datetime(date)
    except ValueError:
        return 0.0
    return ((then if then.tzinfo else then.replace(tzinfo=UTC)) - now).total_seconds()


def read_complaint(raw: bytes) -> Complaint:
    """The body of an answer that is none: JSON in one of many forms, a page, or text."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return Complaint(_TAG.sub(" ", raw.decode(errors="replace")))
    error = content.get("error") if isinstance(content, Mapping) else None
    inner = error if isinstance(error, Mapping) else content if isinstance(content, Mapping) else {}
    parameter, code = inner.get("param"), inner.get("code") or inner.get("type")
    message = _words(content) or raw.decode(errors="replace")
    return Complaint(message, parameter if isinstance(parameter, str) else "", str(code or ""))


def _words(value: Any) -> str:
    """The text in an error: under one of some keys, or in a list of places with what is wrong there."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(filter(None, map(_words, value)))
    if not isinstance(value, Mapping):
        return ""
    said = next(filter(None, (_words(value.get(key)) for key in ("error", "message", "detail", "msg"))), "")
    place = value.get("loc")
    return f"{'.'.join(map(str, place))}: {said}" if isinstance(place, list) and said else said


def read_completion(raw: bytes, *, prompt_characters: int, wording: Wording) -> Completion:
    """The body of an answer with status 200; ``usage`` counts no requests.

    Args:
        raw: the body.
        prompt_characters: of the request, in case that the server counts no tokens.
        wording: of what the server says.

    Raises:
        TryAgainError: it is no completion.
        BadReplyError: the model declines, or a filter of contents has taken its answer.
    """
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        raise TryAgainError("the answer is not JSON") from None
    try:
        choice = content["choices"][0]
        message, cut, filtered = choice["message"], *(choice.get("finish_reason") == end for end in _ENDS)
        refusal, text = message.get("refusal"), _text(message)
    except (LookupError, TypeError, AttributeError):
        raise TryAgainError(wording(f"the answer has no message {_words(content)}")) from None
    usage = _usage(content.get("usage"), prompt_characters=prompt_characters, characters=len(text or ""))
    if isinstance(refusal, str) and refusal:
        raise BadReplyError(wording(f"refused: {refusal}"), usage)
    if filtered:
        raise BadReplyError("refused: the server's filter of contents took the answer", usage)
    if text is None and not cut:  # a model that thinks aloud may be cut before it says anything
        raise TryAgainError("the answer's message has no content")
    return Completion(text=text or "", cut=cut, usage=usage)


def _text(message: Mapping[str, Any]) -> str | None:
    """Text of a message; some servers give it in parts, and null where it is empty."""
    if "content" not in message:
        return None
    content = message["content"]
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if part.get("type", "text") == "text")
    if not isinstance(content, str | None):
        raise TypeError(type(content))
    return content or ""


def _usage(told: Any, *, prompt_characters: int, characters: int) -> Usage:
    counts = told if isinstance(told, Mapping) else {}

    def count(key: str, otherwise: int) -> int:
        value = counts.get(key)
        return value if isinstance(value, int) and value >= 0 else estimated_tokens(otherwise)

    return Usage(0, count("prompt_tokens", prompt_characters), count("completion_tokens", characters))
