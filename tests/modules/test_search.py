"""What estimators may ask about a batch: who is read, and how often."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clara_lightning.corpus.candidates import Candidates
from clara_lightning.data.prompts import PromptTemplate
from clara_lightning.data.records import Question
from clara_lightning.modules.search import BatchTeacher

B, N = 2, 3


class CountingBackbone:
    """Every answer costs 2 nats a token."""

    def __init__(self) -> None:
        self.readings: list[int] = []

    def evaluating(self) -> nullcontext[None]:
        return nullcontext()

    def answer_loss(self, prompts: list[Any], memory: torch.Tensor) -> Any:
        assert len(prompts) == len(memory)
        self.readings.append(len(prompts))
        return SimpleNamespace(mean_B=torch.full((len(prompts),), 2.0))


@pytest.mark.parametrize("in_step", [False, True])
@pytest.mark.parametrize("asked", [None, [True, True], [False, True], [False, False]])
def test_processes_that_must_stay_in_step_read_once_whoever_is_asked_for(
    in_step: bool, asked: list[bool] | None
) -> None:
    backbone, whole = CountingBackbone(), torch.ones(B, N, dtype=torch.bool)
    candidates = Candidates(torch.ones(B, N, 1, 4), whole, whole, torch.ones(B), torch.arange(B * N).view(B, N))
    teacher = BatchTeacher(
        backbone,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        name="maxsim",
        template=PromptTemplate(),
        questions=[Question(str(number), "?", ("yes",)) for number in range(B)],
        query=SimpleNamespace(memory_NLD=torch.ones(B, 1, 4)),  # type: ignore[arg-type]
        candidates=candidates,
        in_step=in_step,
    )

    losses_BM = teacher.alone(torch.tensor([[0, 2], [1, 2]]), None if asked is None else torch.tensor(asked))

    expected = [True, True] if asked is None else asked
    assert losses_BM.tolist() == [[2.0, 2.0] if each else [0.0, 0.0] for each in expected]
    assert len(backbone.readings) == (1 if in_step else min(1, sum(expected)))
    assert sum(backbone.readings) == 2 * (sum(expected) or in_step)
