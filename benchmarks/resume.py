"""Exact resume, shown: ``python -m benchmarks.resume --steps 40 --kills 5 --out docs/resume.png``.

The same stage 1 twice on SmolLM2-135M: once undisturbed, once killed (SIGKILL, in the middle of a step) so many times
and resumed with ``--ckpt_path last``. The losses are drawn on top of each other, and the largest difference is said.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.settings import BACKBONE

KILLER = """
import os, signal
from lightning.pytorch import Callback

class KillAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_before_optimizer_step(self, trainer, *args):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def command(folder: Path, run: Path, *, steps: int) -> list[str]:
    """A small stage 1 with dropout, accumulation, workers and an epoch that ends on the way."""
    options = {
        "--model": "clara_lightning.SalientCompressor",
        "--model.backbone.name": BACKBONE,
        "--model.memory_tokens": 8,
        "--model.document_tokens": 48,
        "--data": "clara_lightning.SCPDataModule",
        "--data.train": folder / "scp.jsonl",
        "--data.batch_size": 1,
        "--data.num_workers": 2,
        "--trainer.accumulate_grad_batches": 2,
        "--trainer.limit_train_batches": int(steps * 1.4),  # two batches a step: the epoch ends after 0.7 of the steps
        "--trainer.max_steps": steps,
        "--trainer.max_epochs": 10,
        "--trainer.log_every_n_steps": 1,
        "--trainer.accelerator": "cpu",
        "--trainer.enable_progress_bar": "false",
        "--trainer.default_root_dir": run,
        "--checkpoint.every_n_train_steps": 3,
    }
    return [sys.executable, "-m", "clara_lightning", "fit", *(str(w) for pair in options.items() for w in pair)]


def losses(run: Path) -> list[float]:
    """Training loss of every step."""
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file)]


def train(words: Sequence[str], *, path: Path) -> int:
    """Exit code of a command that may import what lies in ``path``."""
    return subprocess.run(words, env=os.environ | {"PYTHONPATH": str(path)}, check=False).returncode


def compare(folder: Path, *, steps: int, kills: int) -> tuple[list[float], list[float], list[int]]:
    """Losses undisturbed and killed, and the steps at which the kills came."""
    from clara_lightning.demo.dataset import write_demo_data

    write_demo_data(folder / "data", size=600)
    documents = str(folder / "data" / "documents_train.jsonl")
    synthesize = ("synthesize", "--documents", documents, "--out", str(folder / "scp.jsonl"), "--teacher", "rules")
    subprocess.run([sys.executable, "-m", "clara_lightning", *synthesize], check=True)
    (folder / "killer.py").write_text(KILLER, encoding="utf-8")
    whole, run = folder / "whole", folder / "run"
    if train(command(folder, whole, steps=steps), path=folder):
        raise SystemExit("the undisturbed run failed")
    at = [steps * (number + 1) // (kills + 1) for number in range(kills)]
    for step in at:
        kill = ("--trainer.callbacks", "killer.KillAt", "--trainer.callbacks.step", str(step))
        if train([*command(folder, run, steps=steps), *kill, "--ckpt_path", "last"], path=folder) != -signal.SIGKILL:
            raise SystemExit(f"the run was not killed at step {step}")
    if train([*command(folder, run, steps=steps), "--ckpt_path", "last"], path=folder):
        raise SystemExit("the last resume failed")
    return losses(whole), losses(run), at


def draw(whole: list[float], run: list[float], at: list[int], *, out: Path) -> None:
    """Both curves and the kills."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(whole, color="tab:orange", linewidth=4, alpha=0.5, label="undisturbed")
    axes.plot(run, color="tab:blue", linewidth=1, marker="o", markersize=3, label=f"killed {len(at)} times and resumed")
    for number, step in enumerate(at):
        axes.axvline(step, color="tab:gray", linestyle=":", label="killed in this step" if number == 0 else None)
    axes.set(xlabel="optimizer step", ylabel="training loss", title="Stage 1, SmolLM2-135M: exact resume")
    axes.legend()
    figure.savefig(out, dpi=120)


def main() -> None:
    """Run, draw, say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("resume.png"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, run, at = compare(Path(folder), steps=args.steps, kills=args.kills)
    draw(whole, run, at, out=args.out)
    difference = max(abs(one - other) for one, other in zip(whole, run, strict=True))
    print(
        f"{len(whole)} steps, killed in steps {at}; largest difference of the loss: {difference:g}; drawn in {args.out}"
    )


if __name__ == "__main__":
    main()
