"""One row of the study: ``python -m benchmarks.recipes words quick --length 16 --minutes 15 --seed 0``.

A row is the published recipe (``configs/published.yaml``) with overlays of ``rows/`` on it, in that order; no overlay
is the published recipe itself. How many steps fit into the minutes stands in ``paces.json``, or is measured first and
put there; a run of so many steps follows, the same wherever and however often it is interrupted, and ``clara evaluate``
measures it. The same command goes on where it was stopped. With ``--screen`` it is validated once, at its end,
and no answers are written: enough to see which rows are worth more.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import machine
from benchmarks.recipes.split import ASKED, DEV, TRAIN, write_split
from benchmarks.study import Paces, check_overlays, clara, options, step_seconds
from clara_lightning.backbone.folder import AdapterFolder
from clara_lightning.corpus.manifest import write_json
from clara_lightning.errors import ClaraError
from clara_lightning.modules.metrics_file import read_rows

HERE = Path(__file__).parent
CONFIGS = HERE.parent.parent / "configs"
RESULTS = HERE / "results"
PACES = HERE / "paces.json"
FREE = {("model", "optimizer")}  # settings that change no step's cost
VALIDATIONS = 4
MEASURED_LENGTHS = (16, 64)  # 16x and 4x
MEASURED = ("em", "f1", "cover_em", "cross_entropy", "information_retained")
CONDITIONS = ("none", "another", "gold_memory", "gold_text")


@dataclass(frozen=True)
class Row:
    """One run of the study.

    Args:
        overlays: names of files in ``rows/``.
        length: memory tokens of 256 document tokens.
        minutes: of training.
        seed: of everything that is drawn.
        screen: validate at the end alone, and write no answers.
    """

    overlays: tuple[str, ...]
    length: int
    minutes: float
    seed: int
    screen: bool = False

    def __post_init__(self) -> None:
        check_overlays(self.overlays, HERE / "rows")

    @property
    def name(self) -> str:
        """Of its folder and its result."""
        return f"{self._named(self.overlays)}-{self.minutes:g}min-seed{self.seed}{'-screen' * self.screen}"

    @property
    def pace_name(self) -> str:
        """Of all rows whose steps cost the same: they differ in minutes, seed, or an overlay that costs nothing."""
        return self._named([name for name in self.overlays if not _costs_nothing(name)])

    def _named(self, overlays: Sequence[str]) -> str:
        return f"{'+'.join(overlays) or 'published'}-l{self.length}"

    @property
    def configs(self) -> list[Path]:
        """The YAML files, the later over the earlier."""
        return [CONFIGS / "published.yaml", HERE / "study.yaml", *(HERE / "rows" / f"{n}.yaml" for n in self.overlays)]

    @property
    def accumulate(self) -> int:
        """Batches of an optimizer step."""
        trainers = [yaml.safe_load(path.read_text(encoding="utf-8")).get("trainer", {}) for path in self.configs]
        return int([each["accumulate_grad_batches"] for each in trainers if "accumulate_grad_batches" in each][-1])

    def fit(self, run: Path, data: Path, *, steps: int, validate_every: int | None) -> list[str]:
        """The command that trains."""
        every = {"val_check_interval": validate_every or 1} | ({} if validate_every else {"limit_val_batches": 0})
        settings = {
            "model.init_args.memory_tokens": self.length,
            "data.init_args.train": data / TRAIN,
            "data.init_args.val": data / DEV,
            "seed_everything": self.seed,
            "data.init_args.seed": self.seed,
            "trainer.max_steps": steps,
            "trainer.default_root_dir": run,
            **{f"trainer.{name}": value for name, value in every.items()},
        }
        return ["fit", *(word for path in self.configs for word in ("--config", str(path))), *options(settings)]


def _costs_nothing(overlay: str) -> bool:
    """Whether a row's overlay changes the optimizer's numbers alone; an order of documents may put short ones first."""
    settings = yaml.safe_load((HERE / "rows" / f"{overlay}.yaml").read_text(encoding="utf-8"))
    return {(part, name) for part, values in settings.items() for name in values.get("init_args", values)} <= FREE


REFERENCE = Row(("words", "quick", "nested", "layer6"), length=64, minutes=15, seed=0)
"""What a step of another row is timed beside."""


def run_row(row: Row, out: Path) -> dict[str, Any]:
    """Train and measure a row, or go on with it; returns what is kept of it."""
    data, run = out / "data", out / row.name
    write_split(data)
    pace = _pace(row, out, data)
    steps = max(1, round(60 * row.minutes / pace))
    every = max(1, steps // (1 if row.screen else VALIDATIONS)) * row.accumulate
    checkpoints = ("--checkpoint.every_n_train_steps", str(max(1, steps // (4 * VALIDATIONS))))
    clara(*row.fit(run, data, steps=steps, validate_every=every), *checkpoints, "--ckpt_path", "last")
    lengths = [] if row.screen else _lengths(run, row.length)
    rows = read_rows(run / "metrics.csv")
    curve = [
        {name: float(value) for name, value in each.items() if value and name in ("step", *_watched(each))}
        for each in rows
        if each.get("val/loss")
    ]
    return asdict(row) | {
        "steps": steps,
        "step_seconds": pace,
        "curve": curve,
        "measured": {str(each): _evaluate(row, run, data, each) for each in lengths},
        "machine": machine(),
    }


def _watched(row: dict[str, str]) -> list[str]:
    return [name for name in row if name.startswith(("val/ce_", "val/information_retained"))]


def _pace(row: Row, out: Path, data: Path) -> float:
    """Seconds of a step on the reference machine."""
    rows = {each.pace_name: each for each in (REFERENCE, row)}

    def measure(name: str) -> float:
        run, timed = out / "pace" / name, rows[name]
        return step_seconds(timed.fit(run, data, steps=1, validate_every=None), run, accumulate=timed.accumulate)

    return Paces(PACES, reference=REFERENCE.pace_name).seconds(row.pace_name, measure)


def _lengths(run: Path, length: int) -> list[int]:
    """Those of the study's lengths that the run's compressor was trained for."""
    memory = AdapterFolder.open(run).memory
    return [each for each in MEASURED_LENGTHS if memory.holds(each)] or [length]


def _evaluate(row: Row, run: Path, data: Path, length: int) -> dict[str, Any]:
    report = run / f"report-{length}"
    clara(
        *("evaluate", "--adapters", str(run / "adapters"), "--data", str(data / ASKED), "--out", str(report)),
        *("--memory-tokens", str(length), "--batch-size", "16", "--max-new-tokens", "16"),
        *("--dense", "none", "--conditions", "none"),
    )
    answers = json.loads((report / "results.json").read_text(encoding="utf-8"))["answers"]
    return {condition: {name: answers[condition][name] for name in MEASURED} for condition in CONDITIONS}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the row that the command line names, and keep its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes", description=__doc__)
    parser.add_argument("overlays", nargs="*", metavar="ROW", help="files of benchmarks/recipes/rows, without .yaml")
    parser.add_argument("--length", type=int, default=64, help="memory tokens of 256 document tokens (default: 64)")
    parser.add_argument("--minutes", type=float, default=15, help="of training (default: 15)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--screen", action="store_true", help="write no answers: the losses at the end tell")
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"), help="run folders (default: runs/recipes)")
    args = parser.parse_args(arguments)
    try:
        row = Row(tuple(args.overlays), args.length, args.minutes, args.seed, args.screen)
        result = run_row(row, args.out)
    except ClaraError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except subprocess.CalledProcessError as error:
        raise SystemExit(error.returncode) from error
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / f"{row.name}.json", result)


if __name__ == "__main__":
    main()
