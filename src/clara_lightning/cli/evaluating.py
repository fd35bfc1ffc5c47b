"""``clara evaluate``, ``evaluate compare`` and ``evaluate spread``.

This module imports nothing heavy, so that help answers at once.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from clara_lightning.cli.hybrid import hybrid_of, hybrid_options
from clara_lightning.cli.verb import Verb, backbone_of, model_options
from clara_lightning.errors import ClaraError


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--adapters", required=True, metavar="DIR", help="adapter folder made by clara fit")
    parser.add_argument("--data", required=True, metavar="FILE", help="questions with answers and gold documents")
    parser.add_argument(
        "--store",
        action="append",
        metavar="DIR",
        help="store that gold_ids point into; several, or a file that names one a line, are one (default: each\n"
        "question's passages)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the report")
    parser.add_argument(
        "--conditions",
        metavar="NAMES",
        help="comma-separated, beside the four that are always measured (default: all that the data allow):\n"
        "none, another, gold_memory, gold_text; retrieved_memory, oracle_memory, retrieved_text, NAME_memory;\n"
        "backbone_none, backbone_gold_text, backbone_gold_tokens, backbone_retrieved_text, backbone_NAME_text,\n"
        "where NAME is bm25, dense, hybrid (with --hybrid) or a --reasoner",
    )
    parser.add_argument(
        "--candidates",
        type=int,
        metavar="N",
        help="candidates of a question: its passages, filled up to N by BM25 (default: 20 with --store, else as given)",
    )
    parser.add_argument(
        "--candidates-only", action="store_true", help="rank a question's candidates, and do not search the whole store"
    )
    parser.add_argument(
        "--reasoner",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="another query reasoner over the same memory, as a retriever of the same tables; may be repeated",
    )
    parser.add_argument(
        "--dense",
        metavar="NAME",
        help="dense retriever of sentence-transformers (default: all-MiniLM-L6-v2; none: off)",
    )
    hybrid_options(parser)
    parser.add_argument("--paraphrases", metavar="FILE", help="SCP data: say its documents in other words, for ROUGE-L")
    parser.add_argument(
        "--memory-tokens",
        type=int,
        metavar="L",
        help="length of a memory, of a nested compressor (default: as trained)",
    )
    parser.add_argument("--top-k", type=int, metavar="K", help="documents per question (default: as trained)")
    parser.add_argument("--limit", type=int, metavar="N", help="N questions, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is drawn (default: 0)")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N")
    parser.add_argument("--max-new-tokens", type=int, default=32, metavar="N", help="length of an answer at most")
    parser.add_argument("--skip-bad-rows", type=int, default=0, metavar="N", help="allow N unreadable rows")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    model_options(parser)


def _compare_options(parser: argparse.ArgumentParser) -> None:
    what = "REPORT, or REPORT:SYSTEM for one condition (gold_memory) or ranking (corpus/bm25) of it"
    parser.add_argument("first", metavar="A", help=what)
    parser.add_argument("second", metavar="B", help="likewise; differences are B - A")
    beyond = "count each condition from this one (none): what changed beyond its change"
    parser.add_argument("--beyond", metavar="CONDITION", help=beyond)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON list")


def _spread_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reports", nargs="+", metavar="REPORT", help="report folders, of several seeds for example")
    parser.add_argument("--json", action="store_true", help="print one JSON list")


def evaluate(args: argparse.Namespace) -> None:
    """Measure adapters on questions: answers under many conditions, retrieval, baselines, costs, and a report.

    clara evaluate compare A B   paired bootstrap between two reports, or two systems of them
    clara evaluate spread A B C  mean and standard deviation over reports

    An interrupted evaluation goes on where it was when the same command is given again.
    """
    from clara_lightning.evaluation.processes import Processes
    from clara_lightning.evaluation.run import evaluate_folder
    from clara_lightning.evaluation.settings import EvaluationSettings

    results, costs = evaluate_folder(
        EvaluationSettings(
            adapters=args.adapters,
            data=args.data,
            store=_one_or_several(args.store),
            out=args.out,
            conditions=None if args.conditions is None else tuple(filter(None, args.conditions.split(","))),
            candidates=args.candidates,
            candidates_only=args.candidates_only,
            reasoners=_named_folders(args.reasoner),
            dense=args.dense,
            hybrid=hybrid_of(args),
            paraphrases=args.paraphrases,
            memory_tokens=args.memory_tokens,
            top_k=args.top_k,
            limit=args.limit,
            seed=args.seed,
            batch_size=args.batch_size,
            max_new_tokens=args.max_new_tokens,
            skip_bad_rows=args.skip_bad_rows,
            backbone=backbone_of(args),
            device=args.device,
        )
    )
    if not Processes.launched().leads:
        return
    if args.json:
        print(json.dumps(results.to_json() | {"cost": asdict(costs)}))
    else:
        from clara_lightning.cli.screen import print_results

        print_results(results, costs, out=args.out)


def compare(args: argparse.Namespace) -> None:
    """Paired bootstrap between two runs, or two systems: the questions that both have, one by one."""
    from clara_lightning.evaluation.compare import compare as compare_reports

    rows = compare_reports(args.first, args.second, beyond=args.beyond, seed=args.seed)
    if args.json:
        from clara_lightning.evaluation.results import finite

        print(json.dumps(finite([row.to_json() for row in rows])))
    else:
        from clara_lightning.cli.screen import print_comparison

        print_comparison(rows, beyond=args.beyond)


def spread(args: argparse.Namespace) -> None:
    """Mean and standard deviation of every figure over reports: what a seed, or a sample of questions, is worth."""
    from clara_lightning.evaluation.compare import spread as spread_reports

    rows = spread_reports(args.reports)
    if args.json:
        print(json.dumps([row.to_json() for row in rows]))
    else:
        from clara_lightning.cli.screen import print_spread

        print_spread(rows)


def _one_or_several(stores: list[str] | None) -> str | tuple[str, ...] | None:
    """One store is named as ever, so that reports of one look alike."""
    return None if stores is None else stores[0] if len(stores) == 1 else tuple(stores)


def _named_folders(given: Sequence[str]) -> dict[str, str]:
    folders: dict[str, str] = {}
    for text in given:
        name, found, folder = text.partition("=")
        if not found or not folder:
            raise ClaraError(f"--reasoner: expected NAME=DIR, got {text!r}")
        if name in folders:
            raise ClaraError(f"--reasoner: {name!r} is given twice")
        folders[name] = folder
    return folders


VERBS = (
    Verb(
        "evaluate",
        "measure adapters on questions",
        _evaluate_options,
        evaluate,
        verbs={
            "compare": Verb("evaluate compare", "two reports, question by question", _compare_options, compare),
            "spread": Verb("evaluate spread", "figures over several reports", _spread_options, spread),
        },
    ),
)
