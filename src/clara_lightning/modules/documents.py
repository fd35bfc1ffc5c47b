"""The documents of a validation in stages 1 and 2: each is lent to another question, and all are ranked together.

Shapes: N documents, B questions, L memory tokens, D hidden size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle, islice, repeat, zip_longest
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, distributed

from clara_lightning.backbone.backbone import Compressed
from clara_lightning.data.examples import ReadingExample
from clara_lightning.data.records import content_key
from clara_lightning.errors import ClaraError
from clara_lightning.objectives.metrics import RetrievalScores
from clara_lightning.objectives.scores import ScoreName, score

LENDABLE = 64  # documents of earlier batches that are kept to be lent
QUERIES, BLOCK = 16, 256  # queries and documents that are scored at once

T = TypeVar("T")


class ReadQuestion(NamedTuple):
    """A question after it and its documents were read, on the CPU.

    Attributes:
        keys: of its documents.
        gold: keys of those that hold the answer; none where that is not known.
        memory_NLD: their memory in bfloat16, as a store keeps it.
        query: query vectors ``(L, D)`` and how much each of them counts ``(L,)``; ``None`` where none is ranked.
    """

    keys: tuple[int, ...]
    gold: frozenset[int]
    memory_NLD: Tensor
    query: tuple[Tensor, Tensor] | None


class ValidationDocuments:
    """What documents that are compressed once tell beside the loss of their own question.

    Each process sees the documents of all in the order of the file, so that neither what is lent nor what is ranked
    depends on how many processes there are.

    Args:
        ranked: distinct documents that are kept and ranked; the questions behind those to whom they belong are not
            ranked. 0 ranks none.
    """

    def __init__(self, *, ranked: int) -> None:
        if ranked < 0:
            raise ClaraError(f"model.init_args.ranked_documents must be >= 0, got {ranked}")
        self.ranked = ranked
        self.reset()

    def reset(self) -> None:
        """Begin a validation."""
        self._lendable: list[tuple[int, Tensor]] = []
        self._kept: dict[int, Tensor] = {}
        self._questions: list[ReadQuestion] = []
        self._is_full = False
        self._num_left_out = 0

    def add(
        self, examples: Sequence[ReadingExample], memory: Sequence[Tensor], query: Compressed | None, *, real: int
    ) -> list[Tensor]:
        """Take in a batch, together with those of the other processes.

        Args:
            examples: the batch.
            memory: ``(N, L, D)`` of each example's documents.
            query: what the examples' questions were read as; ``None`` where none is ranked.
            real: the first so many examples count.

        Returns:
            For each example, memory of as many documents that are not its own; none where there is no other.
        """
        queries = repeat(None) if query is None else zip(query.memory_NLD.cpu(), query.weights_NL.cpu(), strict=True)
        own = [_read_question(*part) for part in zip(examples[:real], memory, queries, strict=False)]
        rank, batches = _gathered(own)
        # Rows of a batch are dealt out to the processes in turn: taken in turn, they are in the order of the file.
        batch = [each for turn in zip_longest(*batches) for each in turn if each is not None]
        for question in batch:
            self._keep(question)
        lent = self._lend(batch)[rank :: len(batches)] + [each[:0] for each in memory[real:]]
        return [other.to(each) for other, each in zip(lent, memory, strict=True)]

    def figures(self, name: ScoreName, *, device: torch.device) -> dict[str, float]:
        """Rank the documents of all questions for each of them; every process does so.

        Args:
            name: score that ranks.
            device: where.

        Returns:
            ``recall@1``, ``recall@5`` and ``mrr`` over the questions whose gold documents are known, among how many
            documents (``ranked_documents``), and without how many questions (``unranked_questions``), for whose
            documents there was no room. nan where there is no such question; nothing where none is to be ranked.
        """
        if not self.ranked:
            return {}
        sizes = {"ranked_documents": float(len(self._kept)), "unranked_questions": float(self._num_left_out)}
        if not self._questions:
            return dict.fromkeys(("recall@1", "recall@5", "mrr"), math.nan) | sizes
        scores = RetrievalScores(top_k=(1, 5), sync_on_compute=False).to(device)
        memory_NLD = torch.stack([*self._kept.values()])
        for start in range(0, len(self._questions), QUERIES):
            part = self._questions[start : start + QUERIES]
            query_BLD, weights_BL = (
                torch.stack(each).to(device) for each in zip(*(q.query for q in part), strict=True)
            )
            blocks = (block.to(device) for block in memory_NLD.split(BLOCK))
            scores_BN = torch.cat([score(name, query_BLD, block, weights_BL) for block in blocks], dim=1)
            gold_BN = torch.tensor([[key in each.gold for key in self._kept] for each in part], device=device)
            scores.update(scores_BN, gold_BN)
        return {key: float(value) for key, value in scores.compute().items()} | sizes

    def _keep(self, question: ReadQuestion) -> None:
        """Keep the next question of the file, as long as there is room for its documents."""
        documents = dict(zip(question.keys, question.memory_NLD, strict=True))
        self._is_full |= len(self._kept) + len(documents.keys() - self._kept.keys()) > self.ranked
        if self._is_full:
            self._num_left_out += bool(question.gold)
            return
        for key, memory_LD in documents.items():
            self._kept.setdefault(key, memory_LD)
        if question.gold and question.query is not None:
            self._questions.append(question)

    def _lend(self, batch: Sequence[ReadQuestion]) -> list[Tensor]:
        """Memory of other documents for each question of the batch."""
        places = others_documents([each.keys for each in batch], before=[key for key, _ in self._lendable])
        own = [pair for each in batch for pair in zip(each.keys, each.memory_NLD, strict=True)]
        pool = [*self._lendable, *own]
        self._lendable = pool[-LENDABLE:]
        return [
            torch.stack([pool[place][1] for place in line]) if line else each.memory_NLD[:0]
            for line, each in zip(places, batch, strict=True)
        ]


def others_documents(keys: Sequence[Sequence[int]], *, before: Sequence[int] = ()) -> list[list[int]]:
    """For each question, documents of others in the place of its own: the nearest before it, then those behind it.

    Args:
        keys: documents of each question, in the order of the file; equal documents have equal keys.
        before: documents of earlier questions, in order.

    Returns:
        Places in ``before`` with all of ``keys`` behind it: as many as the question has documents, over and over where
        there are fewer others, and none where there is no other.

    Example:
        >>> others_documents([[1, 2], [3], [1]], before=[9])
        [[0, 3], [2], [3]]
    """
    pool = [*before, *(key for line in keys for key in line)]
    found, start = [], len(before)
    for line in keys:
        others: dict[int, int] = {}
        for place in [*reversed(range(start)), *range(start + len(line), len(pool))]:
            if pool[place] not in line:
                others.setdefault(pool[place], place)
        found.append(list(islice(cycle(others.values()), len(line))))
        start += len(line)
    return found


def _read_question(example: ReadingExample, memory_NLD: Tensor, query: tuple[Tensor, Tensor] | None) -> ReadQuestion:
    keys = tuple(map(content_key, example.documents))
    gold = frozenset(key for key, is_gold in zip(keys, example.gold, strict=False) if is_gold)
    return ReadQuestion(keys, gold, memory_NLD.to("cpu", torch.bfloat16), query)


def _gathered(own: T) -> tuple[int, list[T]]:
    """This process's number, and what each process gave; all of them must call this."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, [own]
    found: list[T] = [own] * distributed.get_world_size()
    distributed.all_gather_object(found, own)
    return distributed.get_rank(), found
