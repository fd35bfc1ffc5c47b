"""One row of the study of stage 3: ``python -m benchmarks.joint distill --start middling --minutes 3 --seed 0``.

A row is ``configs/joint.yaml`` with overlays of ``rows/`` on it, in that order; no overlay is the default. It starts
from the adapters of the package, weaker or stronger ones, trains for so many steps as fit into the minutes
(``paces.json``), and ``clara evaluate`` measures it: where gold documents stand among 20 candidates, with ``--corpus``
in the whole corpus, with ``--dense`` beside a dense retriever, and with ``--answers`` what is answered. With
``--minutes 0`` a start itself is measured. The same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.joint.data import ANSWERED, ASKED, DOCUMENTS, TRAIN, count_answered, write_data
from benchmarks.joint.starts import PRETRAINED, spoil
from benchmarks.machine import machine
from benchmarks.study import Paces, check_overlays, clara, options, step_seconds
from clara_lightning.backbone.folder import AdapterFolder
from clara_lightning.corpus.manifest import write_json
from clara_lightning.errors import ClaraError

HERE = Path(__file__).parent
CONFIGS = HERE.parent.parent / "configs"
RESULTS = HERE / "results"
PACES = HERE / "paces.json"
LENGTH = 64  # memory tokens
HYBRID = 0.3  # BM25's part in the figures of both together
STARTS = ("weak", "middling", "strong")
RANKED = ("recall@1", "recall@5", "mrr")
ANSWERS = ("f1", "cover_em", "cross_entropy")
OF_ANSWERS = ("answers", "answers_from", "answered")  # what a result says of them


@dataclass(frozen=True)
class Row:
    """One run of the study.

    Args:
        overlays: names of files in ``rows/``.
        start: one of :data:`STARTS`.
        minutes: of training; 0 measures the start.
        seed: of everything that is drawn.
    """

    overlays: tuple[str, ...]
    start: str
    minutes: float
    seed: int

    def __post_init__(self) -> None:
        check_overlays(self.overlays, HERE / "rows")
        if self.minutes < 0 or (self.overlays and not self.minutes):
            raise ClaraError(
                f"--minutes must be above 0, or 0 without a row, which measures a start: got {self.minutes:g}"
            )

    @property
    def recipe(self) -> str:
        """What it is called in a table."""
        return "+".join(self.overlays) or ("default" if self.minutes else "start")

    @property
    def name(self) -> str:
        """Of its folder and its result."""
        return f"{self.recipe}-{self.start}-{self.minutes:g}min-seed{self.seed}"

    def fit(self, run: Path, data: Path, *, start: Path, store: Path, steps: int) -> list[str]:
        """The command that trains."""
        files = [CONFIGS / "joint.yaml", HERE / "study.yaml", *(HERE / "rows" / f"{n}.yaml" for n in self.overlays)]
        settings = {
            "model.init_args.init_from": start,
            "model.init_args.memory_tokens": LENGTH,
            "model.init_args.store": store,
            "data.init_args.train": data / TRAIN,
            "data.init_args.val": "null",
            "seed_everything": self.seed,
            "data.init_args.seed": self.seed,
            "trainer.max_steps": steps,
            "trainer.default_root_dir": run,
        }
        return ["fit", *(word for path in files for word in ("--config", str(path))), *options(settings)]


REFERENCE = Row(("contrastive",), "middling", 1, 0)
"""What a step of another row is timed beside."""
WARM_UP = Row(("contrastive",), "middling", 4, 7)
"""What the strong start is: this row's adapters."""


class Study:
    """Folders of the study, each made when it is first asked for.

    Args:
        out: where they lie.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.data = out / "data"
        write_data(self.data)

    def store(self) -> Path:
        """The corpus, encoded by the compressor of the package, with both of its indexes."""
        store = self.out / "store"
        if (store / "index" / "bm25").is_dir():  # the last of what is made here
            return store
        clara(
            *("predict", "--config", str(CONFIGS / "encode.yaml"), "--data.init_args.documents"),
            *(str(self.data / DOCUMENTS), "--model.init_args.init_from", str(PRETRAINED)),
            *("--model.init_args.memory_tokens", str(LENGTH)),
            *("--encoder.store", str(store), "--trainer.default_root_dir", str(self.out / "encode")),
        )
        clara("store", "index", str(store))
        return store

    def start(self, name: str) -> Path:
        """Adapters to start from."""
        if name == "middling":
            return AdapterFolder.open(PRETRAINED).path
        if name == "weak":
            return spoil(self.out / "weak")
        return self.train(WARM_UP) / "adapters"

    def train(self, row: Row) -> Path:
        """The run folder of a row that is trained to its end."""
        run, steps = self.out / row.name, self.steps(row)
        every = ("--checkpoint.every_n_train_steps", str(max(1, steps // 8)))
        clara(*self._fit(row, run, steps=steps), *every, "--ckpt_path", "last")
        return run

    def steps(self, row: Row) -> int:
        """How many fit into its minutes."""
        return max(1, round(60 * row.minutes / self.pace(row)))

    def pace(self, row: Row) -> float:
        """Seconds of its steps."""
        rows = {"+".join(each.overlays): each for each in (REFERENCE, row)}

        def measure(name: str) -> float:
            run = self.out / "pace" / (name or "default")
            return step_seconds(self._fit(rows[name], run, steps=1), run, steps=6)

        return Paces(PACES, reference="+".join(REFERENCE.overlays)).seconds("+".join(row.overlays), measure)

    def _fit(self, row: Row, run: Path, *, steps: int) -> list[str]:
        return row.fit(run, self.data, start=self.start(row.start), store=self.out / "store", steps=steps)

    def measure(self, adapters: Path, report: Path, *, answers: bool, corpus: bool, dense: bool) -> dict[str, Any]:
        """``results.json`` of ``clara evaluate``."""
        clara(
            *("evaluate", "--adapters", str(adapters), "--data", str(self.data / (ANSWERED if answers else ASKED))),
            *("--store", str(self.out / "store"), "--out", str(report), "--memory-tokens", str(LENGTH)),
            *("--conditions", "retrieved_memory" if answers else "none"),
            *("--hybrid", "weighted", "--hybrid-weight", str(HYBRID), "--top-k", "2"),
            *(() if dense else ("--dense", "none")),
            *(() if corpus else ("--candidates-only",)),
            *("--batch-size", "16", "--max-new-tokens", "16"),
        )
        found: dict[str, Any] = json.loads((report / "results.json").read_text(encoding="utf-8"))
        return found


def run_row(row: Row, out: Path, *, answers: bool = False, corpus: bool = False, dense: bool = False) -> dict[str, Any]:
    """Train and measure a row, or go on with it; returns what is kept of it."""
    study = Study(out)
    study.store()
    adapters = study.train(row) / "adapters" if row.minutes else study.start(row.start)
    report = out / f"{row.name}-report{'-answers' * answers}{'-corpus' * corpus}{'-dense' * dense}"
    found = study.measure(adapters, report, answers=answers, corpus=corpus, dense=dense)
    kept = asdict(row) | {"recipe": row.recipe, "machine": machine()}
    if row.minutes:
        kept |= {"step_seconds": study.pace(row), "steps": study.steps(row)}
    retrieval = {
        scale: {system: _only(figures, RANKED) for system, figures in systems.items()}
        for scale, systems in found["retrieval"].items()
    }
    asked = {condition: _only(figures, ANSWERS) for condition, figures in found["answers"].items()}
    if asked:
        kept |= {"answers_from": "corpus" if corpus else "candidates", "answered": count_answered(study.data)}
    return kept | {"retrieval": retrieval, "answers": asked}


def keep(result: dict[str, Any], path: Path) -> None:
    """Write a result; what an earlier measurement of the row has beside it stays."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not result["answers"]:
        result = result | {name: before[name] for name in OF_ANSWERS if name in before}
    write_json(path, result | {"retrieval": before.get("retrieval", {}) | result["retrieval"]})


def _only(figures: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: figures[name] for name in names if name in figures}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the row that the command line names, and keep its result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joint", description=__doc__)
    parser.add_argument("overlays", nargs="*", metavar="ROW", help="files of benchmarks/joint/rows, without .yaml")
    parser.add_argument("--start", choices=STARTS, default="middling", help="adapters to start from")
    parser.add_argument("--minutes", type=float, default=3, help="of training; 0 measures the start (default: 3)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--answers", action="store_true", help="measure answers too")
    parser.add_argument("--corpus", action="store_true", help="search the whole corpus too")
    parser.add_argument("--dense", action="store_true", help="rank by all-MiniLM-L6-v2 too")
    parser.add_argument("--out", type=Path, default=Path("runs/joint-study"), help="default: runs/joint-study")
    args = parser.parse_args(arguments)
    try:
        row = Row(tuple(args.overlays), args.start, args.minutes, args.seed)
        result = run_row(row, args.out, answers=args.answers, corpus=args.corpus, dense=args.dense)
    except ClaraError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except subprocess.CalledProcessError as error:
        raise SystemExit(error.returncode) from error
    RESULTS.mkdir(exist_ok=True)
    keep(result, RESULTS / f"{row.name}.json")


if __name__ == "__main__":
    main()
