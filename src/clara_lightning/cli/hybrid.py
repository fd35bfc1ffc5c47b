"""The options of hybrid search.

This module imports nothing heavy, so that help answers at once.
"""

from __future__ import annotations

import argparse

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
