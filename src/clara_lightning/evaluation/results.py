"""The figures of an evaluation, as plain data, and the records that they are made of."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from clara_lightning.data.records import document_of

Figures = dict[str, "Figure"]


@dataclass(frozen=True)
class Figure:
    """A figure over all questions, with its bootstrap 95 % interval; ``nan`` where it cannot be measured."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ConditionInfo:
    """What a condition of the answers' table is.

    Attributes:
        label: for people.
        reader: ``generator`` (the trained adapter) or ``backbone`` (the language model without adapters).
        documents: ``none``, ``another``, ``gold``, ``retrieved`` or ``oracle`` (retrieved, gold among the candidates).
        form: ``none``, ``memory``, ``text``, or ``tokens`` (the rarest ones, as many as memory tokens).
        retriever: who found the documents, where they were retrieved.
    """

    label: str
    reader: str
    documents: str
    form: str
    retriever: str | None = None


@dataclass(frozen=True)
class Prediction:
    """One question under one condition: a line of ``predictions.jsonl``.

    Attributes:
        id: of the question.
        condition: its name.
        question: the question.
        answers: every answer that counts as right.
        prediction: what was generated.
        documents: ids of the documents in the background, with their scores where they were retrieved, best first.
        gold: ids of the gold documents.
        em, f1, cover_em: scores of the answer in [0, 1].
        words: words of the answer, after normalisation.
        nll: negative log-likelihood of the first right answer, summed over its tokens, in nats.
        answer_tokens: their number.
        input_positions: of the prompt, without the answer.
        background_positions: of these, the documents' part: memory tokens, or tokens of text.
        document_tokens: tokens of the documents, each up to the compressor's limit: what the background stands for.
    """

    id: str
    condition: str
    question: str
    answers: tuple[str, ...]
    prediction: str
    documents: tuple[tuple[str, float | None], ...]
    gold: tuple[str, ...]
    em: float
    f1: float
    cover_em: float
    words: int
    nll: float
    answer_tokens: int
    input_positions: int
    background_positions: int
    document_tokens: int

    @property
    def gold_found(self) -> set[str]:
        """The gold documents in the background, also by one of their chunks."""
        names = {name for name, _ in self.documents}
        return set(self.gold) & (names | set(map(document_of, names)))


@dataclass(frozen=True)
class RankedQuestion:
    """One question's ranking by one retriever: a line of ``rankings.jsonl``.

    Attributes:
        id: of the question.
        scale: ``corpus`` (everything was searched) or ``candidates`` (the question's candidates were ranked).
        retriever: its name.
        documents: ids and scores of the best documents, best first.
        gold: ids of the gold documents.
        gold_ranks: their ranks from 1, in the order of ``gold``, each that of its best chunk where it was cut; ``None``
            for one that is not in the ranking.
        ranked: length of the whole ranking.
    """

    id: str
    scale: str
    retriever: str
    documents: tuple[tuple[str, float], ...]
    gold: tuple[str, ...]
    gold_ranks: tuple[int | None, ...]
    ranked: int


@dataclass(frozen=True)
class Paraphrased:
    """One document said in other words under one condition: a line of ``paraphrases.jsonl``."""

    id: str
    condition: str
    reference: str
    prediction: str
    rouge_l: float
    words: int


@dataclass(frozen=True)
class Results:
    """Everything that ``results.json`` holds: the same for the same adapters, data, settings and seed.

    Attributes:
        settings: what was measured, and how.
        adapters: stage, fingerprint, backbone, kind and size of the memory, compression rate.
        questions: how many.
        documents: in the corpus.
        corpus: ``store``, or ``passages`` of the questions' file.
        conditions: of the answers' table, in its order.
        answers: by condition: ``em``, ``f1``, ``cover_em``, ``cross_entropy`` (nats per answer token),
            ``information_retained`` (between the same reader without a document and with its text), ``words``,
            ``input_positions``, ``background_positions``, ``compression_rate`` (document tokens per background
            position).
        retrieval: by scale and retriever: ``recall@k``, ``precision@k``, ``ndcg@k``, ``mrr``, ``map``,
            ``distinct_share``, ``top_share``, ``selection_entropy``, and ``score_entropy`` of cosines.
        recall_curves: by scale and retriever: Recall@k for k = 1, 2, ...
        losses: by condition that retrieves, shares of the questions: ``retrieved`` (all gold documents are in the
            background) or ``missed``, then ``answered`` (cover-EM) or ``wrong``; as ``retrieved_answered``.
        differences: paired differences, by system and what it is compared with: F1, cover-EM and cross-entropy of
            conditions, recall@k and MRR of ``SCALE/RETRIEVER``.
        paraphrases: by condition: ``rouge_l`` and ``words``.
        retrievers: their labels.
        notes: what was cut, left out or not measured, and why.
    """

    settings: dict[str, Any]
    adapters: dict[str, Any]
    questions: int
    documents: int
    corpus: str
    conditions: dict[str, ConditionInfo]
    answers: dict[str, Figures]
    retrieval: dict[str, dict[str, Figures]]
    recall_curves: dict[str, dict[str, list[float]]]
    losses: dict[str, dict[str, float]]
    differences: dict[str, dict[str, Figures]] = field(default_factory=dict)
    paraphrases: dict[str, Figures] = field(default_factory=dict)
    retrievers: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON, which has no ``nan``: what could not be measured is ``null``."""
        return {name: finite(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Results:
        """The way back; ``null`` becomes ``nan``."""
        return cls(
            **values
            | {
                "conditions": {name: ConditionInfo(**info) for name, info in values["conditions"].items()},
                "answers": {name: _figures(each) for name, each in values["answers"].items()},
                **{
                    table: {
                        key: {name: _figures(each) for name, each in systems.items()}
                        for key, systems in values[table].items()
                    }
                    for table in ("retrieval", "differences")
                },
                "paraphrases": {name: _figures(each) for name, each in values["paraphrases"].items()},
            }
        )


@dataclass(frozen=True)
class StepCost:
    """What one kind of work took.

    Attributes:
        items: how often it was done: questions, or documents for ``compress``.
        milliseconds: for each item, on average.
        peak_bytes: most memory of the process (on CUDA: of the device) during it; ``None`` where that is not known.
    """

    items: int
    milliseconds: float
    peak_bytes: int | None


@dataclass(frozen=True)
class Costs:
    """``cost.json``: what differs from run to run, and is kept apart from the results for that reason.

    Attributes:
        device: where it ran.
        processes: how many.
        seconds: of the whole evaluation in this process, after a resume of its last part.
        steps: by kind of work: ``compress``, ``search:RETRIEVER``, ``answer:CONDITION`` (generation alone).
        bytes_per_document: ``memory`` as stored, ``text`` as UTF-8.
    """

    device: str
    processes: int
    seconds: float
    steps: dict[str, StepCost]
    bytes_per_document: dict[str, float]


def _figures(values: dict[str, dict[str, float | None]]) -> Figures:
    return {
        name: Figure(**{part: math.nan if value is None else value for part, value in each.items()})
        for name, each in values.items()
    }


def finite(value: Any) -> Any:
    """A value of plain data with ``None`` in the place of every ``nan`` and infinity."""
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
