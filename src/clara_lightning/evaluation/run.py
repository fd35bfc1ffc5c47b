"""``clara evaluate``: answers under the conditions, retrieval beside BM25, and the report folder."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import AdapterFolder, build_from_folder, reasoner_of
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.readers import read_questions
from clara_lightning.data.records import Question
from clara_lightning.errors import ClaraError
from clara_lightning.evaluation.conditions import (
    CONDITIONS,
    Condition,
    Filled,
    Library,
    PassageLibrary,
    StoreLibrary,
    fill,
)
from clara_lightning.evaluation.report import write_report
from clara_lightning.evaluation.results import AnswerFigures, Prediction, Results
from clara_lightning.evaluation.retrieval import (
    Ranking,
    bm25_rank_passages,
    bm25_rank_store,
    rank_passages,
    rank_store,
    retrieval_figures,
)
from clara_lightning.inference.pipeline import usable_device
from clara_lightning.objectives.losses import information_retained
from clara_lightning.objectives.metrics import AnswerScores

RANKS = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationSettings:
    """What to measure.

    Args:
        adapters: adapter folder.
        data: questions with answers and gold documents.
        out: folder of the report.
        store: store that ``gold_ids`` point into; without it each question's own passages are used.
        top_k: documents per question; by default as trained.
        limit: only the first so many questions.
        batch_size: questions per forward pass.
        max_new_tokens: length of an answer at most.
        skip_bad_rows: unreadable rows allowed.
        backbone: settings of the backbone other than the folder's.
        device: where to run.
    """

    adapters: str
    data: str
    out: str
    store: str | None = None
    top_k: int | None = None
    limit: int | None = None
    batch_size: int = 8
    max_new_tokens: int = 32
    skip_bad_rows: int = 0
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    device: str | None = None


def evaluate_folder(settings: EvaluationSettings) -> Results:
    """Measure an adapter folder and write the report.

    Raises:
        ClaraError: a folder or file is missing or wrong; nothing is written then.
    """
    started = time.monotonic()
    for name in ("top_k", "limit", "batch_size", "max_new_tokens"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise ClaraError(f"--{name.replace('_', '-')} must be >= 1, got {value}")
    out = _report_folder(settings.out)
    folder = AdapterFolder.open(settings.adapters)
    questions = list(read_questions(settings.data, skip_bad_rows=settings.skip_bad_rows))[: settings.limit]
    if not questions:
        raise ClaraError(f"{settings.data}: holds no questions")
    store = LatentStore.open(settings.store) if settings.store else None
    if store is not None:
        store.require(fingerprint=folder.fingerprint, memory_tokens=folder.memory.tokens)
    top_k = settings.top_k or folder.retrieval.top_k
    _check_top_k(top_k, store, questions, given=settings.top_k is not None)
    backbone = build_from_folder(folder, backbone=settings.backbone).to(usable_device(settings.device))
    library: Library = (
        StoreLibrary(store, questions, source=settings.data)
        if store is not None
        else PassageLibrary(backbone, questions, source=settings.data)
    )
    rankings = _rank(backbone, folder, library, store, questions, batch_size=settings.batch_size)
    figures, predictions = _answers(backbone, library, questions, rankings, top_k=top_k, settings=settings)
    results = Results(
        settings={"adapters": settings.adapters, "data": settings.data, "store": settings.store, "top_k": top_k},
        stage=folder.stage,
        fingerprint=folder.fingerprint,
        questions=len(questions),
        documents=len(store) if store is not None else None,
        answers=figures,
        information_retained=_retained(figures),
        retrieval={
            name: retrieval_figures(ranking, library, cutoffs=sorted({1, 5, top_k}))
            for name, ranking in rankings.items()
        },
        documents_cut=backbone.count_cut(
            sorted({library.text(key) for number in range(len(questions)) for key in library.gold(number)})
        ),
        seconds=round(time.monotonic() - started, 1),
    )
    write_report(out, results, predictions)
    return results


def _report_folder(path: str) -> Path:
    out = Path(path)
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "results.json").is_file())):
        raise ClaraError(f"--out: {out} is there and no report: choose another folder")
    return out


def _check_top_k(top_k: int, store: LatentStore | None, questions: Sequence[Question], *, given: bool) -> None:
    most = len(store) if store is not None else min(len(question.passages) for question in questions)
    if given and top_k > most:
        what = "documents of the store" if store is not None else "candidates of a question"
        raise ClaraError(f"--top-k must be <= {most}, the {what}, got {top_k}")


def _rank(
    backbone: ClaraBackbone,
    folder: AdapterFolder,
    library: Library,
    store: LatentStore | None,
    questions: Sequence[Question],
    *,
    batch_size: int,
) -> dict[str, Ranking]:
    """Rankings by name; none where no question has a choice of passages."""
    reasoner = reasoner_of(folder)
    if store is not None:
        trained = rank_store(
            backbone,
            store,
            questions,
            reasoner=reasoner,
            retrieval=folder.retrieval,
            depth=RANKS,
            batch_size=batch_size,
        )
        return {"clara": trained, "bm25": bm25_rank_store(store, questions, depth=RANKS)}
    if all(len(question.passages) < 2 for question in questions):
        return {}
    trained = rank_passages(backbone, library, questions, reasoner=reasoner, retrieval=folder.retrieval)
    return {"clara": trained, "bm25": bm25_rank_passages(questions)}


def _answers(
    backbone: ClaraBackbone,
    library: Library,
    questions: Sequence[Question],
    rankings: dict[str, Ranking],
    *,
    top_k: int,
    settings: EvaluationSettings,
) -> tuple[dict[Condition, AnswerFigures], list[Prediction]]:
    """Figures of each condition, and every single answer."""
    conditions = [name for name in CONDITIONS if name != "retrieved_memory" or "clara" in rankings]
    figures: dict[Condition, AnswerFigures] = {}
    predictions: list[Prediction] = []
    console = Console(stderr=True)
    for condition in conditions:
        filled = [
            fill(
                condition,
                number,
                library=library,
                total=len(questions),
                retrieved=rankings["clara"].keys[number][:top_k] if condition == "retrieved_memory" else (),
            )
            for number in range(len(questions))
        ]
        scores, total, count = AnswerScores(), 0.0, 0
        starts = range(0, len(questions), settings.batch_size)
        for start in track(list(starts), description=f"{condition:<16}", console=console, transient=True):
            part = slice(start, start + settings.batch_size)
            texts, loss_sum, tokens = _answer_batch(backbone, library, questions[part], filled[part], settings)
            scores.update(texts, [question.answers for question in questions[part]])
            total, count = total + loss_sum, count + tokens
            predictions.extend(
                Prediction(question.id, condition, question.question, question.answers, text)
                for question, text in zip(questions[part], texts, strict=True)
            )
        means = {name: float(value) for name, value in scores.compute().items()}
        figures[condition] = AnswerFigures(**means, cross_entropy=total / count)
    return figures, predictions


@torch.no_grad()
def _answer_batch(
    backbone: ClaraBackbone,
    library: Library,
    questions: Sequence[Question],
    filled: Sequence[Filled],
    settings: EvaluationSettings,
) -> tuple[list[str], float, int]:
    """Generated answers, and the cross-entropy of the reference: its sum and its tokens."""
    keys = [key for one in filled for key in one.keys]
    memory = library.memory(keys).to(backbone.device) if keys else None
    asks = [
        backbone.prompts.ask(question.question, one.background, answer=question.answers[0])
        for question, one in zip(questions, filled, strict=True)
    ]
    loss = backbone.answer_loss(asks, memory)
    texts = backbone.generate(
        [backbone.prompts.ask(q.question, one.background) for q, one in zip(questions, filled, strict=True)],
        memory,
        max_new_tokens=settings.max_new_tokens,
    )
    return texts, float(loss.sum_B.sum()), int(loss.tokens_B.sum())


def _retained(figures: dict[Condition, AnswerFigures]) -> float:
    return float(
        information_retained(
            ce_none=figures["none"].cross_entropy,
            ce_memory=figures["gold_memory"].cross_entropy,
            ce_text=figures["gold_text"].cross_entropy,
        )
    )
