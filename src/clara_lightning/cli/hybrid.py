"""The options of hybrid search, and ``clara index``, which builds what it needs.

This module imports nothing heavy, so that help answers at once.
"""

from __future__ import annotations

import argparse
import json

from clara_lightning.cli.verb import Verb
from clara_lightning.errors import ClaraError


def hybrid_options(parser: argparse.ArgumentParser) -> None:
    """``--hybrid`` and ``--hybrid-weight``."""
    parser.add_argument(
        "--hybrid",
        choices=["weighted", "reciprocal_rank"],
        help="search by words (BM25) too, and fuse both by their scores or by their ranks (default: off)",
    )
    parser.add_argument(
        "--hybrid-weight", type=float, metavar="X", help="BM25's part of --hybrid, from 0 to 1 (default: 0.5)"
    )


def hybrid_of(args: argparse.Namespace):  # type: ignore[no-untyped-def]  # its class is heavy to import
    """The settings that these options name; ``None`` where hybrid search is off."""
    if args.hybrid is None:
        if args.hybrid_weight is not None:
            raise ClaraError("--hybrid-weight has no effect without --hybrid")
        return None
    from clara_lightning.corpus.hybrid import HybridSettings

    if args.hybrid_weight is None:
        return HybridSettings(args.hybrid)
    return HybridSettings(args.hybrid, args.hybrid_weight)


def _index_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", required=True, metavar="DIR", help="store made by clara predict")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def index(args: argparse.Namespace) -> None:
    """Build the index of a store's words (BM25) that --hybrid needs; one that is there is replaced."""
    from clara_lightning.corpus.lexical import build_lexical_index, folder_of
    from clara_lightning.corpus.store import LatentStore

    store = LatentStore.open(args.store)
    made = build_lexical_index(store)
    size = sum(path.stat().st_size for path in folder_of(store).iterdir())
    if args.json:
        print(json.dumps({"documents": len(made), "words": made.num_words, "bytes": size}))
    else:
        print(f"{folder_of(store)}: {len(made):,} documents, {made.num_words:,} different words, {size:,} bytes")


VERBS = (Verb("index", "index a store's words for --hybrid", _index_options, index),)
