"""The figures of an evaluation, as plain data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from clara_lightning.evaluation.conditions import Condition


@dataclass(frozen=True)
class AnswerFigures:
    """Answers under one condition: means over questions in [0, 1]; cross-entropy in nats per answer token."""

    em: float
    f1: float
    cover_em: float
    cross_entropy: float


@dataclass(frozen=True)
class RetrievalFigures:
    """Recall at some ranks, and the mean reciprocal rank of the first gold document."""

    recall: dict[int, float]
    mrr: float


@dataclass(frozen=True)
class Prediction:
    """One generated answer."""

    id: str
    condition: Condition
    question: str
    references: tuple[str, ...]
    answer: str


@dataclass(frozen=True)
class Results:
    """Everything that ``results.json`` holds.

    Attributes:
        settings: what was measured, and how.
        stage: that made the adapters.
        fingerprint: of the compressor.
        questions: how many.
        documents: in the store, or ``None`` where each question brought its own.
        answers: figures by condition.
        information_retained: (CE none - CE gold memory) / (CE none - CE gold text).
        retrieval: figures by system; empty where there was nothing to choose from.
        documents_cut: gold documents longer than the compressor's limit; neither memory nor text holds their tail.
        seconds: of the whole evaluation.
    """

    settings: dict[str, Any]
    stage: str
    fingerprint: str
    questions: int
    documents: int | None
    answers: dict[Condition, AnswerFigures]
    information_retained: float
    retrieval: dict[str, RetrievalFigures]
    documents_cut: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON, which has no ``nan``: what could not be measured is ``null``."""
        return {name: _finite(value) for name, value in asdict(self).items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
