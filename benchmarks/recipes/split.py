"""The data of the study and of the default adapters: single-passage question answering, parted by document.

What a model is measured on shares no question and no document with what it is trained on. The files are not part of the
project: ``CLARA_DATA`` names the folder that holds ``train/``.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from clara_lightning.corpus.manifest import write_json
from clara_lightning.errors import ClaraError

TRAINED = ("squad_train_part", "nq_qed_train", "tydiqa_en_train", "ml_clara_scp_qa")
HELD_OUT = "mlqa_en_dev"
TRAIN, DEV, ASKED = "train.jsonl", "dev.jsonl", "asked.jsonl"
NUM_ASKED = 256  # rows of dev that are answered under every condition


def data_folder() -> Path:
    """Where the files are.

    Raises:
        ClaraError: they are not there.
    """
    folder = Path(os.environ.get("CLARA_DATA", "../shared/data")) / "train"
    if not (folder / f"{HELD_OUT}.jsonl").is_file():
        raise ClaraError(f"CLARA_DATA: {folder} holds no {HELD_OUT}.jsonl: the study needs its question-answering data")
    return folder


def is_held_out(row_id: str) -> bool:
    """Whether a row, by its id (``file/id``), is measured on: a sixteenth of each file, and one file whole."""
    file, _, own = row_id.partition("/")
    return file == HELD_OUT or hashlib.md5(own.encode(), usedforsecurity=False).hexdigest().startswith("0")


def write_split(out: Path, trained: Sequence[str] = TRAINED) -> None:
    """Write ``train.jsonl``, ``dev.jsonl`` and its first rows, ``asked.jsonl``, once; the order of dev is drawn.

    Args:
        out: folder.
        trained: files that are trained on, but for the sixteenth of each that is measured on.

    Raises:
        ClaraError: the files are not there.
    """
    if (out / "counts.json").is_file():
        return
    out.mkdir(parents=True, exist_ok=True)
    source = data_folder()
    rows = [row for name in (*trained, HELD_OUT) for row in _single(source / f"{name}.jsonl")]
    dev = [row for row in rows if is_held_out(row["id"])]
    read = {_text(row) for row in dev}
    train = [row for row in rows if _text(row) not in read]
    random.Random(0).shuffle(dev)
    for name, chosen in ((TRAIN, train), (DEV, dev), (ASKED, dev[:NUM_ASKED])):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in chosen)
        (out / name).write_text(text, encoding="utf-8")
    documents = {name: len(set(map(_text, each))) for name, each in (("train", train), ("dev", dev))}
    write_json(out / "counts.json", {"train": len(train), "dev": len(dev), "documents": documents})


def _single(path: Path) -> Iterator[dict[str, Any]]:
    """Questions of a file whose answer is in one passage alone; ids begin with the file, since two may share some."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            gold = [passage for passage in row["passages"] if passage["gold"]]
            if len(gold) == 1:
                yield row | {"id": f"{path.stem}/{row['id']}", "passages": gold}


def _text(row: dict[str, Any]) -> str:
    return str(row["passages"][0]["text"])
