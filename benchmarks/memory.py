"""Peak memory of a row, in a process of its own: ``python -m benchmarks.memory KEY VARIANT FOLDER`` prints bytes."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.peak import peak_bytes, reset_peak
from benchmarks.prepare import Prepared
from benchmarks.settings import MALLOC, OURS, PLAIN, ROOT


def measure_apart(key: str, variant: str, prepared: Prepared) -> int:
    """Bytes at most while a row is done once, weights included, in a fresh process."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", key, variant, str(prepared.path)],
        env=os.environ | MALLOC | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"peak memory of {key}, {variant}:\n{done.stderr[-2000:]}")
    return int(done.stdout.splitlines()[-1])


def main() -> None:
    """Do it once, and print the peak."""
    from benchmarks.texts import load_texts
    from benchmarks.works import all_works
    from clara_lightning.inference.pipeline import best_device

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("key")
    parser.add_argument("variant", choices=[OURS, PLAIN])
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    prepared, device = Prepared(args.folder), torch.device(best_device())
    step = all_works(load_texts(), prepared.documents)[args.key].begin(prepared.open_way(args.variant, device))
    reset_peak(device)
    step()
    print(peak_bytes(device))


if __name__ == "__main__":
    main()
