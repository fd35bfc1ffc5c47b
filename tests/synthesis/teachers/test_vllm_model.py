"""vLLM as teacher, against a stand-in with vLLM 0.33's signatures, which the last tests compare with the real ones.

vLLM needs a GPU, so these tests say what it is asked for and how its answers are taken, not what it answers.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
from transformers import PreTrainedTokenizerFast

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.chat import Chat, Completion, Sampling
from clara_lightning.synthesis.tasks import TASKS
from clara_lightning.synthesis.teacher import BadReplyError, UnavailableError, Usage
from clara_lightning.synthesis.teachers.vllm_model import VllmModel, VllmSettings

MISSING = "--teacher vllm needs the extra vllm: pip install 'clara-lightning[vllm]'"
SCHEMA = TASKS["coverage"].schema
CONTEXT = 64


class VLLMClientError(Exception):
    """As ``vllm.exceptions`` has it: no ValueError."""


@dataclass
class StructuredOutputsParams:
    json: str | dict[str, Any] | None = None
    regex: str | None = None


@dataclass
class SamplingParams:
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    max_tokens: int | None = 16
    structured_outputs: StructuredOutputsParams | None = None


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: Sequence[int]
    finish_reason: str | None = None


@dataclass
class RequestOutput:
    request_id: str
    prompt_token_ids: list[int] | None
    outputs: list[CompletionOutput]


class LLM:
    """Says the last message again in capitals; "cut" and "error" end so, and what is too long is refused with all."""

    tokenizer: Any = None
    made: ClassVar[list[LLM]] = []

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "auto",
        tensor_parallel_size: int = 1,
        gpu_memory_utilization: float = 0.92,
        trust_remote_code: bool = False,
        max_model_len: int | None = None,  # one of the real one's **kwargs
    ) -> None:
        if model == "nowhere":
            raise OSError("nowhere is not a local folder\nand no model of the hub")
        self.settings = (dtype, max_model_len, tensor_parallel_size, gpu_memory_utilization, trust_remote_code)
        self.context = max_model_len or CONTEXT
        self.calls: list[SimpleNamespace] = []
        LLM.made.append(self)

    def get_tokenizer(self) -> Any:
        return LLM.tokenizer

    def chat(
        self,
        messages: Sequence[list[dict[str, str]]],
        sampling_params: Sequence[SamplingParams] | None = None,
        use_tqdm: bool = True,
        lora_request: Any = None,
        priority: Any = None,
        chat_template: str | None = None,
        chat_template_content_format: str = "auto",
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        tools: Any = None,
        chat_template_kwargs: dict[str, Any] | None = None,
    ) -> list[RequestOutput]:
        assert sampling_params is not None and len(messages) == len(sampling_params)
        said = [talk[-1]["content"] for talk in messages]
        for text in said:
            if len(text) > self.context:
                raise VLLMClientError(f"maximum context length is {CONTEXT} tokens.\nYour prompt contains {len(text)}")
        template = SimpleNamespace(template=chat_template, options=chat_template_kwargs, use_tqdm=use_tqdm)
        self.calls.append(SimpleNamespace(messages=messages, parameters=sampling_params, **vars(template)))
        return [self._output(number, text) for number, text in enumerate(said)]

    def _output(self, number: int, text: str) -> RequestOutput:
        ends = {"cut": "length", "error": "error"}
        written = CompletionOutput(0, f" {text.upper()}\n", range(3), ends.get(text, "stop"))
        return RequestOutput(str(number), list(range(len(text))), [written])


def stand_in() -> dict[str, ModuleType]:
    """The modules of vLLM that are used, by name."""
    holds = {
        "vllm": {"LLM": LLM},
        "vllm.sampling_params": {
            "SamplingParams": SamplingParams,
            "StructuredOutputsParams": StructuredOutputsParams,
        },
        "vllm.exceptions": {"VLLMClientError": VLLMClientError},
    }
    modules = {name: ModuleType(name) for name in holds}
    for name, values in holds.items():
        vars(modules[name]).update(values)
    return modules


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Callable[..., PreTrainedTokenizerFast]) -> Iterator[None]:
    """The stand-in, as if it were installed."""
    for name, module in stand_in().items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_NO_USAGE_STATS", "VLLM_LOGGING_LEVEL"):
        monkeypatch.setenv(name, "")  # so that what is set is taken back
        monkeypatch.delenv(name)
    monkeypatch.setattr(LLM, "tokenizer", tiny_tokenizer())
    monkeypatch.setattr(LLM, "made", [])
    yield


def make(sampling: Sampling = Sampling(), **settings: Any) -> VllmModel:
    return VllmModel(VllmSettings(**({"model": "acme/llama"} | settings)), sampling=sampling)


def chat(text: str, *, schema: Any = SCHEMA, attempt: int = 0) -> Chat:
    return Chat(({"role": "system", "content": "Ask."}, {"role": "user", "content": text}), schema, "coverage", attempt)


def ask(model: VllmModel, *chats: Chat) -> list[Any]:
    async def all_of_it() -> list[Any]:
        answers = await asyncio.gather(*map(model.complete, chats), return_exceptions=True)
        await model.close()
        return answers

    return asyncio.run(all_of_it())


def test_chats_that_are_open_together_are_one_call(vllm: None) -> None:
    answers = ask(make(), chat("a"), chat("bb"))
    assert answers == [Completion("A", False, Usage(1, 1, 3)), Completion("BB", False, Usage(1, 2, 3))]
    (call,) = LLM.made[0].calls
    assert call.messages == [list(chat("a").messages), list(chat("bb").messages)]
    assert call.use_tqdm is False


def test_each_chat_is_held_to_its_own_schema(vllm: None) -> None:
    other = TASKS["answer"].schema
    ask(make(), chat("a"), chat("bb", schema=other), chat("ccc", schema={}))
    held = [one.structured_outputs for one in LLM.made[0].calls[0].parameters]
    assert held == [StructuredOutputsParams(json=SCHEMA), StructuredOutputsParams(json=other), None]


def test_tokens_are_chosen_as_the_sampling_says_with_a_seed_for_each_attempt(vllm: None) -> None:
    sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=50, seed=10)
    ask(make(sampling), chat("a"), chat("bb", attempt=2))
    found = [(one.temperature, one.top_p, one.max_tokens, one.seed) for one in LLM.made[0].calls[0].parameters]
    assert found == [(0.7, 0.9, 50, 10), (0.7, 0.9, 50, 12)]


def test_a_later_attempt_draws_where_the_first_takes_the_likeliest(vllm: None) -> None:
    ask(make(), chat("a"), chat("bb", attempt=1))
    first, second = (one.temperature for one in LLM.made[0].calls[0].parameters)
    assert first == 0 and second > 0


def test_an_answer_that_ended_at_its_limit_is_cut(vllm: None) -> None:
    assert [answer.cut for answer in ask(make(), chat("cut"), chat("a"))] == [True, False]


def test_an_answer_that_failed_inside_is_not_available(vllm: None) -> None:
    failed, answered = ask(make(), chat("error"), chat("a"))
    assert isinstance(failed, UnavailableError) and isinstance(answered, Completion)


def test_a_chat_that_is_too_long_is_refused_and_the_others_are_answered(vllm: None) -> None:
    answers = ask(make(), *(chat(text) for text in ("a", "b" * 65, "c", "d", "e" * 70)))
    assert [answers[place].text for place in (0, 2, 3)] == ["A", "C", "D"]
    assert str(answers[1]) == "maximum context length is 64 tokens. Your prompt contains 65"
    assert all(isinstance(answers[place], BadReplyError) for place in (1, 4))


def test_the_template_gets_no_date_and_asks_for_no_thoughts(vllm: None) -> None:
    ask(make(), chat("a"))
    (call,) = LLM.made[0].calls
    assert call.template == LLM.tokenizer.chat_template
    assert call.options == {"enable_thinking": False, "date_string": "26 Jul 2024"}


def test_a_template_without_a_system_role_gets_its_words_before_the_users(
    vllm: None, tiny_tokenizer: Callable[..., PreTrainedTokenizerFast]
) -> None:
    LLM.tokenizer = tiny_tokenizer(chat="no_system")
    ask(make(), chat("a"))
    assert LLM.made[0].calls[0].messages == [[{"role": "user", "content": "Ask.\n\na"}]]


def test_a_tokenizer_with_rules_of_its_own_is_left_to_them(vllm: None) -> None:
    LLM.tokenizer = SimpleNamespace()
    ask(make(), chat("a"))
    (call,) = LLM.made[0].calls
    assert call.messages == [list(chat("a").messages)] and call.template is None and call.options is None


def test_settings_reach_the_engine(vllm: None) -> None:
    model = make(dtype="float16", context=128, num_gpus=2, gpu_memory=0.5, trust_remote_code=True)
    assert not LLM.made  # before it is asked
    ask(model, chat("a"))
    assert [engine.settings for engine in LLM.made] == [("float16", 128, 2, 0.5, True)]


def test_the_engine_stays_in_this_process_and_reports_to_nobody(vllm: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "DEBUG")
    ask(make(), chat("a"))
    assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0" and os.environ["VLLM_NO_USAGE_STATS"] == "1"
    assert os.environ["VLLM_LOGGING_LEVEL"] == "DEBUG"  # the user's own


def test_identity_holds_what_the_text_depends_on_and_no_path(vllm: None) -> None:
    model = make(model="/data/models/llama", batch_size=3)
    assert json.loads(json.dumps(model.identity)) == {
        "engine": "vllm",
        "model": "llama",
        "dtype": "auto",
        "sampling": asdict(Sampling()),
        "schema": True,
        "context": None,
    }
    assert model.name == "llama"


def test_without_vllm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    (mistake,) = ask(make(), chat("a"))
    assert isinstance(mistake, ClaraError) and str(mistake) == MISSING


def test_a_model_that_cannot_be_loaded_is_one_line(vllm: None) -> None:
    (mistake,) = ask(make(model="nowhere"), chat("a"))
    assert isinstance(mistake, ClaraError)
    assert str(mistake) == "--model: vLLM cannot load 'nowhere': nowhere is not a local folder and no model of the hub"


def test_a_model_without_a_chat_template_is_refused(
    vllm: None, tiny_tokenizer: Callable[..., PreTrainedTokenizerFast]
) -> None:
    LLM.tokenizer = tiny_tokenizer(chat="none")
    (mistake,) = ask(make(), chat("a"))
    assert isinstance(mistake, ClaraError) and "acme/llama has no chat template" in str(mistake)


def real(name: str) -> Any:
    """A module of the installed vLLM."""
    pytest.importorskip("vllm", reason="the extra vllm is not installed")
    return pytest.importorskip(name)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("vllm.sampling_params", "SamplingParams"),
        ("vllm.sampling_params", "StructuredOutputsParams"),
        ("vllm.outputs", "CompletionOutput"),
        ("vllm.outputs", "RequestOutput"),
    ],
)
def test_the_stand_ins_fields_are_vllms(module: str, name: str) -> None:
    known = inspect.signature(getattr(real(module), name)).parameters
    assert set(inspect.signature(globals()[name]).parameters) <= set(known)


def test_the_stand_ins_engine_is_called_as_vllms() -> None:
    engine = real("vllm").LLM
    ours, theirs = (list(inspect.signature(one.chat).parameters) for one in (LLM, engine))
    assert theirs[: len(ours)] == ours
    known = {*inspect.signature(engine).parameters, *inspect.signature(real("vllm").EngineArgs).parameters}
    assert set(VllmSettings(model="acme/llama").arguments) <= known
    assert issubclass(real("vllm.exceptions").VLLMValidationError, real("vllm.exceptions").VLLMClientError)
