"""Fixtures for tests that go the whole way: data files, the command line, and one run of every stage.

The tiny models themselves are in ``tests/conftest.py``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# First of all heavy imports, as in the command: typing gives equal unions one order, that of the first, and with
# float before int `--trainer.limit_val_batches 1` would be all batches and not one.
import lightning.pytorch  # noqa: F401
import pytest

ROOT = Path(__file__).resolve().parent
PLACES = ["Alba", "Brod", "Cimar", "Dorn", "Elva", "Faro", "Gant", "Hoxa", "Ivar", "Jura", "Kiev", "Lund"]
THINGS = ["apples", "bronze", "copper", "diamonds", "emeralds", "flax", "gold", "honey", "iron", "jade", "kelp", "lead"]


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def document(number: int) -> dict[str, Any]:
    """A document of one sentence, and now and then of several; no two are equal."""
    place, thing = PLACES[number % 12], THINGS[number // 12 % 12]
    text = f"{place} number {number} sells {thing} ." + f" Its port ships {thing} ." * (number % 4)
    return {"id": f"d{number}", "title": f"{place} {number}", "text": text}


def content(row: Mapping[str, Any]) -> str:
    return f"{row['title']}\n {row['text']}"


def question(number: int, *, others: Iterable[int] = ()) -> dict[str, Any]:
    """A question that ``document(number)`` answers, with that passage and some others as candidates."""
    gold = document(number)
    passages = [document(other) | {"gold": False} for other in others]
    passages.insert(number % (len(passages) + 1), gold | {"gold": True})
    return {
        "id": f"q{number}",
        "question": f"What does {PLACES[number % 12]} number {number} sell ?",
        "answers": [THINGS[number // 12 % 12]],
        "passages": passages,
        "gold_ids": [gold["id"]],
    }


def scp(number: int) -> dict[str, Any]:
    row = document(number)
    asked = question(number)
    return {
        "id": f"s{number}",
        "document": content(row),
        "pairs": [{"question": asked["question"], "answer": asked["answers"][0], "kind": "simple"}],
        "paraphrase": f"{THINGS[number // 12 % 12]} come from {PLACES[number % 12]} .",
    }


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny models are fastest with one thread, and exactly repeatable."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Commands that tests start can be interrupted, also where the tests run in a shell's background."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Files:
    """Data files of the tiny world: 40 documents, and questions about some of them."""

    documents: Path
    scp: Path
    questions: Path


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("files")
    return Files(
        write_jsonl(folder / "documents.jsonl", map(document, range(40))),
        write_jsonl(folder / "scp.jsonl", map(scp, range(16))),
        write_jsonl(
            folder / "qa.jsonl", (question(n, others=[(n + 7) % 40, (n + 11) % 40, (n + 13) % 40]) for n in range(8))
        ),
    )


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def mistake(self) -> str:
        """The one line of a refused command."""
        assert self.code == 2, self.err
        assert self.err.count("\n") == 1 and self.err.startswith("clara: "), self.err
        return self.err.removeprefix("clara: ").rstrip("\n")


Clara = Callable[..., Outcome]


def run_here(*args: object) -> int:
    """``clara ARGS`` in this process."""
    from clara_lightning.cli.main import main

    logger = logging.getLogger("clara_lightning")
    handlers, propagate = list(logger.handlers), logger.propagate
    try:
        return main([str(arg) for arg in args])
    finally:  # a handler holds on to the stderr of the test that made it
        logger.handlers[:], logger.propagate = handlers, propagate


@pytest.fixture
def clara(capfd: pytest.CaptureFixture[str]) -> Clara:
    """The command line, in this process."""

    def run(*args: object) -> Outcome:
        capfd.readouterr()
        code = run_here(*args)
        return Outcome(code, *capfd.readouterr())

    return run


def start_clara(*args: object, path: Path | None = None) -> subprocess.Popen[str]:
    """The command line as a process of its own; it can import what lies in ``path``."""
    folders = [str(ROOT / "src"), *([str(path)] if path else [])]
    return subprocess.Popen(
        [sys.executable, "-m", "clara_lightning", *map(str, args)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Outcome:
    out, err = process.communicate(timeout=240)
    return Outcome(process.returncode, out, err)


def kill_when(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """SIGKILL as soon as ``condition`` holds."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    process.kill()
    process.communicate()


def bytes_of(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder, by path; a model card counts without the seconds that a run took."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(_without_seconds(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _without_seconds(path: Path) -> bytes:
    lines = path.read_bytes().splitlines(keepends=True)
    return b"".join(line for line in lines if path.name != "README.md" or not line.startswith(b"| seconds of training"))


# --- commands -------------------------------------------------------------------------------------------------------

QUIET = ("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false")


@dataclass(frozen=True)
class Commands:
    """Command lines over the tiny world; options given later override earlier ones."""

    files: Files
    model: Path

    def fit_compressor(self, run: Path, *options: object, init_from: Path | None = None) -> list[object]:
        """Stage 1: 16 documents, 4 batches an epoch, 2 epochs."""
        fresh = (
            *("--model.backbone.name", self.model, "--model.lora.rank", 2),
            *("--model.memory_tokens", 4, "--model.document_tokens", 40),
        )
        return [
            *("fit", "--model", "clara_lightning.SalientCompressor", "--model.backbone.dtype", "float32"),
            *(("--model.init_from", init_from) if init_from else fresh),
            *("--data", "clara_lightning.SCPDataModule", "--data.train", self.files.scp),
            *("--data.val", self.files.scp, "--data.batch_size", 4, "--data.max_val_rows", 4),
            *("--trainer.max_epochs", 2, "--trainer.log_every_n_steps", 1, "--trainer.num_sanity_val_steps", 0),
            *("--checkpoint.every_n_train_steps", 2, *QUIET, "--trainer.default_root_dir", run, *options),
        ]

    def fit_joint(self, run: Path, adapters: Path, *options: object) -> list[object]:
        """Stage 3: 8 questions, 4 batches an epoch, 1 epoch, 2 of 4 given passages."""
        return [
            *("fit", "--model", "clara_lightning.JointRAGModule", "--model.init_from", adapters),
            *("--model.backbone.dtype", "float32", "--model.top_k", 2),
            *("--data", "clara_lightning.QADataModule", "--data.train", self.files.questions),
            *("--data.val", self.files.questions, "--data.batch_size", 2, "--data.max_val_rows", 4),
            *("--trainer.max_epochs", 1, "--trainer.log_every_n_steps", 1, "--trainer.num_sanity_val_steps", 0),
            *("--checkpoint.every_n_train_steps", 2, *QUIET, "--trainer.default_root_dir", run, *options),
        ]

    def predict(self, store: Path, adapters: Path, *options: object) -> list[object]:
        """Encode 40 documents in shards of 6."""
        return [
            *("predict", "--model", "clara_lightning.SalientCompressor", "--model.init_from", adapters),
            *("--model.backbone.dtype", "float32", "--data", "clara_lightning.CorpusDataModule"),
            *("--data.documents", self.files.documents, "--data.batch_size", 4, "--data.rows_per_shard", 6),
            *(*QUIET, "--encoder.store", store, *options),
        ]


@pytest.fixture(scope="session")
def commands(files: Files, tiny_model_folder: Path) -> Commands:
    return Commands(files, tiny_model_folder)


@pytest.fixture(scope="session")
def compressor_run(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a stage 1; not to be changed."""
    run = tmp_path_factory.mktemp("compressor") / "run"
    assert run_here(*commands.fit_compressor(run)) == 0
    return run


@pytest.fixture(scope="session")
def compressor(compressor_run: Path) -> Path:
    """Its adapters."""
    return compressor_run / "adapters"


@pytest.fixture(scope="session")
def store(commands: Commands, compressor: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 40 documents, encoded; not to be changed."""
    path = tmp_path_factory.mktemp("store") / "store"
    assert run_here(*commands.predict(path, compressor)) == 0
    return path


@pytest.fixture(scope="session")
def joint_run(commands: Commands, compressor: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a stage 3; not to be changed."""
    run = tmp_path_factory.mktemp("joint") / "run"
    assert run_here(*commands.fit_joint(run, compressor)) == 0
    return run


@pytest.fixture(scope="session")
def joint(joint_run: Path) -> Path:
    """Its adapters."""
    return joint_run / "adapters"


# --- functions, for tests that cannot import this file ----------------------------------------------------------------


@pytest.fixture(scope="session")
def undropped(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters of stage 1 without dropout, which draws by process and batch; not to be changed."""
    run = tmp_path_factory.mktemp("undropped") / "run"
    assert run_here(*commands.fit_compressor(run), "--model.lora.dropout", 0.0, "--trainer.max_steps", 2) == 0
    return run / "adapters"


@pytest.fixture(scope="session", name="run_here")
def _run_here() -> Callable[..., int]:
    return run_here


@pytest.fixture(scope="session", name="start_clara")
def _start_clara() -> Callable[..., subprocess.Popen[str]]:
    return start_clara


@pytest.fixture(scope="session", name="finish")
def _finish() -> Callable[[subprocess.Popen[str]], Outcome]:
    return finish


@pytest.fixture(scope="session", name="kill_when")
def _kill_when() -> Callable[[subprocess.Popen[str], Callable[[], bool]], None]:
    return kill_when


@pytest.fixture(scope="session", name="bytes_of")
def _bytes_of() -> Callable[[Path], dict[str, str]]:
    return bytes_of
