"""``clara demo``: the main job on the embedded corpus, by the very commands that a user would type.

Each stage runs as a process of its own and leaves a stamp: a second run keeps what is unchanged, and a run that was
interrupted goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from clara_lightning.corpus.manifest import write_json
from clara_lightning.demo.dataset import DATA_FILES, write_demo_data
from clara_lightning.errors import ClaraError

QUESTIONS = 40
PASSAGES = 600
STAMPS = "stamps"
BEFORE = "before"  # the search of stage 1's adapters, as a retriever beside that of stage 3
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
    def joint(self) -> Path:
        """Run folder of stage 3."""
        return self.out / "joint"

    @property
    def report(self) -> Path:
        """Evaluation."""
        return self.out / "report"


@dataclass(frozen=True)
class Stage:
    """One step of the demo.

    Attributes:
        title: what the user reads.
        folder: what it makes; removed when it was made from something else.
        command: verb and options of ``clara``, or the words that describe ``action``.
        action: runs it, where it is no command.
        resumes: whether an interrupted run may be continued in the same folder.
    """

    title: str
    folder: Path
    command: tuple[str, ...]
    action: Callable[[], object] | None = None
    resumes: bool = False


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
    parent = ""
    seconds: dict[str, float] = {}
    for number, stage in enumerate(_stages(folders, fast=fast), start=1):
        console.rule(f"{number}. {stage.title}", align="left")
        parent, seconds[stage.folder.name] = _run_stage(stage, parent, console)
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
            "Stage 1: learn to compress a passage into 24 memory tokens, and to answer from them",
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
            "Stage 3: the answers' loss teaches the query reasoner to search the store",
            folders.joint,
            (
                *_fit("joint", folders.joint, train=data / "qa_train.jsonl", val=data / "qa_val.jsonl"),
                *("--model.init_args.init_from", str(folders.compressor / "adapters")),
                *("--model.init_args.store", store),
                *few,
            ),
            resumes=True,
        ),
        Stage(
            "Measure on places that were never trained on",
            folders.report,
            _evaluate(folders, limit=limit),
            resumes=True,
        ),
    ]


def _fit(stage: str, folder: Path, *, train: Path, val: Path) -> tuple[str, ...]:
    return (
        *("fit", "--config", _config(stage), "--trainer.default_root_dir", str(folder), "--ckpt_path", "last"),
        *("--data.init_args.train", str(train), "--data.init_args.val", str(val)),
    )


def _evaluate(folders: DemoFolders, *, limit: str) -> tuple[str, ...]:
    return (
        *("evaluate", "--adapters", str(folders.joint / "adapters"), "--store", str(folders.store)),
        *("--data", str(folders.data / "qa_val.jsonl"), "--limit", limit, "--batch-size", "16"),
        *("--reasoner", f"{BEFORE}={folders.compressor / 'adapters'}", "--dense", "none"),
        *("--conditions", ",".join(CONDITIONS), "--max-new-tokens", "12", "--out", str(folders.report)),
    )


def _config(name: str) -> str:
    return str(files("clara_lightning.demo").joinpath("configs", f"{name}.yaml"))


def _write_data(folders: DemoFolders, size: int) -> object:
    summary = write_demo_data(folders.data, size=size)
    (folders.data / "summary.json").write_text(json.dumps(asdict(summary), default=str, indent=2), encoding="utf-8")
    return summary


def _run_stage(stage: Stage, parent: str, console: Console) -> tuple[str, float]:
    """Run a stage unless it is there already; returns its stamp and the seconds that it took."""
    wanted = _stamp(stage, parent)
    path = stage.folder.parent / STAMPS / f"{stage.folder.name}.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if found.get("stamp") == wanted and found["finished"]:
        console.print(f"unchanged, kept: {stage.folder}", style="dim")
        return wanted, found["seconds"]
    spent = found["seconds"] if found.get("stamp") == wanted and stage.resumes else 0.0
    if not spent:
        shutil.rmtree(stage.folder, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()

    def note(*, finished: bool) -> float:
        seconds = round(spent + time.monotonic() - started, 1)
        write_json(path, {"stamp": wanted, "seconds": max(seconds, 0.1), "finished": finished})
        return seconds

    note(finished=False)
    try:
        if stage.action is not None:
            stage.action()
        else:
            _call(stage, console)
    except BaseException:
        note(finished=False)
        raise
    return wanted, note(finished=True)


def _call(stage: Stage, console: Console) -> None:
    """Run ``clara`` in a process of its own, on this terminal."""
    console.print(escape("$ clara " + " ".join(stage.command)), style="dim", soft_wrap=True)
    result = subprocess.run([sys.executable, "-m", "clara_lightning", *stage.command], check=False)
    if result.returncode == 130:
        raise KeyboardInterrupt
    if result.returncode != 0:
        raise ClaraError(f"the demo's command failed with exit code {result.returncode}: clara {stage.command[0]} ...")


def _stamp(stage: Stage, parent: str) -> str:
    """Hash of everything that a stage's result depends on: its command, its configuration, what came before."""
    parts: list[str] = [parent, version("clara-lightning"), *stage.command]
    parts += [Path(word).read_text(encoding="utf-8") for word in _values(stage.command, "--config")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _values(command: Sequence[str], option: str) -> list[str]:
    return [value for name, value in pairwise(command) if name == option]
