"""Answers and their losses: the same with nothing read twice as with everything read anew.

What both are by the definition is asked of every family in ``test_contract.py``.
"""

from __future__ import annotations

import copy
import math
import pickle
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clara_lightning.backbone import generation
from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, LoraSettings, copy_adapter, set_trainable
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.generation import PrefixCache, room
from clara_lightning.backbone.likelihood import AnswerLoss
from clara_lightning.backbone.memory import MemoryConfig
from clara_lightning.data.prompts import MEMORY, Prompt, PromptTemplate

Backbones = Callable[..., ClaraBackbone]
Greedy = Callable[..., list[int]]
Read = list[tuple[int, ...]]
STEPS = 12


def make_prompts(backbone: ClaraBackbone) -> list[Prompt]:
    """Different lengths; with two, no and one memory."""
    ask = backbone.prompts.ask
    return [ask("Which of them is larger, and why?", (MEMORY, MEMORY)), ask("Why?", ()), ask("Where?", (MEMORY,))]


def parts(memory: Tensor) -> list[Tensor | None]:
    return [memory[:2], None, memory[2:]]


def spoken(backbone: ClaraBackbone, tokens: list[int]) -> str:
    return str(backbone.tokenizer.decode(tokens, skip_special_tokens=True)).strip()


@torch.no_grad()
def test_the_bare_backbone_can_answer_too(tiny_backbone: Backbones, greedy_by_definition: Greedy) -> None:
    backbone = tiny_backbone(dtype=torch.float64)
    prompt = backbone.prompts.ask("Why?", ())
    wanted = spoken(backbone, greedy_by_definition(backbone, prompt, None, adapter=None, steps=STEPS))
    assert backbone.generate([prompt], max_new_tokens=STEPS, adapter=None) == [wanted]


@torch.no_grad()
def test_an_answer_stops_at_its_end_token_while_others_go_on(
    tiny_backbone: Backbones, greedy_by_definition: Greedy, documents: list[str]
) -> None:
    greedy = partial(greedy_by_definition, adapter=GENERATOR, steps=STEPS)
    backbone = tiny_backbone(dtype=torch.float64)
    memory, prompts = backbone.compress(documents[:3]), make_prompts(backbone)
    third = greedy(backbone, prompts[0], memory[:2])[2]
    backbone.tokenizer.eos_token = backbone.tokenizer.convert_ids_to_tokens(third)  # no special token, but an end
    tokens = [greedy(backbone, p, m) for p, m in zip(prompts, parts(memory), strict=True)]
    assert tokens[0][-1] == third and max(map(len, tokens)) == STEPS
    wanted = [spoken(backbone, row[:-1] if row[-1] == third else row) for row in tokens]
    assert backbone.generate(prompts, memory, max_new_tokens=STEPS) == wanted


@torch.no_grad()
def test_generation_settings_that_came_with_the_weights_have_no_say(
    tiny_tokenizer: Callable[..., object], tiny_model: Callable[..., object], tiny_backbone: Backbones
) -> None:
    answers = []
    for penalty in (None, 50.0):
        tokenizer = tiny_tokenizer()
        model = tiny_model("llama", vocab_size=len(tokenizer))  # type: ignore[arg-type]
        model.generation_config.repetition_penalty = penalty  # type: ignore[attr-defined]
        backbone = ClaraBackbone(
            model,  # type: ignore[arg-type]
            tokenizer,  # type: ignore[arg-type]
            memory=MemoryConfig(tokens=2, document_tokens=8),
            lora=LoraSettings(rank=2),
            prompt=PromptTemplate(),
        )
        answers.append(backbone.generate([backbone.prompts.ask("Why?", ())], max_new_tokens=STEPS))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("training", [True, False])
def test_mode_and_adapter_are_what_they_were(tiny_backbone: Backbones, training: bool) -> None:
    backbone = tiny_backbone(dropout=0.5).train(training)
    prompt = backbone.prompts.ask("Why?", ())
    with backbone.use_adapter(COMPRESSOR):
        first = backbone.generate([prompt], max_new_tokens=STEPS)
        assert backbone._layers[0].active_adapters == [COMPRESSOR]
    assert backbone.lm.training is training
    assert backbone.generate([prompt], max_new_tokens=STEPS) == first  # no dropout in answers


def test_mode_and_adapter_are_restored_after_an_error(tiny_backbone: Backbones) -> None:
    backbone = tiny_backbone().train()
    with pytest.raises(ValueError, match="places for 4"):
        backbone.generate([backbone.prompts.ask("Why?", (MEMORY,))])
    assert backbone.lm.training
    assert backbone._layers[0].active_adapters == [COMPRESSOR]


def test_a_checkpointed_backbone_in_training_answers_alike(tiny_backbone: Backbones) -> None:
    answers = []
    for checkpointing in (True, False):
        backbone = tiny_backbone(gradient_checkpointing=checkpointing).train()
        answers.append(backbone.generate([backbone.prompts.ask("Why?", ())], max_new_tokens=STEPS))
    assert answers[0] == answers[1]


# --- nothing is read twice ------------------------------------------------------------------------------------------


def scored_prompts(backbone: ClaraBackbone) -> list[Prompt]:
    """Different lengths, with memory, text and neither; answers of different lengths."""
    ask = backbone.prompts.ask
    return [
        ask("Which of them is larger, and why?", (MEMORY, MEMORY), answer="Rome"),
        ask("Why?", (), answer="nobody knows for sure"),
        ask("Where is it?", ("a text that goes on for some time", MEMORY), answer="in the north"),
    ]


def width_of(backbone: ClaraBackbone, prompts: list[Prompt]) -> int:
    """Tokens of the longest prompt, without its answer."""
    return backbone.prompts.encode([replace(prompt, answer=None) for prompt in prompts]).ids.shape[1]


@contextmanager
def whole_prompts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Scope in which nothing is kept of what was read."""
    with monkeypatch.context() as patch:
        patch.setattr(generation, "room", lambda backbone: 0)
        yield


def answered_and_scored(
    backbone: ClaraBackbone, prompts: list[Prompt], memory: Tensor | None, *, adapter: str | None = GENERATOR
) -> tuple[list[str], AnswerLoss]:
    reading = backbone.reading(prompts, memory, max_new_tokens=STEPS, adapter=adapter)
    return reading.answers(), reading.answer_loss()


def assert_same(one: tuple[list[str], AnswerLoss], other: tuple[list[str], AnswerLoss]) -> None:
    assert one[0] == other[0]
    torch.testing.assert_close(one[1].sum_B, other[1].sum_B, rtol=1e-5, atol=0)
    assert torch.equal(one[1].tokens_B, other[1].tokens_B)


@contextmanager
def recorded(backbone: ClaraBackbone) -> Iterator[Read]:
    """Scope that notes rows and places of everything that the trunk reads."""
    shapes: Read = []

    def note(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        read = named.get("inputs_embeds")
        shapes.append(tuple((named["input_ids"] if read is None else read).shape[:2]))

    hook = backbone.causal_lm.base_model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield shapes
    finally:
        hook.remove()


@pytest.mark.parametrize("adapter", [GENERATOR, None])
@pytest.mark.parametrize("family", ["llama", "qwen2", "phi", "phi3", "gpt2", "opt", "mistral", "gemma3"])
def test_answers_and_losses_are_those_of_whole_prompts(
    tiny_backbone: Backbones, monkeypatch: pytest.MonkeyPatch, documents: list[str], family: str, adapter: str | None
) -> None:
    backbone = tiny_backbone(family)
    prompts, memory = scored_prompts(backbone), backbone.compress(documents[:3])
    with whole_prompts(monkeypatch):
        wanted = answered_and_scored(backbone, prompts, memory, adapter=adapter)
    for _ in range(2):  # the prefix is new, and then kept
        assert_same(answered_and_scored(backbone, prompts, memory, adapter=adapter), wanted)
    loss_first = backbone.reading(prompts, memory, max_new_tokens=STEPS, adapter=adapter)
    loss = loss_first.answer_loss()
    assert_same((loss_first.answers(), loss), wanted)
    assert_same((wanted[0], backbone.answer_loss(prompts, memory, adapter=adapter)), wanted)


def test_a_prompt_alone_without_padding_is_answered_and_scored_alike(
    tiny_backbone: Backbones, monkeypatch: pytest.MonkeyPatch, documents: list[str]
) -> None:
    backbone = tiny_backbone()
    prompts, memory = scored_prompts(backbone), backbone.compress(documents[:3])
    for prompt, part in zip(prompts, (memory[:2], None, memory[2:]), strict=True):
        with whole_prompts(monkeypatch):
            wanted = answered_and_scored(backbone, [prompt], part)
        assert_same(answered_and_scored(backbone, [prompt], part), wanted)


def test_prompts_of_different_words_share_what_stands_before_them(
    tiny_backbone: Backbones, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone()
    told = Prompt("Say it again: {background}", ("it",), "it")
    prompts = [backbone.prompts.ask("Why?", ("text",), answer="so"), told]
    with whole_prompts(monkeypatch):
        wanted = answered_and_scored(backbone, prompts, None)
    with recorded(backbone) as read:
        assert_same(answered_and_scored(backbone, prompts, None), wanted)
    assert read[0] == (1, len(backbone.prompts.prefix(prompts)))


def test_the_prefix_is_read_once_for_all_prompts_and_calls(tiny_backbone: Backbones, documents: list[str]) -> None:
    backbone = tiny_backbone()
    prompts, memory = make_prompts(backbone), backbone.compress(documents[:3])
    prefix = len(backbone.prompts.prefix(prompts))
    width = width_of(backbone, prompts)
    reads = []
    for rows in (3, 3, 1):
        with recorded(backbone) as read:
            backbone.generate(prompts[:rows], memory[: 3 if rows == 3 else 2], max_new_tokens=2)
        reads.append(read)
    assert reads == [
        [(1, prefix), (3, width - prefix), (3, 1)],
        [(3, width - prefix), (3, 1)],
        [(1, width - prefix), (1, 1)],  # the first prompt is the longest
    ]


def test_each_reader_and_prefix_has_its_own(tiny_backbone: Backbones, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone()
    told, asked = Prompt("Say it again: {background}", ("it",)), backbone.prompts.ask("Why?", ())
    turns = [(asked, GENERATOR), (asked, None), (told, GENERATOR), (asked, GENERATOR), (asked, COMPRESSOR)] * 2
    with whole_prompts(monkeypatch):
        wanted = [backbone.generate([prompt], max_new_tokens=STEPS, adapter=adapter) for prompt, adapter in turns]
    assert [backbone.generate([prompt], max_new_tokens=STEPS, adapter=adapter) for prompt, adapter in turns] == wanted


def test_the_head_reads_contiguous_states(tiny_backbone: Backbones, documents: list[str]) -> None:
    backbone = tiny_backbone()
    head = backbone.causal_lm.get_output_embeddings()
    read: list[Tensor] = []
    hook = head.register_forward_hook(lambda _, arguments, logits: read.append(arguments[0]))

    backbone.generate(make_prompts(backbone), backbone.compress(documents[:3]), max_new_tokens=2)

    hook.remove()
    assert [states.shape[:2] for states in read] == [(3, 1)] * 2
    assert all(states.is_contiguous() for states in read)


def test_prompts_that_are_answered_and_scored_are_read_once(tiny_backbone: Backbones, documents: list[str]) -> None:
    backbone = tiny_backbone()
    prompts, memory = scored_prompts(backbone), backbone.compress(documents[:3])
    prefix, longest = len(backbone.prompts.prefix(prompts)), backbone.prompts.encode_answers(prompts).shape[1]
    rest = width_of(backbone, prompts) - prefix
    answered = backbone.reading(prompts, memory, max_new_tokens=2)  # the prefix is read
    with recorded(backbone) as read:
        answered.answers()
        answered.answer_loss()
    assert read == [(3, rest), (3, 1), (3, 1 + longest)]
    scored = backbone.reading(prompts, memory, max_new_tokens=2)
    with recorded(backbone) as read:
        scored.answer_loss()
        scored.answers()
    assert read == [(3, rest + longest), (3, 1), (3, 1)]


def test_scoring_again_gives_the_same(tiny_backbone: Backbones, documents: list[str]) -> None:
    backbone = tiny_backbone()
    reading = backbone.reading(scored_prompts(backbone), backbone.compress(documents[:3]), max_new_tokens=STEPS)
    first = reading.answers(), reading.answer_loss()
    for _ in range(2):
        assert_same((reading.answers(), reading.answer_loss()), first)


def test_losses_after_answers_of_different_lengths_are_those_before_them(
    tiny_backbone: Backbones, greedy_by_definition: Greedy, documents: list[str]
) -> None:
    backbone = tiny_backbone()
    memory, prompts = backbone.compress(documents[:3]), scored_prompts(backbone)
    first = backbone.prompts.ask("Which of them is larger, and why?", (MEMORY, MEMORY))
    third = greedy_by_definition(backbone, first, memory[:2], adapter=GENERATOR, steps=STEPS)[2]
    backbone.tokenizer.eos_token = backbone.tokenizer.convert_ids_to_tokens(third)
    reading = backbone.reading(prompts, memory, max_new_tokens=STEPS)
    loss = reading.answer_loss()
    assert len({len(backbone.tokenizer(text)["input_ids"]) for text in reading.answers()}) > 1
    assert_same(([], reading.answer_loss()), ([], loss))


def test_what_is_kept_of_the_prefix_is_not_changed_by_going_on_from_it(
    tiny_backbone: Backbones, documents: list[str]
) -> None:
    backbone = tiny_backbone()
    prompts, memory = scored_prompts(backbone), backbone.compress(documents[:3])
    prefix = backbone.prompts.prefix(prompts)
    kept: Any = backbone.prefixes.read(backbone, prefix, adapter=GENERATOR)
    before = [(layer.keys.clone(), layer.values.clone()) for layer in kept.layers]
    answered_and_scored(backbone, prompts, memory)
    answered_and_scored(backbone, prompts[:1], memory[:2])
    assert backbone.prefixes.read(backbone, prefix, adapter=GENERATOR) is kept
    assert kept.get_seq_length() == len(prefix)
    for layer, (keys, values) in zip(kept.layers, before, strict=True):
        assert torch.equal(layer.keys, keys) and torch.equal(layer.values, values)


# --- what was kept is never stale -----------------------------------------------------------------------------------


def train_a_step(backbone: ClaraBackbone, **options: Any) -> None:
    adapter = [p for name, p in backbone.lm.named_parameters() if f".{GENERATOR}." in name]
    optimizer = torch.optim.AdamW(adapter, lr=0.1, **options)
    backbone.answer_loss([backbone.prompts.ask("Why?", (), answer="so")]).mean.backward()
    optimizer.step()


def optimizer_step(backbone: ClaraBackbone) -> None:
    set_trainable(backbone.lm, [GENERATOR])  # behind the backbone's back
    train_a_step(backbone)
    set_trainable(backbone.lm, ())


def fused_optimizer_step(backbone: ClaraBackbone) -> None:
    backbone.train_only([GENERATOR])
    train_a_step(backbone, fused=True)
    backbone.train_only(())


def load_other_weights(backbone: ClaraBackbone) -> None:
    own = {name: value * 2 for name, value in backbone.state_dict().items() if "lora_" in name}
    backbone.load_state_dict(own, strict=False)


def copy_from_the_compressor(backbone: ClaraBackbone) -> None:
    copy_adapter(backbone.lm, source=COMPRESSOR, target=GENERATOR)


@torch.no_grad()
def change_a_frozen_weight(backbone: ClaraBackbone) -> None:
    backbone._layers[0].get_base_layer().weight.mul_(2)


@torch.no_grad()
def put_other_weights_in_their_place(backbone: ClaraBackbone) -> None:
    for layer in backbone._layers:
        part: Any = layer.lora_B[GENERATOR]
        part.weight = nn.Parameter(part.weight * 2, requires_grad=False)


def compute_in_another_dtype(backbone: ClaraBackbone) -> None:
    backbone.double()


@pytest.mark.parametrize(
    "change",
    [
        optimizer_step,
        fused_optimizer_step,
        load_other_weights,
        copy_from_the_compressor,
        change_a_frozen_weight,
        put_other_weights_in_their_place,
        compute_in_another_dtype,
    ],
)
def test_a_change_of_what_the_prefix_depends_on_has_it_read_anew(
    tiny_backbone: Backbones, monkeypatch: pytest.MonkeyPatch, change: Callable[[ClaraBackbone], None]
) -> None:
    backbone = tiny_backbone()
    prompts = [backbone.prompts.ask("Why?", (), answer="nobody knows")]
    prefix = (1, len(backbone.prompts.prefix(prompts)))
    answered_and_scored(backbone, prompts, None)
    with recorded(backbone) as read:
        before = answered_and_scored(backbone, prompts, None)
    assert prefix not in read
    change(backbone)
    with recorded(backbone) as read:
        after = answered_and_scored(backbone, prompts, None)
    assert read[0] == prefix
    with whole_prompts(monkeypatch):
        assert_same(after, answered_and_scored(backbone, prompts, None))
    assert change is compute_in_another_dtype or not torch.allclose(after[1].sum_B, before[1].sum_B, rtol=1e-4)


@torch.no_grad()
def test_weights_of_others_do_not_matter(tiny_backbone: Backbones) -> None:
    backbone = tiny_backbone()
    prompts = [backbone.prompts.ask("Why?", ())]
    prefix = (1, len(backbone.prompts.prefix(prompts)))
    for adapter in (GENERATOR, None):
        backbone.generate(prompts, adapter=adapter)
    for name, value in backbone.lm.named_parameters():
        if f".{COMPRESSOR}." in name:
            value.add_(1)
    with recorded(backbone) as read:
        for adapter in (GENERATOR, None):
            backbone.generate(prompts, adapter=adapter)
    assert prefix not in read


def test_lower_precision_inside_of_autocast_stays_there(
    tiny_backbone: Backbones, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone()
    prompts = [backbone.prompts.ask("Why?", (), answer="nobody knows")]
    with whole_prompts(monkeypatch):
        wanted = answered_and_scored(backbone, prompts, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answered_and_scored(backbone, prompts, None)
    assert_same(answered_and_scored(backbone, prompts, None), wanted)


def test_nothing_is_kept_for_a_reader_in_training(tiny_backbone: Backbones) -> None:
    backbone = tiny_backbone()
    prompts = [backbone.prompts.ask("Why?", ())]
    prefix = backbone.prompts.prefix(prompts)
    kept = weakref.ref(backbone.prefixes.read(backbone, prefix, adapter=GENERATOR))
    assert kept() is not None
    backbone.train_only([GENERATOR])
    assert kept() is None
    with recorded(backbone) as read:
        for _ in range(2):
            backbone.generate(prompts, max_new_tokens=1)
    assert read.count((1, len(prefix))) == 2


def test_copies_begin_with_nothing_kept(tiny_backbone: Backbones) -> None:
    backbone = tiny_backbone()
    prompts = [backbone.prompts.ask("Why?", ())]
    answers = backbone.generate(prompts)
    other = copy.deepcopy(backbone)
    with recorded(other) as read:
        assert other.generate(prompts) == answers
    assert read[0] == (1, len(backbone.prompts.prefix(prompts)))
    assert isinstance(pickle.loads(pickle.dumps(backbone.prefixes)), PrefixCache)


# --- where padding cannot stand behind a prefix ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "places"),
    [
        *((family, math.inf) for family in ("llama", "qwen2", "phi3", "gpt2", "opt", "falcon")),
        *((family, 8) for family in ("mistral", "gemma3", "gpt_oss", "gpt_neo")),  # attention windows
        *((family, 0) for family in ("bloom", "mpt")),  # no positions
        *((family, 0) for family in ("lfm2", "qwen3_5_text", "granitemoehybrid", "recurrent_gemma")),  # other states
    ],
)
def test_there_is_room_where_padding_does_not_count(tiny_backbone: Backbones, family: str, places: float) -> None:
    assert room(tiny_backbone(family)) == places


def test_there_is_no_room_with_weights_in_shards(tiny_backbone: Backbones, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClaraBackbone, "is_sharded", True)
    assert room(tiny_backbone()) == 0


@pytest.mark.parametrize(
    ("rope", "places"),
    [
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}, math.inf),
        ({"rope_type": "dynamic", "factor": 4.0}, 1024),
        ({"rope_type": "longrope", "original_max_position_embeddings": 256}, 256),
        ({"full_attention": {"rope_type": "dynamic"}, "sliding_attention": {"rope_type": "default"}}, 1024),
    ],
)
def test_rotary_embeddings_that_change_with_the_length_leave_room_below_it(
    tiny_backbone: Backbones, rope: dict[str, Any], places: float
) -> None:
    backbone = tiny_backbone()
    backbone.causal_lm.config.rope_parameters = rope
    assert room(backbone) == places


@pytest.mark.parametrize("missing", [0, 1, 40])
def test_a_window_is_room_up_to_its_last_place(
    tiny_backbone: Backbones, monkeypatch: pytest.MonkeyPatch, documents: list[str], missing: int
) -> None:
    backbone = tiny_backbone("mistral")
    prompts, memory = scored_prompts(backbone), backbone.compress(documents[:3])
    needed = width_of(backbone, prompts) + max(STEPS, backbone.prompts.encode_answers(prompts).shape[1])
    backbone.causal_lm.config.sliding_window = needed + 1 - missing
    with whole_prompts(monkeypatch):
        wanted = answered_and_scored(backbone, prompts, memory)
    with recorded(backbone) as read:
        assert_same(answered_and_scored(backbone, prompts, memory), wanted)
    assert (read[0][0] == 1) is (missing == 0)
