"""The interface of a teacher, and how one fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from clara_lightning.synthesis.tasks import Request


@dataclass(frozen=True)
class Usage:
    """What answers took: requests made (retries among them), tokens read and tokens written."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


NO_USAGE = Usage()


@dataclass(frozen=True)
class Reply:
    """An answer that passed its task's check, and what it took."""

    value: Mapping[str, Any]
    usage: Usage = NO_USAGE


class Teacher(Protocol):
    """Does the tasks of :data:`clara_lightning.synthesis.tasks.TASKS`. Any number of requests may be open at once."""

    @property
    def name(self) -> str:
        """Who it is, in a word or two: stands in every row as ``teacher``."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """All that its answers depend on, as JSON holds it (model, prompts, parameters); never a key or a password."""

    async def reply(self, request: Request) -> Reply:
        """The answer to a request.

        Raises:
            BadReplyError: it answers, but nothing that can be used; asking again will not help.
            UnavailableError: it did not answer now, and may later.
            ClaraError: it will not answer anything (a wrong key, no such model): the run must stop.
        """

    async def close(self) -> None:
        """Give back what it holds."""


class BadReplyError(Exception):
    """An answer that cannot be used, in words; ``usage`` is what it took nevertheless."""

    def __init__(self, reason: str, usage: Usage = NO_USAGE) -> None:
        super().__init__(reason)
        self.usage = usage


class UnavailableError(Exception):
    """No answer, after every retry, in words."""
