"""A corpus at scale: ``python -m benchmarks.corpus encode | store | dtypes``.

**encode**: the whole of ``clara predict`` (documents read and cut into batches, memory, shards written and synced,
manifest) beside the bare trunk, without adapters, over the very tokens that it read, in the same batches. Both take
turns in one process.

**store**: a store of a million rows of synthetic memory (4 tokens of 576 numbers): opening it, building an index,
recall and time of a search in two stages on one core, and reading random rows beside reading the same bytes plainly.
Every part runs in a process of its own, so that its memory can be told. Each row of memory is a mixture of the memories
of three World Factbook passages, and some noise: its spectrum is that of real memory, its neighbours are those that
share most of a mixture. Queries are questions about these passages, as an untrained compressor reads them, and rows of
the store.

**dtypes**: the memory of a run of ``clara demo`` kept in each dtype: what is found, and what is answered from it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.settings import BACKBONE, ROOT

ROWS, TOKENS = 1_000_000, 4
DTYPES = ("bfloat16", "float16", "int8", "float8")
ROWS_PER_SHARD = 8192
PASSAGES, QUESTIONS = 2000, 400
NOISE = 0.15  # of a row's length
ENCODED, ROUNDS = 512, 5
RANDOM_ROWS = 100_000


@contextmanager
def peak_anonymous() -> Iterator[Callable[[], int]]:
    """Most bytes that this process had for itself, mapped files not among them, in the scope so far."""
    most, done = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            found = re.search(r"^RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
            assert found is not None
            most = max(most, int(found[1]) << 10)
            done.wait(0.02)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: most
    finally:
        done.set()
        watcher.join()


# --- encoding ---------------------------------------------------------------------------------------------------------


def encode(rounds: int) -> dict[str, Any]:
    """Seconds of encoding, and of the bare trunk over the same tokens."""
    import torch

    from benchmarks.prepare import prepare
    from benchmarks.texts import load_texts
    from benchmarks.timing import Rounds, take_turns
    from clara_lightning import SalientCompressor

    texts = load_texts()
    documents = list({document.id: document for document in texts.documents}.values())[:ENCODED]
    device = torch.device("cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        questions = [row.question for row in texts.questions[:16]]
        prepare(folder, BACKBONE, documents=documents, candidates=documents[:8], questions=questions, device=device)
        module = SalientCompressor(init_from=str(folder / "adapters"))
        numbers = count()

        def encoding() -> None:
            _predict(module, folder / "documents.jsonl", folder / f"store{next(numbers)}")

        batches = _batches_of(encoding)
        runner = module.backbone._runner

        @torch.inference_mode()
        def trunk() -> None:
            with module.backbone.use_adapter(None):
                for inputs_PD, sequences in batches:
                    runner.hidden(inputs_PD, sequences)

        variants = {"encoding": encoding, "trunk": trunk}
        turns = take_turns(variants, rounds=Rounds(0.0, least=rounds, most=rounds), device=device)
    tokens = sum(sum(sequences.lengths) for _, sequences in batches)
    padding = sum(runner.padding(sequences) for _, sequences in batches)
    pairs = zip(turns.seconds["encoding"], turns.seconds["trunk"], strict=True)
    return {
        "documents": len(documents),
        "tokens": tokens,
        "padding_share": padding / (tokens + padding),
        "seconds": turns.median("encoding"),
        "trunk_seconds": turns.median("trunk"),
        "ratios": [ours / bare for ours, bare in pairs],
        "ratio": turns.median("encoding") / turns.median("trunk"),
    }


def _predict(module: Any, documents: Path, store: Path) -> None:
    from lightning.pytorch import Trainer

    from clara_lightning import CorpusDataModule, CorpusEncoder

    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[CorpusEncoder(str(store))],
    )
    trainer.predict(module, CorpusDataModule(str(documents)), return_predictions=False)


def _batches_of(call: Callable[[], None]) -> list[tuple[Any, Any]]:
    """What the trunk is given while ``call`` runs."""
    from clara_lightning.backbone.runner import Runner

    found: list[tuple[Any, Any]] = []

    def watched(self: Runner, inputs_PD: Any, sequences: Any) -> Any:
        found.append((inputs_PD, sequences))
        return hidden(self, inputs_PD, sequences)

    hidden = Runner.hidden
    with mock.patch.object(Runner, "hidden", watched):
        call()
    return found


# --- a store of a million rows ----------------------------------------------------------------------------------------


def make(folder: Path, rows: int) -> dict[str, int]:
    """Write the store, and the questions' vectors beside it."""
    import torch

    from benchmarks.prepare import new_backbone
    from benchmarks.texts import load_texts
    from clara_lightning.backbone.adapters import COMPRESSOR
    from clara_lightning.backbone.folder import fingerprint
    from clara_lightning.corpus.destination import FolderDestination
    from clara_lightning.corpus.encoder import finish_store
    from clara_lightning.corpus.manifest import Identity
    from clara_lightning.corpus.shards import shard_name
    from clara_lightning.data.records import Document
    from clara_lightning.demo.factbook import demo_corpus

    passages = [document.content for document in demo_corpus(PASSAGES)]
    questions = [row.question for row in load_texts().questions]
    questions = (questions * -(-QUESTIONS // len(questions)))[:QUESTIONS]
    backbone = new_backbone(BACKBONE, passages, questions, device=torch.device("cpu"), memory_tokens=TOKENS)
    with torch.inference_mode():
        memory = [backbone.compress(passages[at : at + 64]).float() for at in range(0, len(passages), 64)]
        read = backbone.read(questions, adapter=COMPRESSOR)
    base_SLD = torch.cat(memory)
    torch.save({"query": read.memory_NLD.float(), "weights": read.weights_NL.float()}, folder / "queries.pt")
    identity = Identity(
        backbone=BACKBONE,
        compressor=fingerprint(backbone),
        memory_tokens=TOKENS,
        hidden_size=base_SLD.shape[2],
        dtype="bfloat16",
        compute_dtype="bfloat16",
        rows_per_shard=ROWS_PER_SHARD,
        documents_sha256="",
    )
    store = FolderDestination(folder / "store")
    store.begin(identity)
    draw = torch.Generator().manual_seed(0)
    starts = range(0, rows, ROWS_PER_SHARD)
    for number, start in enumerate(starts):
        count = min(ROWS_PER_SHARD, rows - start)
        documents = [Document(f"d{row}", f"Text {row}.") for row in range(start, start + count)]
        store.write(shard_name(number), documents, _mixed(base_SLD, count, draw), documents_cut=0, dtype="bfloat16")
    finish_store(store, identity, num_shards=len(starts))
    store.close()
    return {"rows": rows}


def _mixed(base_SLD: Any, count: int, draw: Any) -> Any:
    """Mixtures of three memories each, with noise as long as ``NOISE`` times a row."""
    import torch

    parts_C3 = torch.randint(len(base_SLD), (count, 3), generator=draw)
    shares_C3 = torch.empty(count, 3).exponential_(generator=draw)
    shares_C3 /= shares_C3.sum(dim=1, keepdim=True)
    memory_CLD = torch.einsum("cs,csld->cld", shares_C3, base_SLD[parts_C3])
    noise_CLD = torch.randn(memory_CLD.shape, generator=draw)
    scale = NOISE * memory_CLD.flatten(1).norm(dim=1) / noise_CLD.flatten(1).norm(dim=1)
    return memory_CLD + noise_CLD * scale[:, None, None]


def open_store(folder: Path) -> dict[str, float]:
    """Seconds and bytes of opening the store with its index; the interpreter and torch are counted apart."""
    from clara_lightning.corpus.search import open_index
    from clara_lightning.corpus.store import LatentStore

    with peak_anonymous() as peak:
        time.sleep(0.1)
        before = peak()
        started = time.perf_counter()
        store = LatentStore.open(folder / "store")
        opened = time.perf_counter()
        if (entry := store.manifest.index) is not None:
            open_index(store, score=entry.score)
        both = time.perf_counter()
        store.memory([0, len(store) - 1])
        time.sleep(0.1)
        return {
            "open_seconds": opened - started,
            "open_with_index_seconds": both - started,
            "open_megabytes": peak() / 1e6,
            "imports_megabytes": before / 1e6,
        }


def build(folder: Path, kind: str, score: str) -> dict[str, float]:
    """Seconds and bytes of building an index."""
    from clara_lightning.corpus.index_builder import IndexOptions
    from clara_lightning.corpus.maintenance import index

    with peak_anonymous() as peak:
        started = time.perf_counter()
        entry = index(folder / "store", IndexOptions(score, kind))  # type: ignore[arg-type]
        return {
            "build_seconds": time.perf_counter() - started,
            "index_gigabytes": peak() / 1e9,
            "index_file_megabytes": entry.bytes / 1e6,
        }


def search(folder: Path, source: str, wished: float) -> dict[str, Any]:
    """Recall and milliseconds of a two-stage search, set up for a recall, on one core."""
    import torch

    from clara_lightning.corpus.maintenance import search_by
    from clara_lightning.corpus.search_bench import Queries, bench
    from clara_lightning.corpus.store_folder import StoreFolder

    store = StoreFolder.open(folder / "store")
    loaded = torch.load(folder / "queries.pt")
    asked = Queries.of_questions(loaded["query"], loaded["weights"])
    queries = asked if source == "questions" else Queries.of_store(store, QUESTIONS)
    found = bench(store, queries, wished=wished, tell=lambda line: print(line, file=sys.stderr))
    assert store.manifest.index is not None
    search_by(folder / "store", store.manifest.index, found.settings)
    return {
        "recall": found.settings.recall,
        "milliseconds": found.milliseconds,
        "exact_milliseconds": found.exact_milliseconds,
        "effort": found.settings.effort,
        "fetch": found.settings.fetch,
        "is_reached": found.is_reached,
    }


def read_rows(folder: Path) -> dict[str, float]:
    """Random rows from the store, and the same bytes by plain reads; before each, no page is in memory."""
    import random

    import torch

    from clara_lightning.corpus.store import LatentStore

    store = LatentStore.open(folder / "store")
    files = sorted((folder / "store" / "shards").glob("*.safetensors"))
    rows = random.Random(0).sample(range(len(store)), min(RANDOM_ROWS, len(store)))
    size = TOKENS * 576 * torch.bfloat16.itemsize
    _forget(files)
    started = time.perf_counter()
    for at in range(0, len(rows), 1000):
        store.memory(rows[at : at + 1000])
    ours = time.perf_counter() - started
    store.close()
    _forget(files)
    descriptors = [os.open(file, os.O_RDONLY) for file in files]
    started = time.perf_counter()
    for at in range(0, len(rows), 1000):
        for row in sorted(rows[at : at + 1000]):
            shard, place = divmod(row, ROWS_PER_SHARD)
            os.pread(descriptors[shard], size, 1024 + place * size)
    plain = time.perf_counter() - started
    return {
        "rows": len(rows),
        "rows_a_second": len(rows) / ours,
        "plain_rows_a_second": len(rows) / plain,
        "share_of_plain": plain / ours,
    }


def _forget(files: list[Path]) -> None:
    """Take the files out of the system's memory."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def store(args: argparse.Namespace) -> dict[str, Any]:
    """All parts, each in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(args.folder or name)
        if not (folder / "store" / "manifest.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            _part("make", folder, rows=args.rows)
        found: dict[str, Any] = {"stored": args.rows, "kind": args.kind, "score": args.score}
        found |= _part("build", folder, kind=args.kind, score=args.score)
        for source in ("rows", "questions"):
            found[f"asked by {source}"] = _part("search", folder, source=source, recall=args.recall)
        return found | _part("open", folder) | _part("read", folder)


def _part(part: str, folder: Path, **options: object) -> dict[str, Any]:
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    command = [sys.executable, "-m", "benchmarks.corpus", "part", part, str(folder), *words]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


# --- how memory is kept -----------------------------------------------------------------------------------------------


def dtypes(run: Path, limit: int) -> dict[str, dict[str, float]]:
    """What each dtype of the memory does to a search and to answers, of a run of ``clara demo``."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for dtype in DTYPES:
            store, report = folder / dtype, folder / f"report-{dtype}"
            encode = ("predict", "--config", str(ROOT / "src/clara_lightning/demo/configs/encode.yaml"))
            documents = run / "data" / "documents.jsonl"
            _clara(*encode, "--model.init_args.init_from", run / "compressor" / "adapters")(
                "--data.init_args.documents", documents, "--encoder.store", store, "--encoder.dtype", dtype
            )
            _clara("evaluate", "--adapters", run / "joint" / "adapters", "--store", store)(
                *("--data", run / "data" / "qa_val.jsonl", "--limit", limit, "--batch-size", 16, "--dense", "none"),
                *("--conditions", "retrieved_memory", "--max-new-tokens", 12, "--out", report),
            )
            results = json.loads((report / "results.json").read_text(encoding="utf-8"))
            answers = {key: results["answers"][key] for key in ("gold_memory", "retrieved_memory")}
            found[dtype] = {
                "recall@5": results["retrieval"]["corpus"]["clara"]["recall@5"]["value"],
                "same5": _same(run, folder / DTYPES[0], store),
                "gold_retained": answers["gold_memory"]["information_retained"]["value"],
                "gold_em": answers["gold_memory"]["em"]["value"],
                "retrieved_retained": answers["retrieved_memory"]["information_retained"]["value"],
                "retrieved_em": answers["retrieved_memory"]["em"]["value"],
                "megabytes": sum(file.stat().st_size for file in store.glob("shards/*.safetensors")) / 1e6,
            }
            print(dtype, found[dtype], file=sys.stderr)
    return found


def _clara(*words: object) -> Callable[..., None]:
    def call(*more: object) -> None:
        command = [sys.executable, "-m", "clara_lightning", *map(str, (*words, *more))]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    return call


def _same(run: Path, first: Path, second: Path) -> float:
    """Share of the five best documents in one store that are the five best in the other, over all questions."""
    from clara_lightning.data.readers import read_questions
    from clara_lightning.inference.pipeline import ClaraPipeline

    texts = [question.question for question in read_questions(run / "data" / "qa_val.jsonl")]
    ours, others = (
        ClaraPipeline.open(adapters=run / "joint" / "adapters", store=store).hits(texts, top_k=5).rows_BK.tolist()
        for store in (first, second)
    )
    return sum(len(set(a) & set(b)) / 5 for a, b in zip(ours, others, strict=True)) / len(texts)


def main() -> None:
    """Run one measurement, and print what it found as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus", description=__doc__)
    parser.add_argument("what", choices=["encode", "store", "dtypes", "part"])
    parser.add_argument("part", nargs="?")
    parser.add_argument("folder", nargs="?", help="where the store is kept; by default it is removed at the end")
    parser.add_argument("--folder", dest="kept")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--kind", default="ivf-sq")
    parser.add_argument("--score", default="flat")
    parser.add_argument("--source", default="rows")
    parser.add_argument("--recall", type=float, default=0.995)
    parser.add_argument("--run", type=Path, default=Path("demo-run"), help="of clara demo, for dtypes")
    parser.add_argument("--limit", type=int, default=200, help="questions that dtypes asks")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    if args.what == "part":
        folder = Path(args.folder)
        parts: dict[str, Callable[[], Any]] = {
            "make": lambda: make(folder, args.rows),
            "open": lambda: open_store(folder),
            "build": lambda: build(folder, args.kind, args.score),
            "search": lambda: search(folder, args.source, args.recall),
            "read": lambda: read_rows(folder),
        }
        print(json.dumps(parts[args.part]()))
        return
    args.folder = args.kept
    works: dict[str, Callable[[], Any]] = {
        "encode": lambda: encode(args.rounds),
        "store": lambda: store(args),
        "dtypes": lambda: dtypes(args.run, args.limit),
    }
    print(json.dumps(works[args.what](), indent=2))


if __name__ == "__main__":
    main()
