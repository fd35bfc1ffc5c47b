"""The body of a request to an endpoint, without what its server turned out to refuse."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Literal

from clara_lightning.synthesis.chat import Chat, Sampling
from clara_lightning.synthesis.teachers.endpoint_answer import Complaint

log = logging.getLogger(__name__)

Structured = Literal["auto", "json_schema", "none"]
PARAMETERS = ("response_format", "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed")
"""What a server may refuse and a request can do without."""

_FORMAT = re.compile(r"response_format|json_schema", re.IGNORECASE)
_UNSUPPORTED = re.compile(
    r"unsupported|\bnot (\w+ )?support|unrecogni[sz]ed|unknown|unexpected|unavailable|forbidden|deprecated"
    r"|\bnot (be )?(permitted|allowed|available|recogni[sz]ed|accepted|a valid)|cannot both|only the default",
    re.IGNORECASE,
)
# Such a message may name a parameter too ("max_tokens is too large: the context length is 4096"), but it is about this
# one request.
_ABOUT_THIS_REQUEST = re.compile(
    r"context[ _-]?(length|window|size)|too (long|large|many)|exceed|content[ _]?(filter|management|policy)",
    re.IGNORECASE,
)


def refused_parameter(complaint: Complaint, *, sent: Mapping[str, Any]) -> str | None:
    """Which of :data:`PARAMETERS` the server does not take at all.

    Args:
        complaint: what it says, with status 400 or 422.
        sent: body of the request.

    Returns:
        The name; ``None`` where it complains about something else.
    """
    told = f"{complaint.parameter} {complaint.code} {complaint.message}"
    if _ABOUT_THIS_REQUEST.search(told):
        return None
    if "response_format" in sent and _FORMAT.search(told):
        return "response_format"
    if not _UNSUPPORTED.search(told):
        return None
    found = {name: re.search(rf"\b{name}\b", told) for name in PARAMETERS if name in sent}
    named = {name: match.start() for name, match in found.items() if match}
    return min(named, key=named.__getitem__, default=None)


class RequestForm:
    """Makes bodies of requests.

    Args:
        model: as the server calls it.
        sampling: how it shall write.
        structured: with "none" the schema is not sent.
    """

    def __init__(self, *, model: str, sampling: Sampling, structured: Structured) -> None:
        self._model = model
        self._sampling = sampling
        self._left_out = {"response_format"} if structured == "none" else set()

    def body(self, chat: Chat) -> dict[str, Any]:
        """What is sent for a chat."""
        sampling = self._sampling
        limit = "max_tokens" if "max_tokens" not in self._left_out else "max_completion_tokens"
        schema = {"name": chat.schema_name, "schema": dict(chat.schema), "strict": True}
        optional = {
            "temperature": sampling.temperature,
            limit: sampling.max_tokens,
            "seed": sampling.seed + chat.attempt,
            "response_format": {"type": "json_schema", "json_schema": schema},
        }
        if sampling.top_p != 1.0:
            optional["top_p"] = sampling.top_p
        kept = {name: value for name, value in optional.items() if name not in self._left_out}
        return {"model": self._model, "messages": list(chat.messages), **kept}

    def leave_out(self, name: str, *, why: str) -> None:
        """Send it no more. One line says so, however many requests under way hear the same."""
        if name in self._left_out:
            return
        self._left_out.add(name)
        instead = {
            "max_tokens": "max_completion_tokens is sent from now on",
            "response_format": "from now on its answers are not held to a schema",
        }
        log.warning(
            "%s is not taken by the server, %s (%s)", name, instead.get(name, "it is left out from now on"), why
        )
