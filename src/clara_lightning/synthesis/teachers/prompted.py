"""A language model as a teacher: templates make the messages, its text is read tolerantly, and asked for again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clara_lightning.data.fields import RowError
from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.chat import Chat, ChatModel
from clara_lightning.synthesis.parsing import parse_reply
from clara_lightning.synthesis.prompts import Prompts
from clara_lightning.synthesis.tasks import TASKS, Request
from clara_lightning.synthesis.teacher import NO_USAGE, BadReplyError, Reply


class PromptedTeacher:
    """A teacher that is a language model.

    Args:
        model: the model.
        kind: how it is reached, such as ``endpoint``.
        prompts: the templates.
        max_asks: so often one thing is asked, until an answer can be read.
    """

    def __init__(self, model: ChatModel, *, kind: str, prompts: Prompts, max_asks: int = 3) -> None:
        if max_asks < 1:
            raise ClaraError(f"--max-asks must be >= 1, got {max_asks}")
        self.model = model
        self.kind = kind
        self.prompts = prompts
        self.max_asks = max_asks

    @property
    def name(self) -> str:
        """Kind and model."""
        return f"{self.kind}:{self.model.name}"

    @property
    def identity(self) -> Mapping[str, Any]:
        """Kind, model and prompts."""
        prompts = {"fingerprint": self.prompts.fingerprint, "max_asks": self.max_asks}
        return {"teacher": self.kind, "model": dict(self.model.identity), "prompts": prompts}

    async def reply(self, request: Request) -> Reply:
        """The answer to a request; see :class:`~clara_lightning.synthesis.teacher.Teacher`."""
        messages, schema = self.prompts.messages(request), TASKS[request.task].schema
        usage, reason = NO_USAGE, ""
        for attempt in range(self.max_asks):
            try:
                completion = await self.model.complete(Chat(messages, schema, request.task, attempt))
            except BadReplyError as error:  # the model refuses the request: it would again
                raise BadReplyError(str(error), usage + error.usage) from error
            usage += completion.usage
            try:
                return Reply(parse_reply(completion.text, request, cut=completion.cut), usage)
            except RowError as error:
                reason = str(error)
        raise BadReplyError(f"{request.task}: {reason}", usage)

    async def close(self) -> None:
        """Give back the model."""
        await self.model.close()
