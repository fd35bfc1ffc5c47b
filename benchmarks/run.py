"""Speed beside the plain path and beside the limit: ``python -m benchmarks.run``.

Every row does the same work on our path and on the published recipe written down plainly (``benchmarks/plain.py``),
taking turns in one process, with the same weights, data and precision. Nothing but public packages is needed. The
tables go to standard output, what is going on to standard error.

rows: s start-up, t trunk by dtype, a to c a step of stages 1 to 3, d encoding, e answers and their first token
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from benchmarks.answers import answer_rows
from benchmarks.basics import start_up, trunk
from benchmarks.machine import machine
from benchmarks.measure import Bench, measure
from benchmarks.prepare import LORA, prepare
from benchmarks.results import Comparison, Report, Row
from benchmarks.settings import BACKBONE, DOCUMENT_TOKENS, MEMORY_TOKENS
from benchmarks.tables import markdown
from benchmarks.texts import Lengths, load_texts, token_counts
from benchmarks.works import NUM_DOCUMENTS, all_works, candidates, encoded
from clara_lightning.backbone.loading import BackboneConfig, load_pretrained
from clara_lightning.errors import ClaraError
from clara_lightning.inference.pipeline import best_device

ROWS = ("s", "t", "a", "b", "c", "d", "e")
QUICK_ROWS = ("a", "d", "e")


def run(
    rows: Sequence[str] = ROWS,
    *,
    backbone: str = BACKBONE,
    quick: bool = False,
    rounds: int | None = None,
    with_peaks: bool = True,
) -> Report:
    """Measure some rows.

    Args:
        rows: letters of :data:`ROWS`.
        backbone: as ``backbone.name``.
        quick: one round, no peak memory, the most important variants alone.
        rounds: of each row; ``None`` goes by time.
        with_peaks: measure peak memory.

    Raises:
        ClaraError: a package is not installed, or the backbone cannot be found.
    """
    device, texts, found = torch.device(best_device()), load_texts(), machine()
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(
            Path(folder),
            backbone,
            documents=encoded(texts),
            candidates=candidates(texts),
            questions=[row.question for row in texts.questions],
            device=device,
        )
        bench = Bench(prepared, texts, backbone, device, quick, rounds, with_peaks and not quick)
        report = Report(found, list(_setting(bench)))
        for measured in (part for key in rows for part in _measured(key, bench)):
            report.add(measured)
            print(f"measured {measured.key}: {measured.title}", file=sys.stderr, flush=True)
    return report


def _measured(key: str, bench: Bench) -> Iterator[Row | Comparison]:
    """What a letter stands for."""
    match key:
        case "s":
            yield start_up(bench)
        case "t":
            yield trunk(bench)
        case "e":
            yield from answer_rows(bench)
        case _:
            yield measure(all_works(bench.texts, bench.prepared.documents)[key], bench)


def _setting(bench: Bench) -> Iterator[str]:
    """What a reader of the tables has to know."""
    model, tokenizer = load_pretrained(BackboneConfig(name=bench.name))
    yield (
        f"`{bench.name}` in {str(model.dtype).removeprefix('torch.')} on {bench.device}; {MEMORY_TOKENS} memory tokens "
        f"of the kind anchors for at most {DOCUMENT_TOKENS} tokens; both paths with LoRA of rank {LORA.rank}, alpha "
        f"{LORA.alpha}, in all linear layers, dropout {LORA.dropout:g}"
    )
    examples = bench.texts.all_pairs(NUM_DOCUMENTS)
    for name, texts in (
        ("documents of row a", [text for row in examples for text in row.documents]),
        ("its answers", [row.answer for row in examples]),
        ("documents of row c", [document.content for document in candidates(bench.texts)]),
        ("documents of row d", [document.content for document in encoded(bench.texts)]),
    ):
        yield f"{name}: {Lengths.of(token_counts(texts, tokenizer, limit=DOCUMENT_TOKENS))}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What decides how a run measures."""
    parser.add_argument("--rows", type=_letters, metavar="LETTERS", help="some rows, as a,c (default: all)")
    parser.add_argument("--quick", action="store_true", help="rows a, d, e, one round each, no peak memory")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each row (default: as time allows)")
    parser.add_argument("--no-peaks", action="store_true", help="leave out peak memory")
    parser.add_argument("--backbone", default=BACKBONE, metavar="NAME", help="as backbone.name (default: SmolLM2-135M)")


def run_as_told(args: argparse.Namespace) -> Report:
    """A run with the options of :func:`add_options`."""
    rows = args.rows or (QUICK_ROWS if args.quick else ROWS)
    return run(rows, backbone=args.backbone, quick=args.quick, rounds=args.rounds, with_peaks=not args.no_peaks)


def _letters(text: str) -> list[str]:
    letters = text.split(",")
    if unknown := [letter for letter in letters if letter not in ROWS]:
        raise argparse.ArgumentTypeError(f"unknown row {unknown[0]!r}, only {', '.join(ROWS)}")
    return letters


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where both paths do not compute the same, 2 where something is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as data too")
    args = parser.parse_args(words)
    try:
        report = run_as_told(args)
    except ClaraError as error:
        print(error, file=sys.stderr)
        return 2
    print(markdown(report))
    if args.json:
        args.json.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
    wrong = report.disagreements()
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
