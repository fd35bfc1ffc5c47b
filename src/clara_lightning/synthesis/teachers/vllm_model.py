"""A language model in vLLM as teacher, in this process.

Written against vLLM 0.33, whose source was read for it; vLLM itself needs a GPU, and this was not run where it was
written. Tests put a stand-in in its place.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.chat import Chat, Completion, Sampling
from clara_lightning.synthesis.teacher import BadReplyError, UnavailableError, Usage
from clara_lightning.synthesis.teachers.batches import Answer, Batches
from clara_lightning.synthesis.teachers.local import check_batch_size, identity_of, plain_name, temperature_of
from clara_lightning.synthesis.teachers.turns import Turns

# Set unless the user did. The engine in this process: it ends with it, whatever ends it, and schedules alike each time.
_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}


@dataclass(frozen=True)
class VllmSettings:
    """Which model, and how vLLM runs it.

    Args:
        model: hub id or folder.
        dtype: of the weights, as vLLM names it.
        batch_size: so many chats are handed over together at most; vLLM forms its own batches of them.
        context: tokens of a request and its answer at most; by default what the model can.
        num_gpus: that the model is spread over.
        gpu_memory: share of each GPU's memory that vLLM may take (0 to 1).
        trust_remote_code: run Python code that the model's repository ships.
    """

    model: str
    dtype: str = "auto"
    batch_size: int = 256
    context: int | None = None
    num_gpus: int = 1
    gpu_memory: float = 0.9
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)

    @property
    def arguments(self) -> dict[str, Any]:
        """For ``vllm.LLM``."""
        return {
            "model": self.model,
            "dtype": self.dtype,
            "max_model_len": self.context,
            "tensor_parallel_size": self.num_gpus,
            "gpu_memory_utilization": self.gpu_memory,
            "trust_remote_code": self.trust_remote_code,
        }


class VllmModel:
    """A model in vLLM; its text is held to the chat's schema.

    The model is loaded when it is first asked, in the thread that asks it. A batch that has begun is finished, also
    when the model is closed meanwhile.

    Args:
        settings: which model, and how it runs.
        sampling: how tokens are chosen; temperature 0 takes the likeliest, and draws in later attempts alone.

    Attributes:
        name: the model's, without the folders that it lies in.
        identity: engine, model, dtype and context as they are asked for, and sampling.
    """

    def __init__(self, settings: VllmSettings, *, sampling: Sampling) -> None:
        self.name = plain_name(settings.model)
        self.identity: Mapping[str, Any] = {
            **identity_of("vllm", self.name, sampling=sampling, dtype=settings.dtype, schema=True),
            "context": settings.context,
        }
        self._settings = settings
        self._sampling = sampling
        self._engine: _Engine | None = None
        self._batches = Batches(self._generate, batch_size=settings.batch_size)

    async def complete(self, chat: Chat) -> Completion:
        """The model's next turn; see :class:`clara_lightning.synthesis.chat.ChatModel`.

        Raises:
            BadReplyError: the chat is longer than the model's context.
            ClaraError: vLLM is not installed, or cannot load the model; the model has no chat template.
        """
        return await self._batches.complete(chat)

    async def close(self) -> None:
        """End the thread, and give back the model."""
        await self._batches.close()
        self._engine = None

    def _generate(self, chats: list[Chat]) -> list[Answer]:
        """vLLM refuses all chats for the sake of one: their halves are tried, until that one is alone."""
        engine = self._engine = self._engine or _Engine(self._settings)
        try:
            return engine.answers(chats, self._sampling)
        except engine.refusals as error:
            if len(chats) == 1:
                return [BadReplyError(" ".join(str(error).split()))]
        half = len(chats) // 2
        return [*self._generate(chats[:half]), *self._generate(chats[half:])]


class _Engine:
    """vLLM with a model.

    Attributes:
        refusals: what it raises where a chat cannot be answered.
    """

    def __init__(self, settings: VllmSettings) -> None:
        vllm = _vllm()
        self.refusals = (ValueError, importlib.import_module("vllm.exceptions").VLLMClientError)
        self._parameters = importlib.import_module("vllm.sampling_params")
        try:
            self._llm = vllm.LLM(**settings.arguments)
        except (OSError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ClaraError(f"--model: vLLM cannot load {settings.model!r}: {reason}") from error
        self._turns = _turns(self._llm, model=settings.model)

    def answers(self, chats: list[Chat], sampling: Sampling) -> list[Answer]:
        """What the model writes for each chat."""
        options: dict[str, Any] = {}
        conversations = [list(chat.messages) for chat in chats]
        if self._turns is not None:
            conversations = [self._turns.fitted(chat.messages) for chat in chats]
            options["chat_template_kwargs"] = dict(self._turns.options)
            options["chat_template"] = options["chat_template_kwargs"].pop("chat_template")
        parameters = [self._parameters_of(chat, sampling) for chat in chats]
        return [_answer(output) for output in self._llm.chat(conversations, parameters, use_tqdm=False, **options)]

    def _parameters_of(self, chat: Chat, sampling: Sampling) -> Any:
        schema = self._parameters.StructuredOutputsParams(json=dict(chat.schema)) if chat.schema else None
        return self._parameters.SamplingParams(
            temperature=temperature_of(chat, sampling),
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            seed=sampling.seed + chat.attempt,
            structured_outputs=schema,
        )


def _vllm() -> Any:
    os.environ |= {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    try:
        return importlib.import_module("vllm")
    except ImportError as error:
        if error.name == "vllm":
            raise ClaraError("--teacher vllm needs the extra vllm: pip install 'clara-lightning[vllm]'") from error
        raise ClaraError(f"--teacher vllm: the installed vllm cannot be imported: {error}") from error


def _turns(llm: Any, *, model: str) -> Turns | None:
    """The words of the model's chat template; ``None`` where its tokenizer writes conversations by rules of its own."""
    from transformers import PreTrainedTokenizerBase

    tokenizer = llm.get_tokenizer()
    return Turns(tokenizer, model=model) if isinstance(tokenizer, PreTrainedTokenizerBase) else None


def _answer(output: Any) -> Answer:
    """What vLLM gives for one conversation."""
    (written,) = output.outputs
    usage = Usage(1, len(output.prompt_token_ids or ()), len(written.token_ids))
    if written.finish_reason not in ("stop", "length"):
        return UnavailableError(f"vLLM ended an answer with {written.finish_reason!r}")
    return Completion(written.text.strip(), cut=written.finish_reason == "length", usage=usage)
