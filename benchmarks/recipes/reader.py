"""What a trained generator makes of chosen tokens: ``python -m benchmarks.recipes.reader "first tokens"``.

As ``benchmarks.recipes.untrained``, but for a generator that is trained on such tokens for a few minutes. No compressor
takes part, so it says what a choice of tokens is worth, and how much of stage 1 is this alone.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.machine import machine
from benchmarks.recipes.untrained import CHOICES, Asked, chosen, ids_at, load_backbone, loss, measure, read_data
from clara_lightning.backbone.adapters import GENERATOR
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.data.prompts import Background
from clara_lightning.errors import ClaraError
from clara_lightning.objectives.losses import information_retained

DOCUMENTS, RATE, RANK = 8, 5e-4, 16  # of a step, its learning rate, of LoRA
YARDSTICK = 10  # every so many steps half of the questions are answered from the text and half from nothing
REPORTED = 50


def train(
    backbone: ClaraBackbone, questions: Sequence[Asked], choice: str, *, length: int, steps: int, seed: int
) -> None:
    """Teach the generator to answer from so many chosen tokens of each text."""
    draw, started = random.Random(seed), time.monotonic()
    backbone.train().train_only([GENERATOR])
    weights = backbone.own_parameters(GENERATOR)
    optimizer = torch.optim.AdamW(weights, lr=RATE, betas=(0.9, 0.95), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps, pct_start=0.05, cycle_momentum=False
    )
    for step in range(steps):
        part = draw.sample(questions, DOCUMENTS)
        backgrounds: list[Sequence[Background]] = [(tokens_of(backbone, one, choice, length),) for one in part]
        if step % YARDSTICK == YARDSTICK - 1:
            backgrounds = [(one.text,) if number % 2 else () for number, one in enumerate(part)]
        prompts = [
            backbone.prompts.ask(one.question, background, answer=one.answer)
            for one, background in zip(part, backgrounds, strict=True)
        ]
        found = backbone.answer_loss(prompts)
        optimizer.zero_grad()
        (found.sum_B.sum() / found.tokens_B.sum()).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        if step % REPORTED == REPORTED - 1:
            pace = (time.monotonic() - started) / (step + 1)
            print(f"step {step + 1} of {steps}, {pace:.2f} s each, {pace * (steps - step - 1):.0f} s left", flush=True)
    backbone.eval()


@torch.no_grad()
def tokens_of(backbone: ClaraBackbone, asked: Asked, choice: str, length: int) -> tuple[int, ...]:
    """The chosen tokens, in reading order."""
    return ids_at(backbone, asked, chosen(backbone, asked, CHOICES[choice], length))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, and print a line of a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes.reader", description=__doc__)
    parser.add_argument("choice", help="of tokens, as benchmarks.recipes.untrained calls it")
    parser.add_argument("--length", type=int, default=16, help="tokens of each text (default: 16)")
    parser.add_argument("--steps", type=int, default=200, help=f"of {DOCUMENTS} questions (default: 200)")
    parser.add_argument("--limit", type=int, default=128, help="held-out questions (default: 128)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"), help="where the split lies or is written")
    args = parser.parse_args(arguments)
    try:
        if args.choice not in CHOICES:
            raise ClaraError(f"{args.choice!r} is no choice of tokens: take one of {', '.join(CHOICES)}")
        for name in ("length", "steps", "limit"):
            if getattr(args, name) < 1:
                raise ClaraError(f"--{name} must be >= 1, got {getattr(args, name)}")
        questions, held_out = read_data(args.out)
        torch.manual_seed(args.seed)
        backbone = load_backbone(questions, rank=RANK)
    except ClaraError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    train(backbone, questions, args.choice, length=args.length, steps=args.steps, seed=args.seed)
    held_out = held_out[: args.limit]
    none, text = (
        loss(backbone, held_out, background, adapter=GENERATOR)
        for background in (lambda one: (), lambda one: (one.text,))
    )
    memory, share = measure(backbone, held_out, CHOICES[args.choice], args.length, adapter=GENERATOR)
    retained = information_retained(ce_none=none, ce_memory=memory, ce_text=text)
    print(f"{machine()}\n\n| tokens chosen | tokens | steps | seed | nats: none | memory | text | retained | held |")
    print(f"|---|{'---:|' * 8}")
    cells = (f"{value:.3f}" for value in (none, memory, text, retained, share))
    print(f"| {args.choice} | {args.length} | {args.steps} | {args.seed} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
