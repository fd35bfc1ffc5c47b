"""What is there right after installation: trained adapters, and the World Factbook encoded by them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from rich.console import Console

from clara_lightning.backbone.folder import AdapterFolder
from clara_lightning.backbone.loading import cache_folder
from clara_lightning.data.records import Document, Question
from clara_lightning.data.writers import write_jsonl
from clara_lightning.demo.factbook import demo_corpus
from clara_lightning.demo.questions import build_questions
from clara_lightning.demo.stages import Stage, run_stages

ADAPTERS = "package://clara_lightning/pretrained/smollm2-135m"
"""Compressor, generator and query reasoner for SmolLM2-135M."""

MEMORY_TOKENS = 32  # of a Factbook passage, which has 63 tokens on average
NUM_SAMPLE = 10


def factbook_store() -> Path:
    """The store of the World Factbook's passages, made by :data:`ADAPTERS`: the first call encodes them.

    It lies in the cache folder, under the adapters' fingerprint; a call that was interrupted is gone on with.

    Raises:
        ClaraError: the encoding failed.
    """
    folder = AdapterFolder.open(ADAPTERS)
    length = MEMORY_TOKENS if folder.memory.holds(MEMORY_TOKENS) else folder.memory.tokens
    place = cache_folder() / "factbook" / f"{folder.fingerprint[:16]}-{length}"
    data, store = place / "data", place / "store"
    config = str(files("clara_lightning.demo").joinpath("configs", "encode.yaml"))
    stages = [
        Stage("Passages of the World Factbook", data, ("demo_corpus",), lambda: _write(demo_corpus(), data)),
        Stage(
            f"Encode them once, into {store}",
            store,
            (
                *("predict", "--config", config, "--model.init_args.init_from", ADAPTERS),
                *("--model.init_args.memory_tokens", str(length)),
                *("--data.init_args.documents", str(data / "documents.jsonl"), "--encoder.store", str(store)),
                *("--trainer.default_root_dir", str(place / "encode")),
            ),
            resumes=True,
        ),
    ]
    run_stages(stages, Console(stderr=True), speaks_of_kept=False)
    return store


def _write(documents: list[Document], folder: Path) -> None:
    write_jsonl(folder / "documents.jsonl", documents)


def sample_questions() -> list[Question]:
    """Ten questions, each of another kind and about another place that no demo trains on; always the same."""
    kinds: set[str] = set()
    places: set[str] = set()
    chosen = []
    for question in build_questions(demo_corpus(), "held-out", seed=0):
        form, kind, place, *_ = (*question.id.split("/"), "", "")
        if form == "simple" and kind not in kinds and place not in places:
            kinds.add(kind)
            places.add(place)
            chosen.append(question)
    return chosen[:NUM_SAMPLE]
