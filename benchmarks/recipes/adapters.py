"""The adapters that come with the package: ``python -m benchmarks.recipes.adapters`` (``make adapters``).

By the commands that a user would type: stage 1, an encoded corpus, stage 3, the weights rounded to bfloat16, and a
measurement of what was rounded. The same call goes on where it was interrupted, and does nothing where all is done.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.recipes.split import ASKED, DEV, TRAIN, write_split
from clara_lightning.backbone.folder import replace_folder
from clara_lightning.data.readers import read_questions
from clara_lightning.data.records import Document, Question
from clara_lightning.data.writers import write_jsonl
from clara_lightning.demo.stages import Stage, run_stages
from clara_lightning.errors import ClaraError

ROOT = Path(__file__).parent.parent.parent
CONFIGS = ROOT / "configs"
STAGES = Path(__file__).parent / "stages"
TARGET = ROOT / "src" / "clara_lightning" / "pretrained" / "smollm2-135m"
TRAINED = ("squad_train_part", "nq_qed_train", "tydiqa_en_train")  # all of them may be handed on
LENGTHS = (64, 16)  # 4x and 16x
DOCUMENTS, QUESTIONS = "documents.jsonl", "questions.jsonl"
SEARCHED = 3000  # training questions of stage 3, over a store of their passages and of those validated on
VALIDATED = 256
CARD = "README.md"


def stages(out: Path, target: Path) -> list[Stage]:
    """Everything from the data to the adapters in the package."""
    data, compressor, store, joint, rounded, installed = (
        out / name for name in ("data", "compressor", "store", "joint", "rounded", "installed")
    )
    reports = [out / f"report-{length}" for length in LENGTHS]
    return [
        Stage("Data, parted by document", data, ("split", *TRAINED, str(SEARCHED)), lambda: write_data(data)),
        Stage(
            "Stage 1: compressor and generator",
            compressor,
            _fit("compressor", compressor, train=data / TRAIN, val=data / DEV),
            resumes=True,
        ),
        Stage(
            "Encode the passages of the questions of stage 3",
            store,
            (
                *("predict", "--config", str(CONFIGS / "encode.yaml")),
                *("--model.init_args.init_from", str(compressor / "adapters")),
                *("--data.init_args.documents", str(data / DOCUMENTS)),
                *("--encoder.store", str(store), "--trainer.default_root_dir", str(out / "encode")),
            ),
            resumes=True,
        ),
        Stage(
            "Stage 3: query reasoner and generator",
            joint,
            (
                *_fit("joint", joint, train=data / QUESTIONS, val=data / f"dev-{QUESTIONS}"),
                *("--model.init_args.init_from", str(compressor / "adapters")),
                *("--model.init_args.store", str(store)),
            ),
            resumes=True,
        ),
        Stage(
            "Weights in bfloat16",
            rounded,
            ("export", "--to", "hub-folder", "--adapters", str(joint), "--out", str(rounded), "--dtype", "bfloat16"),
        ),
        *(
            Stage(
                f"Measure at {length} memory tokens, on documents that were never trained on",
                report,
                (
                    *("evaluate", "--adapters", str(rounded), "--data", str(data / ASKED), "--out", str(report)),
                    *("--memory-tokens", str(length), "--batch-size", "16", "--max-new-tokens", "16"),
                    *("--dense", "none", "--conditions", "none"),
                ),
                resumes=True,
            )
            for length, report in zip(LENGTHS, reports, strict=True)
        ),
        Stage(
            "Into the package",
            installed,
            ("install", str(target)),
            lambda: install(rounded, compressor, reports, target, installed),
        ),
    ]


def _fit(stage: str, folder: Path, *, train: Path, val: Path) -> tuple[str, ...]:
    return (
        *("fit", "--config", str(CONFIGS / f"{stage}.yaml"), "--config", str(STAGES / f"{stage}.yaml")),
        *("--trainer.default_root_dir", str(folder), "--ckpt_path", "last"),
        *("--data.init_args.train", str(train), "--data.init_args.val", str(val)),
    )


def write_data(folder: Path) -> None:
    """Write the split, the questions of stage 3, and the passages that they are searched in."""
    write_split(folder, TRAINED)
    train, dev = (list(read_questions(folder / name)) for name in (TRAIN, DEV))
    dev = dev[:VALIDATED]
    asked = sorted(random.Random(0).sample(train, min(SEARCHED, len(train))), key=lambda question: question.id)
    write_jsonl(folder / QUESTIONS, asked)
    write_jsonl(folder / f"dev-{QUESTIONS}", dev)
    write_jsonl(folder / DOCUMENTS, _documents([*asked, *dev]))


def _documents(questions: Sequence[Question]) -> list[Document]:
    found = {
        passage.document_id: Document(passage.document_id, passage.text, passage.title)
        for question in questions
        for passage in question.passages
    }
    return list(found.values())


def install(rounded: Path, compressor: Path, reports: Sequence[Path], target: Path, installed: Path) -> None:
    """Put the adapters in the place of those that are there; their card tells of stage 1 and of the measurement too.

    Args:
        rounded: the adapters.
        compressor: run folder of stage 1.
        reports: what was measured, in the order of :data:`LENGTHS`.
        target: where they go.
        installed: empty folder that is left as a sign.
    """
    results = [json.loads((report / "results.json").read_text(encoding="utf-8")) for report in reports]
    last, first = ((folder / CARD).read_text(encoding="utf-8") for folder in (rounded, compressor / "adapters"))
    installed.mkdir()
    working = target.parent / f".{target.name}-new"
    shutil.rmtree(working, ignore_errors=True)
    shutil.copytree(rounded, working, ignore=shutil.ignore_patterns(".gitattributes"))
    (working / CARD).write_text(last + measured(results) + stage_1(first), encoding="utf-8")
    replace_folder(working, target)


CONDITIONS = {
    "none": "no document",
    "another": "the memory of another document",
    "gold_memory": "the memory of the right document",
    "gold_text": "its text",
}


def measured(results: Sequence[dict[str, Any]]) -> str:
    """A section of the card: the four conditions at each length."""
    lines = [
        "",
        "## Measured on held-out documents",
        "",
        f"{results[0]['questions']} questions on documents that no stage was trained on, with the weights as they lie "
        "here; in brackets 95 % bootstrap intervals.",
    ]
    for length, found in zip(LENGTHS, results, strict=True):
        retained = found["answers"]["gold_memory"]["information_retained"]
        lines += [
            "",
            f"{length} memory tokens for 256 tokens of text: information retained {_interval(retained)}",
            "",
            "| given to the reader | right answer in its words | exact match | F1 | nats an answer token |",
            "|---|---:|---:|---:|---:|",
        ]
        for name, words in CONDITIONS.items():
            values = found["answers"][name]
            cells = [_interval(values[figure]) for figure in ("cover_em", "em", "f1", "cross_entropy")]
            lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def stage_1(card: str) -> str:
    """What the card of stage 1 says of its training and its figures."""
    sections = card.split("\n## ")
    wanted = [section.strip() for section in sections if section.startswith(("Training\n", "Figures\n"))]
    told = "\n\n".join(f"### {section}" for section in wanted)
    return f"\n## Stage 1\n\nThe sections above tell of stage 3, which began with what this stage made.\n\n{told}\n"


def _interval(figure: dict[str, float]) -> str:
    return f"{figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the adapters, or go on with them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes.adapters", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/adapters"), help="run folders (default: runs/adapters)")
    parser.add_argument("--target", type=Path, default=TARGET, help="where they go (default: into the package)")
    args = parser.parse_args(arguments)
    try:
        run_stages(stages(args.out, args.target), Console())
    except ClaraError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
