"""What teachers that run a language model in this process have in common."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.chat import Chat, Sampling

SECOND_TEMPERATURE = 0.5
"""Of a later attempt where the first one takes the likeliest: it would only say the same again."""


def temperature_of(chat: Chat, sampling: Sampling) -> float:
    """The temperature that a chat's tokens are drawn at; 0 takes the likeliest."""
    return SECOND_TEMPERATURE if chat.attempt and sampling.temperature == 0 else sampling.temperature


def plain_name(model: str) -> str:
    """A model's name wherever it lies: of a path its last part, all of a hub id or a ``package://`` name.

    >>> plain_name("/data/models/llama/"), plain_name("meta/llama"), plain_name("models/llama.gguf")
    ('llama', 'meta/llama', 'llama.gguf')
    """
    if model.startswith("package://"):
        return model
    is_path = model.startswith((".", "/", "~")) or model.count("/") > 1 or model.endswith(".gguf")
    return Path(model).name if is_path else model


def identity_of(engine: str, model: str, *, sampling: Sampling, dtype: str, schema: bool) -> dict[str, Any]:
    """All that a local model's text depends on, as JSON holds it.

    Args:
        engine: what runs it.
        model: as the user names it.
        sampling: how tokens are chosen.
        dtype: of the weights, as the user asks for it.
        schema: whether the text is held to the chat's schema.
    """
    return {
        "engine": engine,
        "model": plain_name(model),
        "dtype": dtype,
        "sampling": asdict(sampling),
        "schema": schema,
    }


def check_batch_size(batch_size: int) -> None:
    """Refuse an impossible ``--batch-size``."""
    if batch_size < 1:
        raise ClaraError(f"--batch-size must be 1 or more, got {batch_size}")


def length_of(chat: Chat) -> int:
    """Characters of all messages: near enough to tokens to put like to like."""
    return sum(len(message["content"]) for message in chat.messages)
