"""What is done in the rows a to d, on our path and on the plain one: a step of each stage, and encoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from benchmarks.limit import Pass
from benchmarks.ours import joint_prompts, reading_prompts
from benchmarks.texts import DOCUMENTS_PER_QUESTION, NUM_CANDIDATES, Texts, token_counts
from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara_lightning.data.examples import ReadingExample
from clara_lightning.data.prompts import Prompt, PromptEncoder
from clara_lightning.data.records import Document, Question

NUM_DOCUMENTS, NUM_INSTRUCTIONS, NUM_SEARCHES, NUM_ENCODED = 8, 4, 8, 64


class Way(Protocol):
    """One way to do it all: :class:`benchmarks.ours.Ours` or :class:`benchmarks.plain.Plain`."""

    def train_only(self, names: Sequence[str]) -> None:
        """Let these adapters take gradients."""

    def trained(self) -> list[nn.Parameter]:
        """What takes gradients."""

    def optimizer(self) -> torch.optim.Optimizer:
        """Over what takes gradients."""

    def reading_loss(self, examples: Sequence[ReadingExample]) -> Tensor:
        """Stages 1 and 2."""

    def joint_loss(self, questions: Sequence[Question], *, top_k: int) -> Tensor:
        """Stage 3."""

    def encode(self, documents: Path) -> Tensor:
        """Memory of a file of documents."""


@dataclass(frozen=True)
class Work:
    """One row of the main table.

    Attributes:
        key: its letter.
        title: what is done.
        run: does it, and returns the loss, or what was made.
        passes: what cannot be left out of it.
        trained: adapters that are trained; without any nothing is.
        tolerance: by so much, relatively, both paths may differ: in bfloat16 they round in other places.
    """

    key: str
    title: str
    run: Callable[[Way], Tensor]
    passes: Callable[[PromptEncoder], list[Pass]]
    trained: tuple[str, ...] = ()
    tolerance: float = 0.02

    def tokens(self, encoder: PromptEncoder) -> int:
        """Real tokens that have to be read."""
        return sum(part.tokens for part in self.passes(encoder))

    def begin(self, way: Way) -> Callable[[], Tensor]:
        """A function that does it once, with backward pass and optimizer step where something is trained."""
        if not self.trained:
            return lambda: self.run(way)
        way.train_only(self.trained)
        optimizer = way.optimizer()

        def step() -> Tensor:
            optimizer.zero_grad(set_to_none=True)
            loss = self.run(way)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step


def all_works(texts: Texts, documents: Path) -> dict[str, Work]:
    """The rows a to d by their letters.

    Args:
        texts: what they are about.
        documents: file with the documents that row d encodes, see :func:`encoded`.
    """
    works = (pretraining(texts), instruction(texts), joint(texts), encoding(encoded(texts), documents))
    return {work.key: work for work in works}


def encoded(texts: Texts, count: int = NUM_ENCODED) -> list[Document]:
    """The documents of row d."""
    return texts.corpus(count)


def candidates(texts: Texts, count: int = NUM_CANDIDATES) -> list[Document]:
    """The documents that row c chooses from, each once."""
    passages = {p.document_id: p for row in texts.searches(NUM_SEARCHES, candidates=count) for p in row.passages}
    return [Document(name, passage.text, passage.title) for name, passage in passages.items()]


def pretraining(texts: Texts, *, count: int = NUM_DOCUMENTS) -> Work:
    """Stage 1."""
    title = f"stage 1 step: {count} documents with all their pairs"
    return reading("a", title, texts.all_pairs(count))


def instruction(texts: Texts, *, count: int = NUM_INSTRUCTIONS, documents: int = DOCUMENTS_PER_QUESTION) -> Work:
    """Stage 2."""
    title = f"stage 2 step: {count} questions x {documents} documents"
    return reading("b", title, texts.instructions(count, documents=documents))


def joint(
    texts: Texts,
    *,
    count: int = NUM_SEARCHES,
    num_candidates: int = NUM_CANDIDATES,
    top_k: int = DOCUMENTS_PER_QUESTION,
) -> Work:
    """Stage 3."""
    questions = texts.searches(count, candidates=num_candidates)

    def passes(encoder: PromptEncoder) -> list[Pass]:
        queries = _read(encoder, [row.question for row in questions])
        return [Pass(queries, trained=True), _answered(encoder, joint_prompts(questions, encoder, top_k))]

    return Work(
        "c",
        f"stage 3 step: {count} questions x {num_candidates} candidates, {top_k} of them read",
        lambda way: way.joint_loss(questions, top_k=top_k),
        passes,
        trained=(QUERY_REASONER, GENERATOR),
        tolerance=0.05,  # two candidates with almost the same score may change places
    )


def encoding(documents: Sequence[Document], file: Path) -> Work:
    """``clara predict`` without writing."""
    contents = [document.content for document in documents]
    return Work(
        "d",
        f"encoding {len(documents)} documents",
        lambda way: way.encode(file),
        lambda encoder: [Pass(_read(encoder, contents))],
    )


def reading(key: str, title: str, examples: Sequence[ReadingExample]) -> Work:
    """Stages 1 and 2, with any examples."""
    contents = [text for row in examples for text in row.documents]

    def passes(encoder: PromptEncoder) -> list[Pass]:
        return [Pass(_read(encoder, contents), trained=True), _answered(encoder, reading_prompts(examples, encoder))]

    return Work(key, title, lambda way: way.reading_loss(examples), passes, trained=(COMPRESSOR, GENERATOR))


def _read(encoder: PromptEncoder, texts: Sequence[str]) -> list[int]:
    """Tokens of texts with memory tokens behind them; a text that occurs twice has to be read once."""
    counts = token_counts(list(dict.fromkeys(texts)), encoder.tokenizer, limit=encoder.text_tokens)
    return [count + encoder.memory_tokens for count in counts]


def _answered(encoder: PromptEncoder, prompts: Sequence[Prompt]) -> Pass:
    lengths = encoder.encode(prompts).attention.sum(1).tolist()
    return Pass(lengths, head=encoder.count_answer_tokens(prompts), trained=True)
