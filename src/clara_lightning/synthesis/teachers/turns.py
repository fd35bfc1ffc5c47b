"""Conversations as a tokenizer's chat template writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.chat import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SYSTEM, _USER = "<<<clara:system>>>", "<<<clara:user>>>"


class Turns:
    """Writes conversations in the words of one chat template.

    Args:
        tokenizer: any tokenizer of transformers with a chat template.
        model: what a mistake names.

    Attributes:
        options: what every call of the template gets beside the messages.

    Raises:
        ClaraError: it has no chat template, or one that does not show what a user says.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, model: str) -> None:
        from clara_lightning.data.prompts import chat_options

        if not tokenizer.chat_template:
            raise ClaraError(f"--model: {model} has no chat template; a teacher must be a model that follows requests")
        self._tokenizer = tokenizer
        self.options = chat_options(tokenizer)
        self._takes_system = self._shows_system()
        if _USER not in self.text([{"role": "user", "content": _USER}]):
            raise ClaraError(f"--model: the chat template of {model} does not show the user's words")

    def text(self, messages: Sequence[Message]) -> str:
        """The conversation, up to where the model's turn begins."""
        return self._apply(self.fitted(messages))

    def ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of :meth:`text`."""
        return list(self._tokenizer(self.text(messages), add_special_tokens=False)["input_ids"])

    def fitted(self, messages: Sequence[Message]) -> list[Message]:
        """The messages; where the template knows no system role, its words stand before the first of the user's."""
        if self._takes_system or messages[0]["role"] != "system":
            return list(messages)
        system, first, *others = messages
        return [{"role": "user", "content": f"{system['content']}\n\n{first['content']}"}, *others]

    def _apply(self, messages: Sequence[Message]) -> str:
        options = {"tokenize": False, "add_generation_prompt": True, **self.options}
        conversation: list[dict[str, str]] = [{"role": one["role"], "content": one["content"]} for one in messages]
        return str(self._tokenizer.apply_chat_template(conversation, **options))

    def _shows_system(self) -> bool:
        """Some templates raise on a system role, some pass over it."""
        from jinja2 import TemplateError

        try:
            return _SYSTEM in self._apply(
                [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}],
            )
        except TemplateError:
            return False
