"""The tables of docs/corpus_at_scale.md: ``python scripts/corpus_tables.py``; no weights, no network.

Every figure is arithmetic; the formulas stand on the page. Operations are counted as ``clara estimate`` counts them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from transformers import Qwen3Config

from clara_lightning.cli.trainer import parse_settings
from clara_lightning.corpus.manifest import MANIFEST, Identity, Manifest, Shard
from clara_lightning.corpus.memory_dtypes import MemoryDtype, bytes_per_row
from clara_lightning.estimate.devices import CARDS
from clara_lightning.estimate.estimate import Request, estimate
from clara_lightning.estimate.report import duration, size

CONFIGS = Path(__file__).parents[1] / "configs"
PASSAGES = 21_015_324
TOKENS = 160  # of a passage of 100 words with its title
DEVICES = (8, 64, 512)
MEMORY_TOKENS = (16, 4)
DTYPES: tuple[MemoryDtype, ...] = ("bfloat16", "int8")
MFU = 0.35
PEAK = CARDS["h100"].flops
CARD_BYTES_A_SECOND = 3.35e12  # H100 SXM, data sheet
RAM_BYTES_A_SECOND = 200e9  # assumed: a server's main memory
DISK_BYTES_A_SECOND = 7e9  # assumed: an NVMe drive, in order
KEYS = (128, 256, 1024, 4096)
PARTITIONS, PROBES = 65_536, 64
QUESTION_TOKENS, CANDIDATES = 24, 50
ROWS_PER_SHARD = (1024, 16_384, 65_536)

BACKBONES = {
    "Mistral-7B": "mistralai/Mistral-7B-Instruct-v0.3",
    "Qwen3-4B": "Qwen/Qwen3-4B-Instruct-2507",
    "Qwen3-0.6B": "",
}
# By its published sizes: the package's own table of architectures does not have it.
QWEN3_SMALL = Qwen3Config(
    hidden_size=1024,
    num_hidden_layers=28,
    num_attention_heads=16,
    num_key_value_heads=8,
    head_dim=128,
    intermediate_size=3072,
    vocab_size=151_936,
    tie_word_embeddings=True,
)


class Backbone(NamedTuple):
    """What the tables need of a backbone with so many memory tokens."""

    name: str
    memory_tokens: int
    hidden_size: int
    frozen: int
    document_flops: float


def backbones(
    names: Iterable[str] = tuple(BACKBONES), *, memory_tokens: Iterable[int] = MEMORY_TOKENS
) -> Iterator[Backbone]:
    """Ask ``clara estimate`` about encoding."""
    with tempfile.TemporaryDirectory() as folder:
        QWEN3_SMALL.save_pretrained(folder)
        for name in names:
            for tokens in memory_tokens:
                yield _backbone(name, BACKBONES[name] or folder, tokens)


def _backbone(name: str, place: str, memory_tokens: int) -> Backbone:
    settings = {
        "model.init_args.backbone.name": place,
        "model.init_args.backbone.dtype": "bfloat16",
        "model.init_args.memory_tokens": str(memory_tokens),
        "model.init_args.document_tokens": str(TOKENS),
    }
    words = ["--config", str(CONFIGS / "encode.yaml"), *(f"--{key}={value}" for key, value in settings.items())]
    found = estimate(parse_settings(words), Request(device="h100:1", documents=PASSAGES, mfu=MFU))
    flops = found.work.forward_flops / found.work.examples
    weights = found.memory.weights_bytes // 2
    return Backbone(name, memory_tokens, int(found.backbone["hidden_size"]), weights, flops)


def table(head: str, rows: Iterable[list[str]], *, words: int = 1) -> str:
    """A Markdown table; the columns after the first ``words`` are numbers."""
    titles = head.split(" | ")
    marks = ["---"] * words + ["---:"] * (len(titles) - words)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in ([titles, marks, *rows]))


def encoding(found: Iterable[Backbone]) -> str:
    """Hours."""
    rows = [
        [b.name, str(b.memory_tokens), f"{b.document_flops / 1e12:.3f}"]
        + [seconds(PASSAGES * b.document_flops / (n * MFU * PEAK)) for n in DEVICES]
        for b in found
    ]
    return table("backbone | memory tokens | TFLOP a passage | 8 | 64 | 512", rows)


def store(found: Iterable[Backbone]) -> str:
    """Bytes, and a pass over them."""
    rows = []
    for b in found:
        for dtype in DTYPES:
            one = bytes_per_row(dtype, b.memory_tokens, b.hidden_size)
            whole = one * PASSAGES
            each = [size(whole // n) for n in DEVICES]
            times = [seconds(whole / DISK_BYTES_A_SECOND), seconds(whole / (64 * CARD_BYTES_A_SECOND))]
            rows.append([b.name, str(b.memory_tokens), dtype, f"{one:,}", size(whole), *each, *times])
    head = (
        "backbone | memory tokens | dtype | bytes a passage | all | each of 8 | of 64 | of 512 | from a disk | from 64"
    )
    return table(head, rows)


def keys() -> str:
    """Indexes of short keys."""
    rows = []
    for dims in KEYS:
        flat, code = PASSAGES * dims * 4, dims // 4
        packed = PASSAGES * (code + 8) + (PARTITIONS + 256) * dims * 4
        read = PARTITIONS * dims * 4 + PASSAGES * PROBES // PARTITIONS * code
        card, server = MFU * PEAK / (2 * PASSAGES * dims), RAM_BYTES_A_SECOND / read
        sizes = [size(flat), size(packed), seconds(flat / RAM_BYTES_A_SECOND)]
        rows.append([f"{dims:,}", *sizes, f"{card:,.0f}", size(read), f"{server:,.0f}"])
    head = "K | flat | IVF-PQ | a pass | flat, questions a second of a card | IVF-PQ reads | questions a second"
    return table(head, rows, words=0)


def questions(found: Iterable[Backbone]) -> str:
    """Making query vectors, and scoring candidates."""
    rows = []
    for b in found:
        flops = 2 * b.frozen * (QUESTION_TOKENS + b.memory_tokens)
        made = [f"{n * MFU * PEAK / flops:,.0f}" for n in DEVICES]
        reads = [CANDIDATES * bytes_per_row(dtype, b.memory_tokens, b.hidden_size) for dtype in DTYPES]
        scored = [f"{DISK_BYTES_A_SECOND / read:,.0f}" for read in reads]
        rows.append([b.name, str(b.memory_tokens), *made, size(reads[0]), *scored])
    head = (
        "backbone | memory tokens | made by 8 | by 64 | by 512 | read for a question | scored, bfloat16 | scored, int8"
    )
    return table(head, rows)


def opening(one: Backbone) -> str:
    """What opening a store looks at, by the size of its shards."""
    rows = []
    for per_shard in ROWS_PER_SHARD:
        shards = -(-PASSAGES // per_shard)
        lost = per_shard * one.document_flops / (MFU * PEAK)
        row_bytes = bytes_per_row("bfloat16", one.memory_tokens, one.hidden_size)
        manifest = size(manifest_bytes(shards, per_shard))
        rows.append([f"{per_shard:,}", f"{shards:,}", f"{2 * shards:,}", manifest, size(per_shard * row_bytes)])
        rows[-1].append(seconds(lost))
    return table("rows per shard | shards | files | manifest | a shard's memory | a device loses", rows, words=0)


def manifest_bytes(shards: int, per_shard: int) -> int:
    """Size of the manifest, written by the code that writes stores."""
    identity = Identity("mistral", "0" * 64, 16, 4096, "bfloat16", "bfloat16", per_shard, "0" * 64)
    named = tuple(Shard(f"{number:08d}", per_shard, "0" * 64, "0" * 64) for number in range(shards))
    with tempfile.TemporaryDirectory() as folder:
        Manifest(identity, named, documents_cut=0).write(Path(folder))
        return (Path(folder) / MANIFEST).stat().st_size


def seconds(value: float) -> str:
    """A time, in the unit that reads best."""
    if value >= 60:
        return duration(value / 3600)
    return f"{value:.1f} s" if value >= 1 else f"{value * 1e3:.1f} ms"


def tables() -> dict[str, str]:
    """All tables by name."""
    found = list(backbones())
    return {
        "encoding": encoding(found),
        "store": store(found),
        "opening": opening(found[0]),
        "keys": keys(),
        "questions": questions(found),
    }


if __name__ == "__main__":
    for name, text in tables().items():
        print(f"<!-- {name}: made by scripts/corpus_tables.py -->\n{text}\n<!-- end -->\n")
