"""What the compressor adds to a memory's tokens: ``python -m benchmarks.recipes.correction --adapters DIR``.

The same held-out questions are answered from memories as they are and from the bare tokens that these stand on: the
correction's scale and the MLP's last layer are set to zero. The generator is the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.machine import machine
from benchmarks.recipes.split import ASKED, write_split
from clara_lightning.backbone.adapters import COMPRESSOR
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import AdapterFolder, build_from_folder
from clara_lightning.backbone.memory import MemoryHead
from clara_lightning.data.prompts import MEMORY
from clara_lightning.data.readers import read_questions
from clara_lightning.data.records import Question
from clara_lightning.errors import ClaraError

BATCH = 16


@torch.no_grad()
def loss(backbone: ClaraBackbone, questions: Sequence[Question], length: int) -> float:
    """Nats an answer token, from memories of so many tokens."""
    total, tokens = 0.0, 0
    with backbone.shortened(length):
        for start in range(0, len(questions), BATCH):
            part = questions[start : start + BATCH]
            memory_NLD = backbone.compress([one.passages[0].content for one in part])
            prompts = [backbone.prompts.ask(one.question, (MEMORY,), answer=one.answers[0]) for one in part]
            found = backbone.answer_loss(prompts, memory_NLD)
            total, tokens = total + float(found.sum_B.sum()), tokens + int(found.tokens_B.sum())
    return total / tokens


@torch.no_grad()
def take_correction(head: MemoryHead) -> None:
    """Leave the anchors alone."""
    head.scale.zero_()
    if head.mlp is not None:
        for parameter in head.mlp[-1].parameters():
            parameter.zero_()


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes.correction", description=__doc__)
    parser.add_argument("--adapters", required=True, metavar="DIR", help="run folder, or package://PACKAGE/FOLDER")
    parser.add_argument("--limit", type=int, default=128, help="questions (default: 128)")
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"), help="where the split lies or is written")
    args = parser.parse_args(arguments)
    try:
        folder = AdapterFolder.open(args.adapters)
        if not folder.memory.is_anchored:
            raise ClaraError(f"{args.adapters}: memory {folder.memory.kind} stands on no tokens: nothing corrects them")
        write_split(args.out / "data")
    except ClaraError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    questions = list(read_questions(args.out / "data" / ASKED))[: args.limit]
    backbone = build_from_folder(folder).eval()
    lengths = folder.memory.nested or (folder.memory.tokens,)
    whole = [loss(backbone, questions, length) for length in lengths]
    head = backbone.head(COMPRESSOR)
    scale = float(head.scale)
    take_correction(head)
    bare = [loss(backbone, questions, length) for length in lengths]
    print(f"{machine()}\n\n{len(questions)} questions; the correction's scale is {scale:.4f}\n")
    print("| memory tokens | nats an answer token | without the correction |\n|---:|---:|---:|")
    for length, *both in zip(lengths, whole, bare, strict=True):
        print(f"| {length} | {' | '.join(f'{nats:.3f}' for nats in both)} |")


if __name__ == "__main__":
    main()
