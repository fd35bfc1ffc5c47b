"""The tables of docs/scaling.md: ``python scripts/scaling_tables.py``; no weights are read, nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

from clara_lightning.cli.trainer import parse_settings
from clara_lightning.estimate.estimate import Estimate, Request, estimate
from clara_lightning.estimate.lengths import Assumptions
from clara_lightning.estimate.report import duration, size

CONFIGS = Path(__file__).parents[1] / "configs"
BACKBONES = {
    "SmolLM2-135M": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "Phi-4-mini": "microsoft/Phi-4-mini-instruct",
    "Mistral-7B": "mistralai/Mistral-7B-Instruct-v0.3",
    "Llama-70B": "meta-llama/Llama-3.1-70B-Instruct",
}
MEMORY_TOKENS = (64, 16, 4)
ROWS = 2_000_000  # documents of the published stage 1
CARDS = 8


def run(name: str, memory_tokens: int, *, devices: str, strategy: str) -> Estimate:
    """Stage 1 with checkpointing, eight documents a device."""
    settings = {
        "model.init_args.backbone.name": BACKBONES[name],
        "model.init_args.backbone.dtype": "bfloat16",
        "model.init_args.backbone.gradient_checkpointing": "true",
        "model.init_args.memory_tokens": str(memory_tokens),
        "trainer.strategy": strategy,
        "trainer.accumulate_grad_batches": "2",
    }
    words = ["--config", str(CONFIGS / "compressor.yaml"), *(f"--{key}={value}" for key, value in settings.items())]
    return estimate(parse_settings(words), Request(device=devices, assumed=Assumptions(rows=ROWS)))


def line(cells: list[str]) -> None:
    """Print a row of a Markdown table."""
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print both tables."""
    memory, time = [], []
    for name in BACKBONES:
        for tokens in MEMORY_TOKENS:
            whole = run(name, tokens, devices=f"h100:{CARDS}", strategy="ddp")
            parts = run(name, tokens, devices=f"h100:{CARDS}", strategy="sharded")
            rate = f"{256 // tokens}x"
            held = whole.memory
            rest = held.gradients_bytes + held.optimizer_bytes + held.adapters_bytes
            amounts = (held.weights_bytes, rest, held.activations_bytes, held.total_bytes, parts.memory.total_bytes)
            memory.append([name, rate, *map(size, amounts)])
            hours, work, storage = parts.work.hours, parts.work, parts.storage
            flops = f"{(work.forward_flops + work.backward_flops) / 1e15:.2f}"
            stores = (storage.store_bfloat16_bytes, storage.store_int8_bytes, storage.checkpoint_bytes)
            time.append([name, rate, flops, duration(hours or 0.0), *map(size, stores)])
    line(["backbone", "rate", "weights", "adapters and training", "activations", "whole on each", "in 8 shards, each"])
    line(["---", "---:", "---:", "---:", "---:", "---:", "---:"])
    for row in memory:
        line(row)
    print()
    line(["backbone", "rate", "PFLOP a step", "2 M documents", "store of 1 M", "int8", "a checkpoint"])
    line(["---", "---:", "---:", "---:", "---:", "---:", "---:"])
    for row in time:
        line(row)


if __name__ == "__main__":
    main()
