"""What can be asked of the memory of an SCP row's document (paper, section 3.1; the last three are our own)."""

from __future__ import annotations

import random
from collections.abc import Callable

from clara_lightning.data.examples import ReadingExample, Task
from clara_lightning.data.records import QAPair, SCPExample

CUE = 4  # words that a reconstruction begins behind
LONGEST = 100  # words of a reconstruction or a continuation


def asked(row: SCPExample, pair: QAPair) -> ReadingExample:
    """One pair's question."""
    return ReadingExample((row.document,), "question", pair.answer, pair.question, gold=(True,))


def all_pairs(row: SCPExample, draw: random.Random) -> ReadingExample:
    """All questions and answers of the document, as one turn."""
    turns = "\n".join(f"Question: {pair.question}\nAnswer: {pair.answer}" for pair in row.pairs)
    return ReadingExample((row.document,), "all_pairs", turns)


def paraphrase(row: SCPExample, draw: random.Random) -> ReadingExample:
    """The document in other words."""
    return ReadingExample((row.document,), "paraphrase", row.paraphrase or "")


def reconstruction(row: SCPExample, draw: random.Random) -> ReadingExample:
    """Half of the document word by word, from a place that is drawn; the words before it are given."""
    words = row.document.split()
    half = min(LONGEST, len(words) // 2)
    first = draw.randint(CUE, len(words) - half)
    cue, part = " ".join(words[first - CUE : first]), " ".join(words[first : first + half])
    return ReadingExample((row.document,), "reconstruction", part, cue)


def continuation(row: SCPExample, draw: random.Random) -> ReadingExample:
    """What follows on the first part of the document, whose end is drawn; that part alone is compressed."""
    words = row.document.split()
    cut = draw.randint(len(words) // 3, 2 * len(words) // 3)
    return ReadingExample((" ".join(words[:cut]),), "continuation", " ".join(words[cut : cut + LONGEST]))


def recital(row: SCPExample, draw: random.Random) -> ReadingExample:
    """The words that the document's memory stands on; which they are is for the compressor to say."""
    return ReadingExample((row.document,), "recital", "")


MAKE: dict[Task, Callable[[SCPExample, random.Random], ReadingExample]] = {
    "question": lambda row, draw: asked(row, draw.choice(row.pairs)),
    "all_pairs": all_pairs,
    "paraphrase": paraphrase,
    "reconstruction": reconstruction,
    "continuation": continuation,
    "recital": recital,
}


def suits(row: SCPExample, task: Task) -> bool:
    """Whether the row has what the task needs."""
    if task == "paraphrase":
        return bool(row.paraphrase)
    if task in ("reconstruction", "continuation"):
        return len(row.document.split()) >= 4 * CUE
    return task == "recital" or bool(row.pairs)
