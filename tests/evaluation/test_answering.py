"""Answers of an evaluation: what is read for them, and what of it the clock counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.data.records import Question
from clara_lightning.evaluation.answering import Answerer
from clara_lightning.evaluation.conditions import GENERATOR, Given
from clara_lightning.evaluation.corpus import Asked
from clara_lightning.evaluation.results import ConditionInfo


def test_a_prompt_is_read_once_and_scoring_is_behind_the_clock(tiny_backbone: Callable[..., ClaraBackbone]) -> None:
    backbone, running, reads = tiny_backbone(), [False], []

    @contextmanager
    def measure(step: str, *, items: int) -> Iterator[None]:
        running[0] = True
        yield
        running[0] = False

    def note(_: Any, arguments: Any, named: dict[str, Any]) -> None:
        read = named.get("inputs_embeds")
        reads.append((running[0], *(named["input_ids"] if read is None else read).shape[:2]))

    asked = [Asked(Question(f"q{n}", "Why? " * (n + 1), ("so it is",)), gold=(), candidates=()) for n in range(2)]
    answerer = Answerer(
        backbone,
        corpus=SimpleNamespace(documents=lambda rows: []),  # type: ignore[arg-type]
        asked=asked,
        work=SimpleNamespace(run=lambda name, batches, do: [row for batch in batches for row in do(batch)]),  # type: ignore[arg-type]
        meter=SimpleNamespace(measure=measure),  # type: ignore[arg-type]
        batch_size=2,
        max_new_tokens=1,
    )
    hook = backbone.causal_lm.base_model.register_forward_pre_hook(note, with_kwargs=True)

    predictions = answerer.answer("none", ConditionInfo("no memory", GENERATOR, "none", "none"), [Given(), Given()])

    hook.remove()
    prefix = len(backbone.prompts.prefix([backbone.prompts.ask("Why?", ())]))
    longest = max(one.input_positions for one in predictions)
    (answer_tokens,) = {one.answer_tokens for one in predictions}
    assert reads == [(True, 1, prefix), (True, 2, longest - prefix), (False, 2, 1 + answer_tokens)]
