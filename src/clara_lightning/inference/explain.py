"""Why an answer is what it is: what the question was read as, what was taken, and what the answer hangs on.

Shapes: K documents taken, N best candidates, L memory tokens, D hidden size.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from clara_lightning.backbone.lens import Lens, logit_lens
from clara_lightning.corpus.index import Hits
from clara_lightning.data.prompts import MEMORY, Background
from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError
from clara_lightning.inference.pipeline import Answer, ClaraPipeline
from clara_lightning.objectives.selection import standardise
from clara_lightning.objectives.topk import slot_probabilities

Given = Literal["none", "another", "memory", "text"]
LABELS: dict[Given, str] = {
    "none": "no memory",
    "another": "another's memory",
    "memory": "memory taken",
    "text": "their text",
}
CANDIDATES = 20
"""Best documents that the soft choice is over: as many as stage 3 searches for by default."""


@dataclass(frozen=True)
class Candidate:
    """One of the best documents.

    Attributes:
        document: itself.
        score: of the search.
        slot: the slot that took it, from 1; ``None`` where it was not taken.
        weights: its probability in the soft choice of each slot.
    """

    document: Document
    score: float
    slot: int | None
    weights: tuple[float, ...]

    @property
    def own_weight(self) -> float | None:
        """Its probability in the slot that took it."""
        return None if self.slot is None else self.weights[self.slot - 1]

    @property
    def mass(self) -> float:
        """Its probability over all slots, which share out K in all."""
        return sum(self.weights)


@dataclass(frozen=True)
class Explanation:
    """An answer, and what it came from.

    Attributes:
        answer: the answer.
        reasoner: the adapter that read the question.
        lens: what the query vectors decode to.
        temperature: of the soft choice.
        candidates: the N best documents, best first; the first K were taken.
        another: documents that were not taken, lent to the condition ``another``; as many as were, where there are.
        tokens: of the answer as it was scored, its end among them.
        log_probabilities: of each of these tokens, natural logarithm, by what the generator was given; ``another`` is
            missing where every document of the store was taken.
    """

    answer: Answer
    reasoner: str
    lens: Lens
    temperature: float
    candidates: tuple[Candidate, ...]
    another: tuple[Document, ...]
    tokens: tuple[str, ...]
    log_probabilities: dict[Given, tuple[float, ...]]

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values; documents but for those taken by id and title alone."""
        named = [
            {"id": c.document.id, "title": c.document.title, "score": c.score, "slot": c.slot, "weights": c.weights}
            for c in self.candidates
        ]
        return {
            "question": self.answer.question,
            "answer": self.answer.text,
            "documents": [row | {"text": hit.document.text} for row, hit in zip(named, self.answer.hits, strict=False)],
            "candidates": named,
            "temperature": self.temperature,
            "reasoner": self.reasoner,
            "lens": self.lens.to_json(),
            "another": [{"id": document.id, "title": document.title} for document in self.another],
            "answer_tokens": self.tokens,
            "log_probabilities": {
                name: {"sum": sum(values), "tokens": values} for name, values in self.log_probabilities.items()
            },
        }


@torch.no_grad()
def explain(
    pipeline: ClaraPipeline, question: str, *, top_k: int | None = None, max_new_tokens: int = 32, words: int = 3
) -> Explanation:
    """Answer a question as :meth:`ClaraPipeline.answer` does, and say what the answer came from.

    Args:
        pipeline: answers.
        question: one question.
        top_k: documents to take; by default as trained.
        max_new_tokens: length of the answer at most.
        words: that each query vector is decoded to.

    Raises:
        ClaraError: ``top_k`` or ``max_new_tokens`` is out of range, or the pipeline searches by words too.
    """
    if pipeline.hybrid is not None:
        raise ClaraError("explain: its soft choice is one of trained scores: open the pipeline without hybrid")
    num_taken = pipeline.num_taken(top_k)
    found = pipeline.hits([question], top_k=min(max(CANDIDATES, num_taken), len(pipeline.store)))
    taken = Hits(found.scores_BK[:, :num_taken], found.rows_BK[:, :num_taken])
    (answer,) = pipeline.answer_from([question], taken, max_new_tokens=max_new_tokens)
    (lens,) = logit_lens(pipeline.backbone, [question], adapter=pipeline.reasoner, top=words)
    rows = taken.rows_BK[0].tolist()
    others = rows_not_taken(rows, num_documents=len(pipeline.store), key=question)
    tokens, log_probabilities = _answer_under(pipeline, answer, rows=rows, others=others)
    return Explanation(
        answer=answer,
        reasoner=pipeline.reasoner,
        lens=lens,
        temperature=pipeline.retrieval.temperature,
        candidates=_candidates(pipeline, found, num_taken=num_taken),
        another=tuple(pipeline.store.documents(others)),
        tokens=tokens,
        log_probabilities=log_probabilities,
    )


def rows_not_taken(rows: Sequence[int], *, num_documents: int, key: str) -> list[int]:
    """As many other rows of a store as were taken (or all that are left), the same every time.

    They follow one another from a place that the key decides, not from the rows taken: documents about the same thing
    often lie side by side.

    Args:
        rows: that were taken.
        num_documents: of the store.
        key: decides the place.

    Example:
        >>> sorted(rows_not_taken([0, 2], num_documents=3, key="q"))
        [1]
    """
    start, taken = zlib.crc32(key.encode()), set(rows)
    others = ((start + step) % num_documents for step in range(num_documents))
    return [row for row in others if row not in taken][: len(rows)]


def _candidates(pipeline: ClaraPipeline, found: Hits, *, num_taken: int) -> tuple[Candidate, ...]:
    retrieval = pipeline.retrieval
    scores_1N = standardise(found.scores_BK) if retrieval.standardise else found.scores_BK
    weights_1KN = slot_probabilities(scores_1N, k=num_taken, temperature=retrieval.temperature)
    documents = pipeline.store.documents(found.rows_BK[0].tolist())
    rows = zip(documents, found.scores_BK[0].tolist(), weights_1KN[0].T.tolist(), strict=True)
    return tuple(
        Candidate(document, score, place if place <= num_taken else None, tuple(weights))
        for place, (document, score, weights) in enumerate(rows, start=1)
    )


def _answer_under(
    pipeline: ClaraPipeline, answer: Answer, *, rows: Sequence[int], others: Sequence[int]
) -> tuple[tuple[str, ...], dict[Given, tuple[float, ...]]]:
    """Tokens of the answer, and their log-probabilities by what the generator is given."""
    backbone = pipeline.backbone
    backgrounds: dict[Given, tuple[Background, ...]] = {
        "none": (),
        "another": (MEMORY,) * len(others),
        "memory": (MEMORY,) * len(rows),
        "text": tuple(hit.document.content for hit in answer.hits),
    }
    if not others:
        del backgrounds["another"]
    prompts = [backbone.prompts.ask(answer.question, given, answer=answer.text) for given in backgrounds.values()]
    memory = pipeline.store.memory([*others, *rows]).to(backbone.device)
    scored = backbone.reading(prompts, memory).token_losses()
    tokens = tuple(str(backbone.tokenizer.decode([token])) for token in scored.ids_X[scored.rows_X == 0].tolist())
    return tokens, {
        name: tuple((-scored.losses_X[scored.rows_X == number]).tolist()) for number, name in enumerate(backgrounds)
    }
