"""Speed beside the plain path and beside the limit: ``python -m benchmarks.run``.

Every row does the same work on our path and on the published recipe written down plainly (``benchmarks/plain.py``),
taking turns in one process, with the same weights, data and precision. Nothing but public packages is needed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.limit import Layers
from benchmarks.machine import machine
from benchmarks.memory import measure_apart
from benchmarks.prepare import LORA, Prepared, prepare
from benchmarks.results import Row, main_table
from benchmarks.settings import BACKBONE, OURS, PLAIN
from benchmarks.texts import Texts, load_texts
from benchmarks.timing import Rounds, take_turns
from benchmarks.works import Work, all_works, candidates, encoded
from clara_lightning.inference.pipeline import best_device

DROPOUT = 0.1
WITH_DROPOUT = f"ours, dropout {DROPOUT}"
TOLERANCE = {torch.bfloat16: 0.02, torch.float16: 0.02, torch.float32: 1e-3}
SECONDS = {"a": 100.0, "b": 100.0, "c": 50.0, "d": 60.0}  # measured rounds of a row
QUICK = 0.25
QUICK_ROWS = ("a", "c", "d")


class Bench(NamedTuple):
    """What the rows share.

    Attributes:
        prepared: where every path starts.
        texts: documents and questions.
        device: where to compute.
        share: of the seconds that each row takes.
        rounds: so many of each, whatever they take; ``None`` goes by seconds.
        with_peaks: measure peak memory too.
    """

    prepared: Prepared
    texts: Texts
    device: torch.device
    share: float = 1.0
    rounds: int | None = None
    with_peaks: bool = True

    def rounds_of(self, key: str) -> Rounds:
        """How often the variants of a row take their turns."""
        if self.rounds is not None:
            return Rounds(0.0, least=self.rounds, most=self.rounds)
        return Rounds(SECONDS[key] * self.share)


def measure(work: Work, bench: Bench) -> Row:
    """Measure one row of the main table."""
    ours, plain = (bench.prepared.open_way(name, bench.device) for name in (OURS, PLAIN))
    variants: dict[str, Callable[[], Tensor]] = {OURS: work.begin(ours), PLAIN: work.begin(plain)}
    if work.key == "a":
        variants[WITH_DROPOUT] = work.begin(bench.prepared.open_way(OURS, bench.device, dropout=DROPOUT))
    backbone = ours.backbone
    turns = take_turns(variants, rounds=bench.rounds_of(work.key), device=bench.device, dtype=backbone.causal_lm.dtype)
    passes = work.passes(backbone.prompts)
    layers = Layers.of_config(backbone.causal_lm.config, rank=LORA.rank)
    row = Row(
        work.key,
        work.title,
        turns.seconds,
        tokens=sum(part.tokens for part in passes),
        flops=layers.flops(passes),
        rate=turns.rate,
        difference=difference(turns.first[OURS], turns.first[PLAIN]),
    )
    del ours, plain, variants, backbone
    if bench.with_peaks:
        row.peaks = {name: measure_apart(work.key, name, bench.prepared) for name in (OURS, PLAIN)}
    return row


def difference(one: Any, other: Any) -> float:
    """Relative distance of two losses, or of two encodings."""
    return float((one.float() - other.float()).norm() / other.float().norm())


def measured(keys: Sequence[str], bench: Bench) -> Iterator[Row]:
    """Rows, one after the other."""
    works = all_works(bench.texts, bench.prepared.documents)
    for key in keys:
        yield measure(works[key], bench)


def main() -> int:
    """Measure and print."""
    args = _arguments()
    device, texts = torch.device(best_device()), load_texts()
    print(f"{machine()}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(
            Path(folder),
            args.backbone,
            documents=encoded(texts),
            candidates=candidates(texts),
            questions=[row.question for row in texts.questions],
            device=device,
        )
        share = QUICK if args.quick else 1.0
        bench = Bench(prepared, texts, device, share=share, rounds=args.rounds, with_peaks=not args.no_peaks)
        rows = []
        for row in measured(args.rows, bench):
            print(f"{row.key}: {row.median():.3f} s, differs by {row.difference:.2g} from the plain path\n", flush=True)
            rows.append(row)
    print(main_table(rows))
    if args.json:
        args.json.write_text(json.dumps({"rows": [row.to_json() for row in rows]}, indent=2) + "\n", encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=lambda text: text.split(","), help="some rows, as a,c (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each row (default: as time allows)")
    parser.add_argument("--no-peaks", action="store_true", help="leave out peak memory")
    parser.add_argument("--backbone", default=BACKBONE, metavar="NAME", help="as backbone.name (default: SmolLM2-135M)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as data too")
    args = parser.parse_args()
    if args.rows is None:
        args.rows = list(QUICK_ROWS if args.quick else SECONDS)
    return args


if __name__ == "__main__":
    raise SystemExit(main())
