"""``clara demo``: the main job on the embedded corpus, by the very commands that a user would type."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from rich.console import Console

from clara_lightning.demo.dataset import DATA_FILES, write_demo_data
from clara_lightning.demo.stages import STAMPS, Stage, run_stages
from clara_lightning.errors import ClaraError

QUESTIONS = 40
PASSAGES = 600
SHORT = 6  # memory tokens, the fewest that stage 1 trains for
BEFORE, WARM = "before", "warm-up"  # the search of the stages before stage 3, as retrievers beside its own
CONDITIONS = ("retrieved_memory", "bm25_memory", "backbone_none", "backbone_gold_tokens", "backbone_bm25_text")
FAST = {"size": 80, "steps": 2, "questions": 4}


@dataclass(frozen=True)
class DemoFolders:
    """Where the demo's parts lie."""

    out: Path

    @property
    def data(self) -> Path:
        """Documents and questions."""
        return self.out / "data"

    @property
    def supervision(self) -> Path:
        """What stage 1 learns from, with the report on it."""
        return self.out / "supervision"

    @property
    def compressor(self) -> Path:
        """Run folder of stage 1."""
        return self.out / "compressor"

    @property
    def store(self) -> Path:
        """Encoded documents."""
        return self.out / "store"

    @property
    def retrieval(self) -> Path:
        """Run folder of the warm-up."""
        return self.out / "retrieval"

    @property
    def joint(self) -> Path:
        """Run folder of stage 3."""
        return self.out / "joint"

    @property
    def report(self) -> Path:
        """Evaluation."""
        return self.out / "report"

    @property
    def short_report(self) -> Path:
        """Evaluation of the shorter memory, which no store holds."""
        return self.out / "report-short"


def run_demo(out: str, *, fast: bool) -> None:
    """Run the demo in a folder of its own.

    Args:
        out: run folder.
        fast: a few steps of everything, which shows that it works and learns nothing.

    Raises:
        ClaraError: the folder holds something else, or a stage failed.
    """
    folders = DemoFolders(Path(out))
    _check_folder(folders.out)
    console = Console()
    started = time.monotonic()
    seconds = run_stages(_stages(folders, fast=fast), console)
    from clara_lightning.demo.summary import show_summary

    show_summary(folders, seconds=seconds, total=time.monotonic() - started, console=console)


def _check_folder(out: Path) -> None:
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / STAMPS).is_dir())):
        raise ClaraError(f"--out: {out} is not empty and no demo's folder: choose another")


def _stages(folders: DemoFolders, *, fast: bool) -> list[Stage]:
    size = FAST["size"] if fast else PASSAGES
    limit = str(FAST["questions"] if fast else QUESTIONS)
    short = ("--trainer.max_steps", str(FAST["steps"]), "--trainer.val_check_interval", "1") if fast else ()
    few = (*short, "--data.init_args.max_val_rows", limit) if fast else ()
    data, scp, store = folders.data, folders.supervision / "scp.jsonl", str(folders.store)
    return [
        Stage(
            "The World Factbook becomes passages and questions",
            data,
            (f"write_demo_data(size={size})", *DATA_FILES),
            lambda: _write_data(folders, size),
        ),
        Stage(
            "Ask about every passage of the training places, by rules: supervision for stage 1",
            folders.supervision,
            ("synthesize", "--documents", str(data / "documents_train.jsonl"), "--out", str(scp), "--teacher", "rules"),
            resumes=True,
        ),
        Stage(
            "Stage 1: the adapters of the package learn the World Factbook, at 24 and at 6 memory tokens a passage",
            folders.compressor,
            _fit("compressor", folders.compressor, train=scp, val=data / "scp_val.jsonl") + few,
            resumes=True,
        ),
        Stage(
            "Encode every passage once, into the store",
            folders.store,
            (
                *("predict", "--config", _config("encode")),
                *("--model.init_args.init_from", str(folders.compressor / "adapters")),
                *("--data.init_args.documents", str(data / "documents.jsonl")),
                *("--encoder.store", store),
            ),
            resumes=True,
        ),
        Stage(
            "Warm-up: gold passages teach the query reasoner to search the store",
            folders.retrieval,
            (*_fit_search("retrieval", folders.retrieval, folders, start=folders.compressor), *few),
            resumes=True,
        ),
        Stage(
            "Stage 3: the search and the reader of what it finds, trained together",
            folders.joint,
            (*_fit_search("joint", folders.joint, folders, start=folders.retrieval), *few),
            resumes=True,
        ),
        Stage(
            "Measure on places that were never trained on",
            folders.report,
            _evaluate(folders, limit=limit),
            resumes=True,
        ),
        Stage(
            f"The same answers from {SHORT} memory tokens a passage",
            folders.short_report,
            (
                *("evaluate", "--adapters", str(folders.joint / "adapters"), "--memory-tokens", str(SHORT)),
                *("--data", str(folders.data / "qa_val.jsonl"), "--limit", limit, "--batch-size", "16"),
                *("--dense", "none", "--conditions", "none"),
                *("--max-new-tokens", "12", "--out", str(folders.short_report)),
            ),
            resumes=True,
        ),
    ]


def _fit(stage: str, folder: Path, *, train: Path, val: Path) -> tuple[str, ...]:
    return (
        *("fit", "--config", _config(stage), "--trainer.default_root_dir", str(folder), "--ckpt_path", "last"),
        *("--data.init_args.train", str(train), "--data.init_args.val", str(val)),
    )


def _fit_search(stage: str, folder: Path, folders: DemoFolders, *, start: Path) -> tuple[str, ...]:
    return (
        *_fit(stage, folder, train=folders.data / "qa_train.jsonl", val=folders.data / "qa_val.jsonl"),
        *("--model.init_args.init_from", str(start / "adapters"), "--model.init_args.store", str(folders.store)),
    )


def _evaluate(folders: DemoFolders, *, limit: str) -> tuple[str, ...]:
    return (
        *("evaluate", "--adapters", str(folders.joint / "adapters"), "--store", str(folders.store)),
        *("--data", str(folders.data / "qa_val.jsonl"), "--limit", limit, "--batch-size", "16"),
        *("--reasoner", f"{BEFORE}={folders.compressor / 'adapters'}"),
        *("--reasoner", f"{WARM}={folders.retrieval / 'adapters'}", "--dense", "none"),
        *("--conditions", ",".join(CONDITIONS), "--max-new-tokens", "12", "--out", str(folders.report)),
    )


def _config(name: str) -> str:
    return str(files("clara_lightning.demo").joinpath("configs", f"{name}.yaml"))


def _write_data(folders: DemoFolders, size: int) -> object:
    summary = write_demo_data(folders.data, size=size)
    (folders.data / "summary.json").write_text(json.dumps(asdict(summary), default=str, indent=2), encoding="utf-8")
    return summary
