"""``clara store index | bench``: the indexes of a store, and how good and quick a search with one is.

This module imports nothing heavy, so that help answers at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from clara_lightning.cli.verb import backbone_of, model_options
from clara_lightning.errors import ClaraError

if TYPE_CHECKING:
    from clara_lightning.corpus.search_bench import Measured, Queries
    from clara_lightning.corpus.store_folder import StoreFolder


def folder_of_store(args: argparse.Namespace, verb: str) -> Path:
    """The store's folder, of a verb that changes it."""
    from clara_lightning.corpus.address import is_address

    if is_address(args.store):
        raise ClaraError(
            f"store {verb}: {args.store} is an address, and only a folder can be changed: "
            f"clara store pull {args.store} FOLDER"
        )
    return Path(args.store)


def tell(line: str) -> None:
    """Say on the screen, beside the result, how far it is."""
    print(line, file=sys.stderr)


def index_options(parser: argparse.ArgumentParser) -> None:
    """Of ``clara store index``."""
    parser.add_argument("store", metavar="STORE", help="store made by clara predict")
    parser.add_argument(
        "--kind",
        choices=["flat", "hnsw", "ivf-sq", "ivf-pq"],
        help="of a search in two stages: flat compares a short key of each document, hnsw walks a graph over them,\n"
        "ivf-sq looks at the nearest of many lists, ivf-pq too in half the space; for millions take ivf-sq.\n"
        "Without it the words are indexed, for --hybrid",
    )
    parser.add_argument("--score", choices=["flat", "maxsim", "mean"], help="that the adapters were trained with")
    parser.add_argument("--key-dim", type=int, metavar="N", help="numbers of a key (default: 512, maxsim 128)")
    parser.add_argument("--memory-gb", type=float, metavar="G", help="that the build may take (default: 4)")
    parser.add_argument("--rebuild", action="store_true", help="build the indexes that the store has, anew")
    parser.add_argument("--json", action="store_true", help="print one JSON object an index")


def index(args: argparse.Namespace) -> None:
    """Build an index of a store, in place of one that is there.

    Without --kind of its words (BM25), which --hybrid needs; with it of its memory, for millions of documents: then a
    search compares keys first, and scores exactly what they lead to. clara store bench says how good that is, and sets
    it up for a wished recall.
    """
    folder = folder_of_store(args, "index")
    _check_index_options(args)
    if args.rebuild:
        _rebuild(args, folder)
    elif args.kind is None:
        _index_words(args, folder)
    else:
        _index_memory(args, folder)


def _check_index_options(args: argparse.Namespace) -> None:
    given = {"--score": args.score, "--key-dim": args.key_dim, "--memory-gb": args.memory_gb}
    for name, value in given.items():
        if value is not None and args.kind is None:
            raise ClaraError(f"{name} has no effect without --kind")
    if args.rebuild and args.kind:
        raise ClaraError("--rebuild builds what the store has: leave out --kind")
    if args.kind and args.score is None:
        raise ClaraError("--score is required with --kind: flat, maxsim or mean, as the adapters were trained")


def _rebuild(args: argparse.Namespace, folder: Path) -> None:
    from clara_lightning.corpus.lexical import has_lexical_index
    from clara_lightning.corpus.manifest import Manifest
    from clara_lightning.corpus.store import LatentStore

    opened = LatentStore.open(folder, setting="STORE")
    has_words = has_lexical_index(opened)
    opened.close()  # else the former index would be kept for a reader
    has_keys = Manifest.read(folder, setting="STORE").index is not None
    if not has_words and not has_keys:
        raise ClaraError(f"--rebuild: {folder} has no index")
    if has_words:
        _index_words(args, folder)
    if has_keys:
        _index_memory(args, folder)


def _index_words(args: argparse.Namespace, folder: Path) -> None:
    from clara_lightning.corpus.lexical import build_lexical_index, folder_of
    from clara_lightning.corpus.lock import writing
    from clara_lightning.corpus.store import LatentStore

    opened = LatentStore.open(folder, setting="STORE")
    with writing(opened.path, setting="STORE"):
        made = build_lexical_index(opened)
    opened.close()
    size = sum(path.stat().st_size for path in folder_of(opened).iterdir())
    if args.json:
        print(json.dumps({"documents": len(made), "words": made.num_words, "bytes": size}))
    else:
        print(f"{folder_of(opened)}: {len(made):,} documents, {made.num_words:,} different words, {size:,} bytes")


def _index_memory(args: argparse.Namespace, folder: Path) -> None:
    import logging

    from clara_lightning.corpus.index_builder import IndexOptions
    from clara_lightning.corpus.index_entry import FOLDER
    from clara_lightning.corpus.maintenance import index as index_store

    logging.getLogger("clara_lightning").setLevel(logging.INFO)
    memory = {} if args.memory_gb is None else {"memory_gb": args.memory_gb}
    options = IndexOptions(args.score, args.kind, args.key_dim, **memory) if args.kind else None
    made = index_store(folder, options)
    if args.json:
        print(json.dumps({"documents": made.rows, "kind": made.kind, "score": made.score, "bytes": made.bytes}))
    else:
        print(
            f"{folder / FOLDER / made.folder}: {made.rows:,} documents, {made.bytes:,} bytes; clara store bench "
            "sets it up for a recall"
        )


def bench_options(parser: argparse.ArgumentParser) -> None:
    """Of ``clara store bench``."""
    parser.add_argument("store", metavar="STORE", help="store with an index (clara store index STORE --kind ...)")
    parser.add_argument(
        "--recall", type=float, default=0.99, metavar="R", help="share of the exact best to find (default: 0.99)"
    )
    parser.add_argument("--top-k", type=int, default=5, metavar="K", help="of so many (default: 5)")
    parser.add_argument("--queries", type=int, default=400, metavar="N", help="to measure with (default: 400)")
    parser.add_argument(
        "--questions", metavar="FILE", help="to measure with; without it documents of the store ask for their likes"
    )
    parser.add_argument("--adapters", metavar="DIR", help="that read the questions")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="that search (default: 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    model_options(parser)


def bench(args: argparse.Namespace) -> None:
    """Measure recall and time of a store's two-stage search, and set it up for a recall.

    Every search that is tried is compared with the exact one. The quickest that finds the wished share, with each of
    two thirds of the queries, is written into the store's manifest. The recall reported is that of the last third.
    """
    folder = folder_of_store(args, "bench")
    if (args.questions is None) != (args.adapters is None):
        raise ClaraError("--questions and --adapters go together: questions are searched as the adapters read them")
    if args.threads < 1:
        raise ClaraError(f"--threads must be >= 1, got {args.threads}")
    from clara_lightning.corpus.maintenance import search_by
    from clara_lightning.corpus.search_bench import bench as measure
    from clara_lightning.corpus.store_folder import StoreFolder

    store = StoreFolder.open(folder, setting="STORE")
    if store.manifest.index is None:
        raise ClaraError(f"STORE: {folder} has no search index: clara store index {folder} --kind ivf-sq --score ...")
    found = measure(
        store,
        _queries(args, store),
        wished=args.recall,
        top_k=args.top_k,
        threads=args.threads,
        tell=tell,
    )
    search_by(folder, store.manifest.index, found.settings)
    _print(args, found)


def _queries(args: argparse.Namespace, store: StoreFolder) -> Queries:
    from clara_lightning.corpus.search_bench import Queries

    if args.queries < 3:
        raise ClaraError(f"--queries must be >= 3, got {args.queries}")
    if args.questions is None:
        return Queries.of_store(store, min(args.queries, len(store)))
    import torch

    from clara_lightning.backbone.folder import AdapterFolder, build_from_folder, reasoner_of
    from clara_lightning.data.readers import read_questions
    from clara_lightning.inference.pipeline import usable_device

    folder = AdapterFolder.open(args.adapters).of_length(store.memory_shape[0])
    store.require(fingerprint=folder.fingerprint, memory_tokens=folder.memory.tokens, setting="STORE")
    texts = [
        question.question for question, _ in zip(read_questions(args.questions), range(args.queries), strict=False)
    ]
    backbone = build_from_folder(folder, backbone=backbone_of(args)).to(usable_device(args.device))
    with torch.no_grad():
        read = backbone.read(texts, adapter=reasoner_of(folder))
    return Queries.of_questions(read.memory_NLD.float().cpu(), read.weights_NL.float().cpu())


def _print(args: argparse.Namespace, found: Measured) -> None:
    settings = found.settings
    if args.json:
        spent = {"milliseconds": found.milliseconds, "exact_milliseconds": found.exact_milliseconds}
        print(json.dumps(asdict(settings) | spent | {"is_reached": found.is_reached}))
        return
    print(f"{'effort':>8} {'fetched':>8} {'recall':>8} {'ms':>8}")
    for point in found.points:
        row = point.settings
        print(f"{row.effort:>8} {row.fetch:>8} {point.recall:>8.4f} {point.milliseconds:>8.2f}")
    print(f"{'exact':>8} {'':>8} {1:>8.4f} {found.exact_milliseconds:>8.2f}")
    if not found.is_reached:
        print(f"no search reached {settings.wished}: a larger --key-dim, or --kind flat, finds more")
    print(
        f"set: effort {settings.effort}, {settings.fetch} documents fetched for {settings.top_k}; recall "
        f"{settings.recall:.4f} of {settings.queries} other queries, {found.milliseconds:.2f} ms a query"
    )
