"""The plain path computes what ours computes: loss, every gradient, memory, and answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER, adapter_parameters
from clara_lightning.data.examples import ReadingExample
from clara_lightning.data.prompts import MEMORY
from clara_lightning.data.records import Document, Passage, Question
from clara_lightning.data.writers import write_jsonl

FAMILIES = ("llama", "qwen2", "gpt2")
HEAD_VALUES = ("tokens_LD", "gain_D", "bias_D", "scale")


def examples(documents: Sequence[str]) -> list[ReadingExample]:
    """All pairs of one document, and a question about two."""
    pairs = "Question: Where is Oslo?\nAnswer: in the north"
    return [
        ReadingExample((documents[0],), "all_pairs", pairs),
        ReadingExample((documents[1], documents[3]), "question", "the Tiber", "Which river does Rome lie on?"),
    ]


def questions(documents: Sequence[str]) -> list[Question]:
    """Two questions over four candidates each."""
    passages = tuple(Passage(text, gold=number == 0) for number, text in enumerate(documents))
    return [
        Question("q0", "What is the capital of France?", ("Paris",), passages),
        Question("q1", "Where is Oslo?", ("in Norway, in the north",), passages[::-1]),
    ]


def gradients(path: Any, names: Sequence[str]) -> dict[str, Tensor]:
    """Gradient of every adapter weight and every value of the memory heads, by name."""
    backbone = getattr(path, "backbone", path)
    found = {key: value.grad for name in names for key, value in adapter_parameters(backbone.lm, name)}
    for name in set(names) & set(backbone.heads):
        found |= {f"{name}.{key}": getattr(backbone.heads[name], key).grad for key in HEAD_VALUES}
    return found


def assert_same_gradients(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert value is not None and other[key] is not None, key
        difference = (value - other[key]).norm() / other[key].norm().clamp_min(1e-6)
        limit = 1e-5 if value.numel() > 1 else 1e-4  # one number is what is left of sums that cancel
        assert difference < limit, f"{key}: {difference}"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_of_stages_1_and_2_has_the_same_loss_and_gradients(
    family: str, pair: Callable[..., Any], documents: list[str]
) -> None:
    paths, names = pair(family), (COMPRESSOR, GENERATOR)
    losses = []
    for path in paths:
        path.train_only(names)
        loss = path.reading_loss(examples(documents))
        loss.backward()
        losses.append(loss.item())

    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert_same_gradients(*(gradients(path, names) for path in paths))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_of_stage_3_has_the_same_loss_and_gradients(
    family: str, pair: Callable[..., Any], documents: list[str]
) -> None:
    paths, names = pair(family), (QUERY_REASONER, GENERATOR)
    losses = []
    for path in paths:
        path.train_only(names)
        loss = path.joint_loss(questions(documents), top_k=2)
        loss.backward()
        losses.append(loss.item())

    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert_same_gradients(*(gradients(path, names) for path in paths))


def test_only_what_is_trained_takes_gradients_and_is_the_same_on_both_paths(pair: Callable[..., Any]) -> None:
    sizes = []
    for path in pair("llama"):
        path.train_only((COMPRESSOR, GENERATOR))
        sizes.append(sum(parameter.numel() for parameter in path.trained()))

    assert sizes[0] == sizes[1] > 0


def test_encoding_gives_the_same_memory_in_the_same_order(
    pair: Callable[..., Any], documents: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "documents.jsonl"
    write_jsonl(file, [Document(str(number), text) for number, text in enumerate(documents * 5)])
    ours, plain = pair("llama")

    torch.testing.assert_close(ours.encode(file), plain.encode(file), rtol=1e-2, atol=1e-2)  # both are bfloat16


def test_answers_have_the_same_tokens(pair: Callable[..., Any], documents: list[str]) -> None:
    ours, plain = pair("llama")
    prompts = [ours.backbone.prompts.ask("Where is Oslo?", (MEMORY, MEMORY))]
    memory = ours.backbone.compress(documents[:2])
    ids = plain.generate(prompts, memory, max_new_tokens=6)

    assert ids.shape == (1, 6)
    stops = set(ours.backbone.prompts.stop_ids)
    told = ours.backbone.generate(prompts, memory, max_new_tokens=6)[0]
    kept = ids[0].tolist()
    kept = kept[: next((place for place, token in enumerate(kept) if token in stops), len(kept))]
    assert ours.backbone.tokenizer.decode(kept, skip_special_tokens=True).strip() == told


def test_adapters_of_the_plain_path_are_in_the_backbones_dtype(pair: Callable[..., Any]) -> None:
    plain = pair("llama", dtype=torch.bfloat16).plain

    assert {value.dtype for name in plain.lm.peft_config for _, value in adapter_parameters(plain.lm, name)} == {
        torch.bfloat16
    }
