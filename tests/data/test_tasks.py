"""What a training example asks of a document's memory."""

from __future__ import annotations

import random

import pytest

from clara_lightning.data.examples import Task
from clara_lightning.data.modules import SCPDataModule
from clara_lightning.data.prompts import MEMORY, PromptTemplate
from clara_lightning.data.records import QAPair, SCPExample
from clara_lightning.data.requests import in_words, reading_request
from clara_lightning.data.tasks import CUE, MAKE, suits

WORDS = [f"w{number}" for number in range(40)]
ROW = SCPExample("r", " ".join(WORDS), (QAPair("Who?", "he", "simple"), QAPair("Why?", "so", "simple")), "Other words.")


@pytest.mark.parametrize("seed", range(20))
def test_a_reconstruction_is_half_of_the_document_behind_its_cue(seed: int) -> None:
    example = MAKE["reconstruction"](ROW, random.Random(seed))
    assert example.documents == (ROW.document,)
    assert len(example.answer.split()) == 20
    assert f"{example.question} {example.answer}" in ROW.document
    assert len(example.question.split()) == CUE


@pytest.mark.parametrize("seed", range(20))
def test_a_continuation_follows_on_what_is_compressed(seed: int) -> None:
    example = MAKE["continuation"](ROW, random.Random(seed))
    assert f"{example.documents[0]} {example.answer}" == ROW.document
    assert 13 <= len(example.documents[0].split()) <= 26


def test_every_task_has_a_prompt_of_its_own() -> None:
    tasks: list[Task] = ["question", "all_pairs", "paraphrase", "reconstruction", "continuation", "recital"]
    examples = [MAKE[task](ROW, random.Random(0)) for task in tasks]
    requests = [reading_request(example, template=PromptTemplate()) for example in examples]
    assert len({request.text for request in requests}) == 6
    assert all(request.background == (MEMORY,) for request in requests)
    spoken = [in_words(request, example) for request, example in zip(requests, examples, strict=True)]
    assert [request.background for request in spoken] == [example.documents for example in examples]
    assert [request.text for request in spoken] == [request.text for request in requests]


def test_tasks_that_a_row_does_not_suit() -> None:
    short = SCPExample("s", "Too short.", (), None)
    assert [task for task in MAKE if suits(short, task)] == ["recital"]
    assert [task for task in MAKE if suits(SCPExample("t", " ".join(WORDS), (), None), task)] == [
        "reconstruction",
        "continuation",
        "recital",
    ]


def test_a_share_draws_its_task() -> None:
    module = SCPDataModule(
        pair_share=1, all_pairs_share=0, paraphrase_share=0, reconstruction_share=1, continuation_share=2
    )
    draw = random.Random(0)
    drawn = [module.train_example(ROW, draw).task for _ in range(4000)]
    for task, share in (("question", 1000), ("reconstruction", 1000), ("continuation", 2000)):
        assert drawn.count(task) == pytest.approx(share, abs=120)
