"""What a run will take."""

from __future__ import annotations

from typing import Any

import pytest

from clara_lightning.data.records import Document
from clara_lightning.synthesis.estimate import assumed, measured
from clara_lightning.synthesis.outcome import Outcome
from clara_lightning.synthesis.pipeline import PipelineSettings
from clara_lightning.synthesis.progress import Price
from clara_lightning.synthesis.prompts import Prompts
from clara_lightning.synthesis.teacher import Usage


def of(words: int, **settings: Any) -> Any:
    sample = [Document("d", "word " * words)] * 2
    return assumed(sample, Prompts(), PipelineSettings(**settings), documents=1000, price=Price(1.0, 2.0))


def test_an_estimate_counts_every_request_of_the_paper() -> None:
    # 2 x (questions, validate, coverage) + 8 answers; complex: 1 + 5 + 1; paraphrase and its check: 2
    assert of(100).usage.requests == 1000 * (6 + 8 + 7 + 2)
    assert of(100, complex=False, paraphrase=False).usage.requests == 1000 * 14
    assert of(100, complex=False, paraphrase=False, max_rounds=1).usage.requests == 1000 * 11


def test_longer_documents_are_read_in_every_request() -> None:
    short, long = of(100), of(200)
    more = long.usage.prompt_tokens - short.usage.prompt_tokens
    # 100 words are 125 tokens, read in each of 23 requests, and once more as the paraphrase that is checked
    assert more == pytest.approx(1000 * 24 * 125, rel=0.05)


def test_the_cost_is_of_the_tokens() -> None:
    found = of(100)
    assert found.cost == pytest.approx((found.usage.prompt_tokens + 2 * found.usage.completion_tokens) / 1e6)
    assert found.seconds is None and "time unknown before it runs" in found.lines()


def test_finished_documents_are_better_than_assumptions() -> None:
    outcomes = [Outcome("0" * 32, "d", "text", usage=Usage(10, 1000, 100))] * 20
    found = measured(outcomes, seconds=40.0, documents=100, price=Price(1.0, 1.0))
    assert (found.usage, found.seconds) == (Usage(1000, 100_000, 10_000), 200.0)
    assert found.lines()[-1] == "from 20 documents that are finished"
