"""The README's commands: each is understood by the command line, and (slow) the whole list runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("CLARA_DATA", ROOT.parent / "shared" / "data"))
ROWS = 24


def commands() -> list[list[str]]:
    """The commands of the by-hand block, as words after ``clara``."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- by-hand -->\n```sh\n(.*?)```", text, re.DOTALL)
    assert block is not None
    lines = block.group(1).replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("clara ")]


def with_data(command: list[str], folder: Path) -> list[str]:
    return [word.replace("$CLARA_DATA", str(folder)) for word in command]


def test_the_readme_shows_every_stage() -> None:
    assert [command[0] for command in commands()] == [
        *("fit", "fit", "predict", "fit", "fit"),
        *("ask", "search", "evaluate"),
    ]


@pytest.mark.parametrize("command", commands(), ids=lambda command: " ".join(command[:3]))
def test_files_that_a_command_names_are_in_the_repository(command: list[str]) -> None:
    named = [word for word in command if word.startswith("configs/")]
    assert all((ROOT / word).is_file() for word in named)
    assert named or command[0] in ("ask", "search", "evaluate")


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "train").is_dir(), reason=f"no question-answering data in {DATA}")
def test_the_commands_run_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "data" / "train").mkdir(parents=True)
    for path in (DATA / "train").glob("*.jsonl"):
        head = path.read_text(encoding="utf-8").splitlines(keepends=True)[:ROWS]
        (tmp_path / "data" / "train" / path.name).write_text("".join(head), encoding="utf-8")

    for command in commands():
        words = with_data(command, tmp_path / "data")
        if words[0] == "fit":
            words += ["--trainer.max_steps", "2", "--trainer.limit_val_batches", "1"]
            words += ["--trainer.accumulate_grad_batches", "1", "--data.init_args.batch_size", "2"]
        words = ["4" if word == "50" else word for word in words]  # fewer questions for evaluate
        result = subprocess.run(
            [sys.executable, "-m", "clara_lightning", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{shlex.join(words)}\n{result.stderr[-2000:]}"

    assert (tmp_path / "runs" / "report" / "report.md").is_file()
