"""Two comparisons of our own parts: help beside an interpreter that does nothing, and the trunk by its dtype."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.measure import Bench
from benchmarks.results import Comparison
from benchmarks.settings import DOCUMENT_TOKENS
from benchmarks.timing import take_turns
from clara_lightning.backbone.loading import BackboneConfig, DtypeName, load_pretrained

NUM_TEXTS = 8


def start_up(bench: Bench) -> Comparison:
    """Row s: help of the command line, which tells whether imports are lazy."""

    def run(*words: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)

    variants = {
        "`python -c pass`": run("-c", "pass"),
        "`clara --help`": run("-m", "clara_lightning", "--help"),
        "`clara ask --help`": run("-m", "clara_lightning", "ask", "--help"),
    }
    turns = take_turns(variants, rounds=bench.rounds_of("s"), device=bench.device)
    return Comparison("s", "Start-up", turns.seconds)


def trunk(bench: Bench) -> Comparison:
    """Row t: forward pass of the frozen LM without its head, by the dtype of its weights."""
    draw = torch.Generator().manual_seed(0)

    def forward(dtype: DtypeName) -> Callable[[], object]:
        model: Any = load_pretrained(BackboneConfig(name=bench.name, dtype=dtype))[0]
        model.to(bench.device).eval()
        ids = torch.randint(model.config.vocab_size, (NUM_TEXTS, DOCUMENT_TOKENS), generator=draw).to(bench.device)
        return torch.inference_mode()(lambda: model.base_model(input_ids=ids, use_cache=False))

    dtypes: tuple[DtypeName, ...] = ("float32", "bfloat16")
    turns = take_turns({dtype: forward(dtype) for dtype in dtypes}, rounds=bench.rounds_of("t"), device=bench.device)
    title = f"Trunk forward, {NUM_TEXTS} x {DOCUMENT_TOKENS} tokens"
    return Comparison("t", title, turns.seconds, dict.fromkeys(dtypes, NUM_TEXTS * DOCUMENT_TOKENS))
