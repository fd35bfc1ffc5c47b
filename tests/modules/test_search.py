"""What estimators may ask about a batch: who is read, and how often."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clara_lightning.corpus.candidates import Candidates, GoldDocuments
from clara_lightning.data.prompts import PromptTemplate
from clara_lightning.data.records import Question
from clara_lightning.modules.search import BatchTeacher, Found
from clara_lightning.objectives.selection import Selected

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


def test_gold_documents_take_the_last_place_of_those_that_took_none() -> None:
    draw = torch.Generator().manual_seed(0)
    memory_BNLD = torch.randn(3, N, 1, 4, generator=draw)
    whole, keys_BN = torch.ones(3, N, dtype=torch.bool), torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    selection_BKN = torch.eye(N)[:2].expand(3, 2, N).clone().requires_grad_()  # the first two of each
    selected = Selected(selection_BKN, torch.tensor([[0, 1]] * 3), None, ())
    candidates = Candidates(memory_BNLD, whole, whole, torch.ones(3), keys_BN)
    query = SimpleNamespace(memory_NLD=torch.ones(3, 1, 4), weights_NL=torch.ones(3, 1))
    found = Found("maxsim", query, candidates, torch.zeros(3, N), selected)  # type: ignore[arg-type]
    chunks_NLD = torch.tensor([[[1.0, 0, 0, 0]], [[1, 1, 1, 0]], [[-1, -1, -1, -1]]])  # the second is the most alike
    other_1LD = chunks_NLD[1:2]
    gold = [
        GoldDocuments(memory_BNLD[0, 1:2], (2,)),
        GoldDocuments(chunks_NLD, (97, 98, 99)),
        GoldDocuments(chunks_NLD[:0], ()),
    ]

    plain, read = found.memory_BKLD(), found.memory_BKLD(gold)

    assert torch.equal(plain, memory_BNLD[:, :2])
    assert torch.equal(read[[0, 2]], plain[[0, 2]])  # one took it, of one it is not known
    assert torch.equal(read[1], torch.stack([plain[1, 0], other_1LD[0]]))
    (gradient_BKN,) = torch.autograd.grad(read.sum(), selection_BKN)
    assert (gradient_BKN[:, 0] != 0).all() and (gradient_BKN[1, 1] == 0).all() and (gradient_BKN[0, 1] != 0).all()
