"""What the notebooks share: the command line, and one small training that is kept in ``runs/``.

Paths start at the folder of the notebooks, where Jupyter runs them.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

from clara_lightning import LatentStore, write_demo_data

RUN = Path("runs")
DEMO_RUN = Path("../demo-run")
PASSAGES = 160

# Of tqdm, for its bars in notebooks; no bar is shown here.
warnings.filterwarnings("ignore", message="IProgress not found")

SYNTHESIZE = """
    synthesize --documents runs/data/documents_train.jsonl --out runs/supervision/scp.jsonl --teacher rules
"""
COMPRESS = """
    fit --config ../src/clara_lightning/demo/configs/compressor.yaml --ckpt_path last
    --trainer.default_root_dir runs/compressor
    --data.init_args.train runs/supervision/scp.jsonl --data.init_args.val runs/data/scp_val.jsonl
    --trainer.max_steps 20 --trainer.val_check_interval 5 --trainer.log_every_n_steps 1
    --checkpoint.every_n_train_steps 10 --trainer.enable_progress_bar false
"""
ENCODE = """
    predict --config ../src/clara_lightning/demo/configs/encode.yaml
    --model.init_args.init_from runs/compressor/adapters
    --data.init_args.documents runs/data/documents.jsonl --encoder.store runs/store
    --trainer.enable_progress_bar false
"""
JOINT = """
    fit --config ../src/clara_lightning/demo/configs/joint.yaml --ckpt_path last
    --trainer.default_root_dir runs/joint
    --model.init_args.init_from runs/compressor/adapters --model.init_args.store runs/store
    --model.init_args.optimizer.init_args.lr 1e-4
    --data.init_args.train runs/data/qa_train.jsonl --data.init_args.val runs/data/qa_val.jsonl
    --data.init_args.max_val_rows 16
    --trainer.max_steps 6 --trainer.val_check_interval 3 --trainer.log_every_n_steps 1
    --checkpoint.every_n_train_steps 6 --trainer.enable_progress_bar false
"""


def clara(command: str) -> None:
    """Run ``clara COMMAND``, which may stand on several lines, and show what it prints.

    Raises:
        RuntimeError: it failed; its last line says why.
    """
    words = [sys.executable, "-m", "clara_lightning", *shlex.split(command)]
    # Jupyter asks programs for colour, and with it come bars that move the cursor.
    plain = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"} | {"COLUMNS": "110"}
    process = subprocess.Popen(words, env=plain, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="")
    if process.wait() != 0:
        raise RuntimeError(f"clara {words[3]} failed with exit code {process.returncode}")


def is_whole_demo(folder: Path) -> bool:
    """Whether ``clara demo`` finished there; with ``--fast`` it has few passages and learns nothing."""
    finished = (folder / "report" / "results.json").is_file()
    return finished and len(LatentStore.open(folder / "store")) > PASSAGES


def trained_run() -> Path:
    """A run folder: that of ``make demo`` if it is finished, else the first notebook's, made where it is missing."""
    if is_whole_demo(DEMO_RUN):
        print(f"{DEMO_RUN}: the adapters that make demo trained")
        return DEMO_RUN
    if (RUN / "joint" / "adapters").is_dir():
        print(f"{RUN}: the adapters that were trained before")
        return RUN
    print(f"{RUN}: nothing is here yet; three minutes for what 01_three_stages.ipynb trains")
    write_demo_data(RUN / "data", size=PASSAGES)
    for command in (SYNTHESIZE, COMPRESS, ENCODE, JOINT):
        print(f"\n$ clara {' '.join(command.split())}")
        clara(command)
    return RUN
