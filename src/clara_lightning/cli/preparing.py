"""``clara convert | estimate | doctor | demo``: what comes before a run, and the run that needs nothing.

This module imports nothing heavy, so that help answers at once.
"""

from __future__ import annotations

import argparse
import json

from clara_lightning.cli.verb import Verb
from clara_lightning.errors import ClaraError


def _convert_options(parser: argparse.ArgumentParser) -> None:
    from clara_lightning.data.convert.registry import FORMATS

    width = max(map(len, FORMATS))
    names = "\n".join(f"{name:<{width}}  {known.summary}" for name, known in FORMATS.items())
    parser.add_argument("--from", required=True, dest="name", metavar="NAME", help=f"the format of IN, one of\n{names}")
    parser.add_argument(
        "source", metavar="IN", help="file or folder to read; nothing is downloaded unless it is hf://..."
    )
    parser.add_argument("out", metavar="OUT", help="file to write, a name that ends in .jsonl; for beir a folder")
    parser.add_argument("--split", metavar="NAME", help="of beir: judgements of qrels/NAME.tsv (default: test)")
    parser.add_argument("--max-words", type=int, metavar="N", help="of text: words of a passage at most (default: 120)")
    parser.add_argument("--skip-bad-rows", type=int, default=0, metavar="N", help="allow N bad rows in a file")
    parser.add_argument("--replace", action="store_true", help="write over OUT if it is there")
    parser.add_argument("--json", action="store_true", help="print the counts as one JSON object")


def _estimate_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "clara estimate --config FILE [--config FILE ...] [--key value ...] [options]"
    parser.epilog = "Configuration files and their keys are those of clara fit; see clara fit --help."
    parser.add_argument(
        "--device",
        metavar="SPEC",
        help="NAME[:MEMORYgb][:COUNT], as h100:80gb:8; cpu, or one of h200, h100, a100, l40s, a10g, rtx4090, t4\n"
        "(default: what is here, and trainer.devices of it)",
    )
    parser.add_argument("--mfu", type=float, metavar="X", help="share of the peak reached (default: 0.35, CPU 0.7)")
    parser.add_argument(
        "--documents", type=int, metavar="N", help="of the store (default: those of data, or a million)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, sizes in bytes")
    without = parser.add_argument_group("where the training file is not here")
    without.add_argument("--rows", type=int, metavar="N", help="its rows; without them time is for 1,000 steps")
    without.add_argument("--question-tokens", type=int, default=24, metavar="N", help="of a question (default: 24)")
    without.add_argument("--answer-tokens", type=int, default=64, metavar="N", help="of a target (default: 64)")
    without.add_argument("--template-tokens", type=int, default=64, metavar="N", help="around them (default: 64)")


def _doctor_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _demo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="demo-run", metavar="DIR", help="run folder (default: demo-run)")
    parser.add_argument("--fast", action="store_true", help="a few steps of everything, to see that it runs")


def convert(args: argparse.Namespace) -> None:
    """Make files of this project from data sets in their published formats, or from a folder of texts."""
    from clara_lightning.data.convert.run import convert as convert_files

    counts = convert_files(
        args.name,
        args.source,
        args.out,
        skip_bad_rows=args.skip_bad_rows,
        split=args.split,
        max_words=args.max_words,
        replace=args.replace,
    )
    print(json.dumps(counts.to_json()) if args.json else f"{args.out}: {counts.sentence()}")


def estimate(args: argparse.Namespace) -> None:
    """Say before a run what it takes: parameters, memory, time and storage. No weights are read."""
    if not any(word == "-c" or word.startswith("--config") for word in args.settings):
        raise ClaraError("estimate: --config is required: a file as clara fit takes it (see clara estimate --help)")
    from clara_lightning.cli.main import configuration_errors

    with configuration_errors(args.settings):
        from clara_lightning.cli.trainer import parse_settings

        settings = parse_settings(args.settings)
    from clara_lightning.cli.screen import print_estimate
    from clara_lightning.estimate.estimate import Request
    from clara_lightning.estimate.estimate import estimate as estimate_run
    from clara_lightning.estimate.lengths import Assumptions

    assumed = Assumptions(args.question_tokens, args.answer_tokens, args.template_tokens, args.rows)
    found = estimate_run(settings, Request(args.device, args.mfu, args.documents, assumed))
    if args.json:
        print(json.dumps(found.to_json()))
    else:
        print_estimate(found)


def doctor(args: argparse.Namespace) -> None:
    """Show what this machine offers: processor, memory, accelerators, versions, and what 'auto' means here."""
    from clara_lightning.cli.doctor import examine

    rows = examine()
    if args.json:
        print(json.dumps(rows))
        return
    width = max(map(len, rows))
    print("\n".join(f"{name:<{width}}  {finding}" for name, finding in rows.items()))


def demo(args: argparse.Namespace) -> None:
    """Compress, encode, train jointly, answer and measure: the whole pipeline on the World Factbook, on a laptop."""
    from clara_lightning.demo.run import run_demo

    run_demo(args.out, fast=args.fast)


VERBS = (
    Verb("convert", "make data files from other formats", _convert_options, convert),
    Verb("doctor", "what this machine offers", _doctor_options, doctor),
    Verb("estimate", "what a run takes, from its configuration", _estimate_options, estimate, passes_on=True),
    Verb("demo", "the whole pipeline on an embedded corpus", _demo_options, demo),
)
