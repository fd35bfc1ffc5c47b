"""A language model as a teacher uses it: messages in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypedDict

from clara_lightning.synthesis.teacher import Usage


class Message(TypedDict):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Chat:
    """What a model is asked to continue.

    Attributes:
        messages: the turns so far; the model writes the next one.
        schema: JSON schema that its text must follow, for models that can be held to one.
        schema_name: a word for the schema, which some servers want.
        attempt: 0 at first; a later attempt at the same messages should not give the same text (another seed).
    """

    messages: tuple[Message, ...]
    schema: Mapping[str, Any]
    schema_name: str
    attempt: int = 0


@dataclass(frozen=True)
class Completion:
    """What a model wrote.

    Attributes:
        text: the text.
        cut: whether it ended because it was too long.
        usage: what it took.
    """

    text: str
    cut: bool
    usage: Usage


@dataclass(frozen=True)
class Sampling:
    """How a model's next token is chosen.

    Attributes:
        temperature: 0 takes the likeliest.
        top_p: share of the probability that is drawn from.
        max_tokens: of one answer.
        seed: of the draws, where the model takes one.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 1024
    seed: int = 0


class ChatModel(Protocol):
    """A language model. Any number of completions may be open at once."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """All that its text depends on, as JSON holds it; never a key."""

    async def complete(self, chat: Chat) -> Completion:
        """The model's next turn.

        Raises:
            BadReplyError: the request itself is refused (longer than the model's context, a filter of contents).
            UnavailableError: no answer after every retry.
            ClaraError: there will be none (a wrong key, no such model).
        """

    async def close(self) -> None:
        """Give back connections and memory."""
