"""A model of transformers as teacher: what it writes for a chat is what the model alone would write."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.chat import Chat, Completion, Message, Sampling
from clara_lightning.synthesis.teacher import BadReplyError
from clara_lightning.synthesis.teachers.draws import choose, seed_of
from clara_lightning.synthesis.teachers.transformers_model import TransformersModel, TransformersSettings

CONTEXT = 1024
GREEDY = Sampling(max_tokens=12)
DRAWN = Sampling(temperature=1.0, max_tokens=12)
SETTINGS = TransformersSettings(model="tiny", device="cpu", batch_size=4)

Load = Callable[[], tuple[PreTrainedModel, PreTrainedTokenizerFast]]
Make = Callable[..., TransformersModel]


def chat(text: str, *, attempt: int = 0) -> Chat:
    system: Message = {"role": "system", "content": "Ask about the text."}
    return Chat((system, {"role": "user", "content": text}), schema={}, schema_name="any", attempt=attempt)


CHATS = [chat("Oslo."), chat("Rome lies on the river Tiber, and is the capital of Italy."), chat("Paris is " * 20)]


@pytest.fixture
def load(tiny_model: Callable[..., PreTrainedModel], tiny_tokenizer: Callable[..., PreTrainedTokenizerFast]) -> Load:
    def loaded() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        tokenizer = tiny_tokenizer()
        return tiny_model("llama", vocab_size=len(tokenizer)), tokenizer

    return loaded


@pytest.fixture
def make(load: Load) -> Make:
    def made(sampling: Sampling = GREEDY, *, load: Load = load, **settings: Any) -> TransformersModel:
        return TransformersModel(replace(SETTINGS, **settings), sampling=sampling, load=load)

    return made


def ask(model: TransformersModel, chats: Sequence[Chat]) -> list[Any]:
    """What the model has for each, and an end to it."""

    async def all_of_it() -> list[Any]:
        answers = await asyncio.gather(*map(model.complete, chats), return_exceptions=True)
        await model.close()
        return answers

    return asyncio.run(all_of_it())


def texts(model: TransformersModel, chats: Sequence[Chat]) -> list[str]:
    return [answer.text for answer in ask(model, chats)]


def prompt_of(tokenizer: PreTrainedTokenizerFast, one: Chat) -> list[int]:
    """As the fixture's template writes it, by hand."""
    turns = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in one.messages)
    return tokenizer(f"<s>{turns}<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]


@torch.no_grad()
def likeliest(load: Load, one: Chat, *, length: int) -> list[int]:
    """The likeliest next token again and again: no batch, no padding, no cache."""
    model, tokenizer = load()
    ids = prompt_of(tokenizer, one)
    written: list[int] = []
    while len(written) < length:
        written.append(int(model(torch.tensor([ids + written])).logits[0, -1].argmax()))
        if written[-1] in (tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")):
            break
    return written


def ending_after(number: int, load: Load) -> Load:
    """The model, made to end its turn as soon as it has written ``number`` tokens."""

    def loaded() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        model, tokenizer = load()
        end, calls = tokenizer.convert_tokens_to_ids("<|im_end|>"), iter(range(10_000))

        def end_turn(module: Any, given: Any, output: Any) -> None:
            if next(calls) == number:
                output.logits[..., end] = 1e4

        model.register_forward_hook(end_turn)
        return model, tokenizer

    return loaded


def test_at_temperature_0_it_writes_the_likeliest_tokens(make: Make, load: Load) -> None:
    tokenizer = load()[1]
    expected = [tokenizer.decode(likeliest(load, one, length=12), skip_special_tokens=True).strip() for one in CHATS]
    assert texts(make(), CHATS) == expected
    assert len(set(expected)) == len(CHATS)


def test_it_counts_what_it_read_and_wrote(make: Make, load: Load) -> None:
    tokenizer = load()[1]
    for one, answer in zip(CHATS, ask(make(), CHATS), strict=True):
        assert answer.usage.requests == 1
        assert answer.usage.prompt_tokens == len(prompt_of(tokenizer, one))
        assert answer.usage.completion_tokens == len(likeliest(load, one, length=12))


def test_what_is_too_long_is_cut(make: Make) -> None:
    answer = ask(make(), CHATS[:1])[0]
    assert answer.cut and answer.usage.completion_tokens == 12


def test_the_end_of_turn_ends_an_answer_and_is_no_part_of_it(make: Make, load: Load) -> None:
    answer = ask(make(load=ending_after(3, load)), CHATS[:1])[0]
    tokenizer = load()[1]
    assert answer == Completion(
        tokenizer.decode(likeliest(load, CHATS[0], length=3)).strip(), cut=False, usage=answer.usage
    )
    assert answer.usage.completion_tokens == 4


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN])
def test_company_changes_nothing(make: Make, sampling: Sampling) -> None:
    together = texts(make(sampling), CHATS)
    assert together == [texts(make(sampling), [one])[0] for one in CHATS]
    assert together[::-1] == texts(make(sampling, batch_size=2), CHATS[::-1])


def test_draws_change_with_seed_and_attempt_alone(make: Make) -> None:
    first = texts(make(DRAWN), CHATS)
    assert first == texts(make(DRAWN), CHATS)
    again = [chat(one.messages[1]["content"], attempt=1) for one in CHATS]
    seeds = {seed_of(one, seed=0) for one in [*CHATS, *again]} | {seed_of(one, seed=5) for one in CHATS}
    assert len(seeds) == 3 * len(CHATS)
    assert first != texts(make(DRAWN), again)
    assert first != texts(make(replace(DRAWN, seed=5)), CHATS)


def test_a_later_attempt_draws_where_the_first_takes_the_likeliest(make: Make) -> None:
    again = chat("Oslo.", attempt=1)
    together = texts(make(), [CHATS[0], again, CHATS[1]])
    assert together[1] != together[0]
    assert [together[0], together[2]] == texts(make(), CHATS[:2])
    assert together[1] == texts(make(), [again])[0]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 0.9), (2.0, 0.4), (1.0, 1e-9)])
def test_tokens_are_drawn_as_often_as_they_are_likely(temperature: float, top_p: float) -> None:
    logits = np.random.default_rng(0).normal(size=20)
    weights = np.exp(logits / temperature)
    weights /= weights.sum()
    order = np.argsort(-weights)
    before = np.concatenate([[0.0], np.cumsum(weights[order])[:-1]])
    kept = order[(before < top_p) | (before == 0)]
    expected = np.zeros(20)
    expected[kept] = weights[kept] / weights[kept].sum()
    count = 200_000
    evenly = (torch.arange(count) + 0.5) / count
    chosen = choose(
        torch.tensor(logits).expand(count, -1), evenly, temperatures_B=torch.full((count,), temperature), top_p=top_p
    )
    found = np.bincount(chosen.numpy(), minlength=20) / count
    np.testing.assert_allclose(found, expected, atol=2 / count)


def test_what_the_models_author_prefers_plays_no_part(make: Make, load: Load) -> None:
    def with_preferences() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        model, tokenizer = load()
        model.generation_config.repetition_penalty = 9.0
        model.generation_config.max_length = 3
        return model, tokenizer

    assert texts(make(load=with_preferences), CHATS) == texts(make(), CHATS)


def test_every_token_that_the_author_lets_a_turn_end_with_ends_it(make: Make, load: Load) -> None:
    first = likeliest(load, CHATS[0], length=1)[0]

    def ends_at_once() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        model, tokenizer = load()
        model.generation_config.eos_token_id = [1, first]
        return model, tokenizer

    answer = ask(make(load=ends_at_once), CHATS[:1])[0]
    assert answer.text == "" and not answer.cut


def test_a_chat_longer_than_the_context_is_refused_alone_with_both_numbers(make: Make, load: Load) -> None:
    long = chat("salt " * CONTEXT)
    size = len(prompt_of(load()[1], long))
    refused, answered = ask(make(), [long, CHATS[0]])
    assert isinstance(refused, BadReplyError) and isinstance(answered, Completion)
    assert str(refused) == f"the request has {size} tokens, and the model reads {CONTEXT} at most"


def test_a_chat_that_leaves_little_room_gets_it_and_takes_none_from_others(make: Make, load: Load) -> None:
    spare = chat("Z" * (CONTEXT - 5 - len(prompt_of(load()[1], chat("")))))  # a token for each Z
    short, cramped = ask(make(), [CHATS[0], spare])
    assert short.usage.completion_tokens == 12
    assert cramped.cut and cramped.usage.completion_tokens == 5


def out_of_memory_above(size: int, load: Load, sizes: list[int]) -> Load:
    """The model on a device that holds no more than ``size`` chats; notes the sizes that it was asked for."""

    def loaded() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        model, tokenizer = load()
        generate = model.generate

        def limited(ids: torch.Tensor, **others: Any) -> Any:
            sizes.append(len(ids))
            if len(ids) > size:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return generate(ids, **others)

        model.generate = limited  # type: ignore[method-assign,assignment]
        return model, tokenizer

    return loaded


def test_what_does_not_fit_is_halved_for_good_and_said_once(
    make: Make, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    sizes: list[int] = []
    chats = [chat(f"Town {number} sells salt.") for number in range(16)]
    with caplog.at_level(logging.WARNING, logger="clara_lightning"):
        answers = texts(make(load=out_of_memory_above(4, load, sizes), batch_size=8), chats)
    assert answers == texts(make(batch_size=8), chats)
    assert sizes == [8, 4, 4, 4, 4]
    assert caplog.messages == ["8 chats do not fit into the device's memory; from now on 4 together"]


def test_a_chat_that_does_not_fit_alone_is_refused(make: Make, load: Load) -> None:
    refused = ask(make(load=out_of_memory_above(0, load, [])), CHATS[:1])[0]
    assert isinstance(refused, BadReplyError) and str(refused).endswith("does not fit into the device's memory alone")


def test_a_template_without_a_system_role_gets_its_words_before_the_users(
    make: Make, load: Load, tiny_tokenizer: Callable[..., PreTrainedTokenizerFast]
) -> None:
    def no_system() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        return load()[0], tiny_tokenizer(chat="no_system")

    one = Chat(({"role": "user", "content": "Ask about the text.\n\nOslo."},), schema={}, schema_name="any")
    assert texts(make(load=no_system), CHATS[:1]) == texts(make(load=no_system), [one]) == texts(make(), [one])


def test_a_model_without_a_chat_template_is_refused(
    make: Make, load: Load, tiny_tokenizer: Callable[..., PreTrainedTokenizerFast]
) -> None:
    refused = ask(make(load=lambda: (load()[0], tiny_tokenizer(chat="none"))), CHATS)
    assert all(isinstance(one, ClaraError) for one in refused)
    assert str(refused[0]).startswith("--model: tiny has no chat template")


def test_nothing_is_loaded_before_it_is_asked_and_then_once(make: Make, load: Load) -> None:
    loads: list[int] = []

    def counted() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        loads.append(1)
        return load()

    model = make(load=counted, batch_size=1)
    assert model.identity["model"] == "tiny" and not loads
    ask(model, CHATS)
    assert len(loads) == 1


def test_closing_ends_what_runs_at_its_next_token(make: Make, load: Load) -> None:
    steps, is_running = iter(range(10_000)), threading.Event()

    def until_closed(module: Any, given: Any) -> None:
        if next(steps) == 2:
            is_running.set()
            assert model._closing.wait(timeout=30)

    def watched() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        loaded, tokenizer = load()
        loaded.register_forward_pre_hook(until_closed)
        return loaded, tokenizer

    model = make(Sampling(max_tokens=500), load=watched)

    async def work() -> None:
        task = asyncio.create_task(model.complete(CHATS[0]))
        while not is_running.is_set():
            await asyncio.sleep(0)
        await model.close()
        assert task.cancelled()

    asyncio.run(work())
    assert next(steps) == 3


def test_identity_holds_what_the_text_depends_on_and_no_path(make: Make) -> None:
    model = make(DRAWN, model="/data/models/tiny", batch_size=2)
    assert json.loads(json.dumps(model.identity)) == {
        "engine": "transformers",
        "model": "tiny",
        "dtype": "auto",
        "sampling": asdict(DRAWN),
        "schema": False,
    }
    assert model.name == "tiny"
    assert model.identity == make(DRAWN, model="../tiny/").identity


def test_weights_stand_in_the_dtype_that_is_asked_for(make: Make, load: Load) -> None:
    model, tokenizer = load()
    ask(make(load=lambda: (model, tokenizer), dtype="bfloat16"), CHATS[:1])
    assert model.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "--device: expected cuda, cuda:1, mps or cpu, got 'gpu'"),
        ("cuda:99", "--device cuda:99: there is no such device here"),
    ],
)
def test_a_device_that_is_not_there_is_one_line(make: Make, device: str, message: str) -> None:
    (mistake,) = ask(make(device=device), CHATS[:1])
    assert isinstance(mistake, ClaraError) and str(mistake) == message


def test_a_batch_size_below_1_is_refused() -> None:
    with pytest.raises(ClaraError, match=r"^--batch-size must be 1 or more, got 0$"):
        replace(SETTINGS, batch_size=0)
