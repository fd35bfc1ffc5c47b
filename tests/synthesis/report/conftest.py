"""Outcomes of documents that were never synthesised."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import get_args

import pytest

from clara_lightning.synthesis.outcome import Dropped, Outcome, Pair, PairType, Reason, Round
from clara_lightning.synthesis.tasks import ComplexType
from clara_lightning.synthesis.teacher import Usage

TYPES: tuple[PairType, ...] = ("simple", *get_args(ComplexType))
REASONS: tuple[Reason | None, ...] = (None, None, None, *get_args(Reason))


def drawn(number: int) -> Outcome:
    """An outcome with something of everything."""
    draw = random.Random(number)

    def text(words: int) -> str:
        return " ".join(
            draw.choice(["where", "How", "in", "which", "Kenya", "lake", "1954", "tea?"]) for _ in range(words)
        )

    pairs = [
        Pair(
            text(draw.randint(2, 5)), text(2), draw.choice(TYPES), draw.choice(["exact", "teacher"]), draw.randint(1, 3)
        )
        for _ in range(draw.randint(1, 6))
    ]
    dropped = [
        Dropped(text(3), "", draw.choice(TYPES), draw.choice(["unanswerable", "asked before"]), text(2), 1)
        for _ in range(draw.randint(0, 4))
    ]
    rounds = [Round(draw.randint(1, 9), draw.randint(0, 5), draw.random()) for _ in range(draw.randint(0, 3))]
    kept = draw.random() < 0.6
    return Outcome(
        key=f"key-{number}",
        id=f"id-{number}",
        document=text(draw.randint(5, 40)),
        pairs=tuple(pairs),
        paraphrase=text(draw.randint(3, 50)) if kept else None,
        paraphrase_faults=() if kept else (f"leaves out: {text(2)}", "too short")[: draw.randint(0, 2)],
        rounds=tuple(rounds),
        word_coverage=draw.random(),
        dropped=tuple(dropped),
        reason=draw.choice(REASONS),
        usage=Usage(draw.randint(1, 9), draw.randint(100, 999), draw.randint(10, 99)),
    )


@pytest.fixture(scope="session")
def outcomes() -> Callable[[int], list[Outcome]]:
    """So many outcomes, the same every time."""
    return lambda count: [drawn(number) for number in range(count)]
