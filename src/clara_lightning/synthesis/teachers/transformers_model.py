"""A language model of transformers as teacher, in this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from clara_lightning.synthesis.chat import Chat, Completion, Sampling
from clara_lightning.synthesis.teacher import BadReplyError, UnavailableError, Usage
from clara_lightning.synthesis.teachers.batches import Answer, Batches
from clara_lightning.synthesis.teachers.causal_lm import CausalLM, DtypeName, padded
from clara_lightning.synthesis.teachers.draws import Draws
from clara_lightning.synthesis.teachers.local import check_batch_size, identity_of, plain_name, temperature_of

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Load = Callable[[], "tuple[PreTrainedModel, PreTrainedTokenizerBase]"]
"""Gives a model and its tokenizer; with several processes it must pickle."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TransformersSettings:
    """Which model, and how it runs.

    Args:
        model: its name, for messages and for what a resumed run compares.
        dtype: of the weights; ``auto`` leaves them as they are loaded.
        device: ``auto`` takes the first CUDA device, else Apple's, else the CPU.
        batch_size: so many chats are answered together at most.
    """

    model: str
    dtype: DtypeName = "auto"
    device: str = "auto"
    batch_size: int = 8

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)


class _Row(NamedTuple):
    """A chat in tokens.

    Attributes:
        place: its number among the chats that were asked together.
        chat: as asked.
        ids: of the prompt.
        limit: tokens that its answer may have; below 1 where the prompt leaves no room.
    """

    place: int
    chat: Chat
    ids: list[int]
    limit: int


class TransformersModel:
    """Any causal LM of transformers with a chat template.

    The model is loaded when it is first asked. Prompts stand in a batch with padding on their left. What is written for
    a chat depends on the chat alone, up to rounding: draws have seeds of their own (:mod:`.draws`), and no setting of
    the model's author (a penalty, a top-k) plays a part. The text is not held to the chat's schema.

    Args:
        settings: which model, and how it runs.
        sampling: how tokens are chosen; temperature 0 takes the likeliest, and draws in later attempts alone.
        load: gives the model and its tokenizer.

    Attributes:
        name: the model's, without the folders that it lies in.
        identity: engine, model, dtype as it is asked for, and sampling.
    """

    def __init__(self, settings: TransformersSettings, *, sampling: Sampling, load: Load) -> None:
        self.name = plain_name(settings.model)
        self.identity: Mapping[str, Any] = identity_of(
            "transformers", self.name, sampling=sampling, dtype=settings.dtype, schema=False
        )
        self._settings = settings
        self._sampling = sampling
        self._load = load
        self._lm: CausalLM | None = None
        self._fits = settings.batch_size
        self._closing = threading.Event()
        self._batches = Batches(self._generate, batch_size=settings.batch_size)

    async def complete(self, chat: Chat) -> Completion:
        """The model's next turn; see :class:`clara_lightning.synthesis.chat.ChatModel`.

        Raises:
            BadReplyError: the chat is longer than the model's context, or than the device's memory.
            ClaraError: what ``load`` raises; the model has no chat template; there is no such device.
        """
        return await self._batches.complete(chat)

    async def close(self) -> None:
        """End what runs, at its next token, and give back the memory."""
        self._closing.set()
        await self._batches.close()
        if self._lm is not None:
            import torch

            self._lm = None
            torch.cuda.empty_cache()

    def _generate(self, chats: list[Chat]) -> list[Answer]:
        """Answer chats together, like with like; those with less room than others are answered alone.

        A batch ends for all of its chats at the same token, and the others would lose room to such a one.
        """
        lm = self._lm = self._lm or self._loaded()
        rows = [self._row(lm, place, chat) for place, chat in enumerate(chats)]
        answers: dict[int, Answer] = {row.place: _too_long(row, lm) for row in rows if row.limit < 1}
        groups = [[row] for row in rows if 1 <= row.limit < self._sampling.max_tokens]
        roomy = sorted((row for row in rows if row.limit == self._sampling.max_tokens), key=lambda row: len(row.ids))
        groups += [roomy[start : start + self._fits] for start in range(0, len(roomy), self._fits)]
        while groups:
            group = groups.pop()
            written = self._written(lm, group)
            if written is not None:
                answers |= written
            elif len(group) == 1:
                answers[group[0].place] = _no_memory(group[0])
            else:
                half = self._halve(len(group))
                groups += [group[:half], group[half:]]
        return [answers[place] for place in range(len(chats))]

    def _loaded(self) -> CausalLM:
        settings = self._settings
        return CausalLM.of(*self._load(), name=settings.model, device=settings.device, dtype=settings.dtype)

    def _row(self, lm: CausalLM, place: int, chat: Chat) -> _Row:
        ids, limit = lm.turns.ids(chat.messages), self._sampling.max_tokens
        return _Row(place, chat, ids, limit if lm.context is None else min(limit, lm.context - len(ids)))

    def _halve(self, size: int) -> int:
        """So many chats at most from now on."""
        half = size // 2
        if half < self._fits:
            log.warning("%d chats do not fit into the device's memory; from now on %d together", size, half)
            self._fits = half
        return half

    def _written(self, lm: CausalLM, rows: Sequence[_Row]) -> dict[int, Completion] | None:
        """Completions by the chats' numbers; ``None`` where the device's memory does not suffice."""
        import torch

        try:
            return self._write(lm, rows)
        except torch.OutOfMemoryError:
            pass
        torch.cuda.empty_cache()  # not before here, where no traceback holds what did not fit
        return None

    def _write(self, lm: CausalLM, rows: Sequence[_Row]) -> dict[int, Completion]:
        from transformers import LogitsProcessorList, StoppingCriteriaList

        ids_BT, attention_BT = padded([row.ids for row in rows], pad_id=lm.pad_id)
        start = ids_BT.shape[1]
        chats = [row.chat for row in rows]
        is_random = any(temperature_of(chat, self._sampling) for chat in chats)
        draws = [Draws(chats, self._sampling, start=start)] if is_random else []
        generate: Any = lm.model.generate
        written_BT = generate(
            ids_BT.to(lm.model.device),
            attention_mask=attention_BT.to(lm.model.device),
            max_new_tokens=rows[0].limit,
            do_sample=False,
            eos_token_id=list(lm.stop_ids),
            pad_token_id=lm.pad_id,
            logits_processor=LogitsProcessorList(draws),
            stopping_criteria=StoppingCriteriaList([_stops_when(self._closing)]),
        )
        if self._closing.is_set():
            raise UnavailableError(f"{self.name} was closed")
        return {
            row.place: _completion(lm, row, ids) for row, ids in zip(rows, written_BT[:, start:].tolist(), strict=True)
        }


def _completion(lm: CausalLM, row: _Row, ids: list[int]) -> Completion:
    end = next((place for place, token in enumerate(ids) if token in lm.stop_ids), None)
    text = lm.tokenizer.decode(ids[:end], skip_special_tokens=True)
    usage = Usage(1, len(row.ids), len(ids) if end is None else end + 1)
    return Completion(str(text).strip(), cut=end is None, usage=usage)


def _too_long(row: _Row, lm: CausalLM) -> BadReplyError:
    return BadReplyError(f"the request has {len(row.ids)} tokens, and the model reads {lm.context} at most")


def _no_memory(row: _Row) -> BadReplyError:
    return BadReplyError(f"the request has {len(row.ids)} tokens, and does not fit into the device's memory alone")


def _stops_when(closing: threading.Event) -> Callable[..., Tensor]:
    """A stopping criterion; a plain function, since transformers copies criteria with all that they hold."""

    def must_stop(input_ids: Tensor, scores: Any, **others: Any) -> Tensor:
        import torch

        return torch.full((len(input_ids),), closing.is_set(), device=input_ids.device)

    return must_stop
