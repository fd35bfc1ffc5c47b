"""How our path scales: ``python -m benchmarks.scaling``.

A step of stage 1 over the documents in the batch, over their length, over memory tokens, and in one and two processes;
a step of stage 3 over candidates; encoding over the size of the corpus, where the rate should stay.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import machine
from benchmarks.ours import Ours
from benchmarks.prepare import Prepared, new_backbone, prepare
from benchmarks.processes import step_seconds
from benchmarks.results import Comparison
from benchmarks.settings import BACKBONE, MEMORY_TOKENS
from benchmarks.tables import comparison_table
from benchmarks.texts import load_texts
from benchmarks.timing import Rounds, take_turns
from benchmarks.works import (
    NUM_DOCUMENTS,
    NUM_SEARCHES,
    Work,
    candidates,
    encoding,
    joint,
    pretraining,
    reading,
)
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.data.writers import write_jsonl
from clara_lightning.errors import ClaraError
from clara_lightning.inference.pipeline import best_device

BATCHES = (1, 2, 4, 8, 16)
LENGTHS = (64, 128, 256, 512)
MEMORIES = (4, MEMORY_TOKENS, 64, 128)
CANDIDATES = (5, 20, 40, 80)
CORPORA = (50, 100, 200, 400)
PROCESSES = (1, 2)
SECONDS = 30.0  # of each table's measured rounds


class Scaling:
    """Measures the tables.

    Args:
        folder: for adapters and stores.
        name: of the backbone.
        rounds: how often the points of a table take their turns.
    """

    def __init__(self, folder: Path, *, name: str, rounds: Rounds) -> None:
        self.folder, self.name, self.rounds = folder, name, rounds
        self.texts, self.device = load_texts(), torch.device(best_device())
        self.questions = [row.question for row in self.texts.questions]

    def batch(self) -> Comparison:
        """Stage 1 over the documents in the batch."""
        works = {f"{count} documents": pretraining(self.texts, count=count) for count in BATCHES}
        return self._measured("Stage 1 step, documents in the batch", self._same(works))

    def length(self) -> Comparison:
        """Stage 1 over the length of its documents."""
        way = Ours(self._backbone(document_tokens=max(LENGTHS)))
        points = {f"{length} tokens": (way, self._of_length(length)) for length in LENGTHS}
        return self._measured(f"Stage 1 step, length of its {NUM_DOCUMENTS} documents", points)

    def memory(self) -> Comparison:
        """Stage 1 over memory tokens."""
        work = pretraining(self.texts)
        ways = {f"{size} memory tokens": Ours(self._backbone(memory_tokens=size)) for size in MEMORIES}
        points = {point: (way, work) for point, way in ways.items()}
        return self._measured(f"Stage 1 step of {NUM_DOCUMENTS} documents, memory tokens", points)

    def candidates(self) -> Comparison:
        """Stage 3 over candidates."""
        works = {f"{count} candidates": joint(self.texts, num_candidates=count) for count in CANDIDATES}
        return self._measured(f"Stage 3 step of {NUM_SEARCHES} questions, candidates", self._same(works))

    def corpus(self) -> Comparison:
        """Encoding over the size of the corpus."""
        works = {f"{count} documents": self._corpus(count) for count in CORPORA}
        return self._measured("Encoding, documents in the corpus", self._same(works))

    def processes(self) -> Comparison:
        """Stage 1 with as many documents in each process: twice the documents in as long would be perfect."""
        seconds, tokens = {}, {}
        for count in PROCESSES:
            point = f"{count} process{'es' * (count > 1)}"
            seconds[point] = step_seconds(self.prepared, processes=count, rounds=self.rounds.least)
            work = pretraining(self.texts, count=NUM_DOCUMENTS * count)
            tokens[point] = work.tokens(self.ours.backbone.prompts)
        title = f"Stage 1 step, processes with {NUM_DOCUMENTS} documents and one thread each"
        return Comparison("scaling", title, seconds, tokens)

    @cached_property
    def prepared(self) -> Prepared:
        """Adapters as in the main table, and a store of every candidate."""
        return prepare(
            self.folder / "prepared",
            self.name,
            documents=self.texts.corpus(64),
            candidates=candidates(self.texts, max(CANDIDATES)),
            questions=self.questions,
            device=self.device,
        )

    @cached_property
    def ours(self) -> Ours:
        """Our path with those adapters."""
        return self.prepared.open_ours(self.device)

    def _same(self, works: Mapping[str, Work]) -> dict[str, tuple[Ours, Work]]:
        return {point: (self.ours, work) for point, work in works.items()}

    def _measured(self, title: str, points: Mapping[str, tuple[Ours, Work]]) -> Comparison:
        variants = {point: work.begin(way) for point, (way, work) in points.items()}
        turns = take_turns(variants, rounds=self.rounds, device=self.device)
        tokens = {point: work.tokens(way.backbone.prompts) for point, (way, work) in points.items()}
        return Comparison("scaling", title, turns.seconds, tokens)

    def _backbone(self, **sizes: int) -> ClaraBackbone:
        texts = [document.content for document in self.texts.corpus(64)]
        backbone = new_backbone(self.name, texts, self.questions, device=self.device, **sizes)
        return backbone.train()

    def _of_length(self, length: int) -> Work:
        """Stage 1 with documents of so many tokens, and the same answers."""
        tokenizer: Any = self.ours.backbone.tokenizer
        examples = self.texts.all_pairs(NUM_DOCUMENTS)
        rows = tokenizer(self.texts.long(NUM_DOCUMENTS), add_special_tokens=False)["input_ids"]
        cut = [tokenizer.decode(row[:length]).strip() for row in rows]
        return reading("a", "", [replace(row, documents=(text,)) for row, text in zip(examples, cut, strict=True)])

    def _corpus(self, count: int) -> Work:
        documents = self.texts.corpus(count)
        file = self.folder / f"documents-{count}.jsonl"
        write_jsonl(file, documents)
        return encoding(documents, file)


TABLES = {
    "batch": Scaling.batch,
    "length": Scaling.length,
    "memory": Scaling.memory,
    "candidates": Scaling.candidates,
    "corpus": Scaling.corpus,
    "processes": Scaling.processes,
}


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default=BACKBONE, metavar="NAME", help="as backbone.name (default: SmolLM2-135M)")
    parser.add_argument("--only", choices=list(TABLES), action="append", help="one of the tables")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each table's measured rounds")
    args = parser.parse_args(words)
    print(f"{machine()}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        scaling = Scaling(Path(folder), name=args.backbone, rounds=Rounds(args.seconds))
        try:
            for name in args.only or TABLES:
                print(f"{comparison_table(TABLES[name](scaling))}\n", flush=True)
        except ClaraError as error:
            print(error, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
