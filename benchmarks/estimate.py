"""Memory as ``clara estimate`` predicts it beside what ``clara fit`` needs: ``python -m benchmarks.estimate``.

Three backbones on the CPU, each with and without activation checkpointing, each in a process of its own: SmolLM2-135M,
and two Llamas with random weights that are made here. The measured figure is the peak resident size during two
optimizer steps of stage 1, as Linux counts it, reset after the weights are read. glibc keeps freed memory to itself,
so it is told to give back blocks above 64 KiB (``MALLOC_MMAP_THRESHOLD_``): compared is memory in use.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.settings import BACKBONE, MALLOC, ROOT

SIZES = {  # hidden, layers, heads, kv heads, intermediate
    "random Llama, 31 M": (384, 8, 6, 2, 1024),
    "SmolLM2-135M": None,
    "random Llama, 277 M": (1024, 20, 16, 4, 2816),
}


class Comparison(NamedTuple):
    """Bytes that were predicted and measured for one run."""

    name: str
    checkpointing: bool
    estimated: int
    measured: int

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.estimated / self.measured


def write_llama(folder: Path, sizes: tuple[int, int, int, int, int]) -> None:
    """A Llama with random weights and the tokenizer of SmolLM2."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from clara_lightning.backbone.loading import BackboneConfig, load_pretrained

    hidden, layers, heads, kv_heads, intermediate = sizes
    _, tokenizer = load_pretrained(BackboneConfig(name=BACKBONE))
    config = LlamaConfig(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=intermediate,
        vocab_size=len(tokenizer),
        tie_word_embeddings=True,
    )
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_rows(path: Path, *, count: int) -> None:
    """SCP rows whose documents are longer than what is read of them."""
    draw = random.Random(0)
    words = "the river town of north old bridge market stone early harbour salt wool mill road king year".split()

    def text(length: int) -> str:
        return " ".join(draw.choice(words) for _ in range(length))

    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            pairs = [{"question": f"{text(10)}?", "answer": text(8), "kind": "simple"} for _ in range(4)]
            row = {"id": f"d{number}", "document": text(400), "pairs": pairs, "paraphrase": text(100)}
            file.write(json.dumps(row) + "\n")


def options(folder: Path, backbone: str, *, checkpointing: bool, batch_size: int) -> list[str]:
    """What ``clara fit`` and ``clara estimate`` are both told."""
    settings = {
        "model.init_args.backbone.name": backbone,
        "model.init_args.backbone.dtype": "bfloat16",
        "model.init_args.backbone.gradient_checkpointing": str(checkpointing).lower(),
        "data.init_args.train": str(folder / "train.jsonl"),
        "data.init_args.val": "null",
        "data.init_args.batch_size": str(batch_size),
        "trainer.max_steps": "2",
        "trainer.accumulate_grad_batches": "1",
        "trainer.accelerator": "cpu",
        "trainer.devices": "1",
    }
    words = ["--config", str(ROOT / "configs" / "compressor.yaml")]
    return words + [word for key, value in settings.items() for word in (f"--{key}", value)]


def run(words: list[str]) -> str:
    """Standard output of a command of ours."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | MALLOC | {"PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-m", "clara_lightning", *words], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"clara {words[0]} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def compare(folder: Path, name: str, backbone: str, *, checkpointing: bool, batch_size: int = 4) -> Comparison:
    """Predict and measure one run."""
    words = options(folder, backbone, checkpointing=checkpointing, batch_size=batch_size)
    predicted: dict[str, Any] = json.loads(run(["estimate", *words, "--json"]))
    measured = folder / "peak.json"
    run(
        [
            "fit",
            *words,
            *("--trainer.default_root_dir", str(folder / f"run-{checkpointing}")),
            *("--trainer.limit_val_batches", "0"),
            *("--trainer.callbacks+", "benchmarks.peak.PeakResident", "--trainer.callbacks.path", str(measured)),
        ]
    )
    peak = json.loads(measured.read_text())["peak"]
    return Comparison(name, checkpointing, predicted["memory"]["total_bytes"], peak)


def comparisons(names: list[str]) -> Iterator[Comparison]:
    """All runs, one after the other."""
    for name in names:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_rows(folder / "train.jsonl", count=64)
            backbone, sizes = BACKBONE, SIZES[name]
            if sizes is not None:
                backbone = str(folder / "llama")
                write_llama(folder / "llama", sizes)
            for checkpointing in (False, True):
                yield compare(folder, name, backbone, checkpointing=checkpointing)


def table(rows: Iterator[Comparison]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield "| backbone | activation checkpointing | estimated GB | measured GB | ratio |"
    yield "|---|---|---:|---:|---:|"
    for row in rows:
        gigabytes = f"{row.estimated / 1e9:.2f} | {row.measured / 1e9:.2f}"
        yield f"| {row.name} | {'on' if row.checkpointing else 'off'} | {gigabytes} | {row.ratio:.2f} |"


def main() -> None:
    """Predict, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", choices=list(SIZES), action="append", metavar="NAME", help="one of the three backbones"
    )
    for line in table(comparisons(parser.parse_args().only or list(SIZES))):
        print(line, flush=True)


if __name__ == "__main__":
    main()
