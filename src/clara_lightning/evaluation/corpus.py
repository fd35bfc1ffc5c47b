"""What questions are answered from: documents by row, and each question's candidates and gold documents among them.

Shapes: X documents asked for, L memory tokens, D hidden size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor

from clara_lightning.corpus import lexical
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.records import Document, Question
from clara_lightning.errors import ClaraError
from clara_lightning.evaluation.work import in_batches

Mine = Callable[[Sequence[str], int], Sequence[Sequence[int]]]
"""``mine(questions, depth)``: rows of the best documents of each question by word overlap, best first."""


class Corpus(Protocol):
    """Documents by row."""

    def __len__(self) -> int: ...

    def documents(self, rows: Sequence[int]) -> list[Document]:
        """The documents, in the order of ``rows``."""
        ...

    def memory(self, rows: Sequence[int]) -> Tensor:
        """Their memory ``(X, L, D)``."""
        ...

    def contents(self) -> Iterator[Sequence[str]]:
        """What is read of all documents, in batches: for those who must see each of them once."""
        ...


class StoreCorpus:
    """A store; the documents that were asked for are held in memory, since they are asked for again and again.

    Args:
        store: the store.
    """

    def __init__(self, store: LatentStore) -> None:
        self.store = store
        self._documents: dict[int, Document] = {}

    def __len__(self) -> int:
        return len(self.store)

    def documents(self, rows: Sequence[int]) -> list[Document]:
        """See :class:`Corpus`."""
        new = sorted(set(rows) - self._documents.keys())
        self._documents.update(zip(new, self.store.documents(new), strict=True))
        return [self._documents[row] for row in rows]

    def contents(self) -> Iterator[Sequence[str]]:
        """See :class:`Corpus`; nothing of it is held."""
        return lexical.contents(self.store)

    def memory(self, rows: Sequence[int]) -> Tensor:
        """See :class:`Corpus`."""
        return self.store.memory(rows)


class PassageCorpus:
    """The distinct passages of a file's questions; the memory of those that are needed is given to it.

    Args:
        questions: all questions of the file.
    """

    def __init__(self, questions: Sequence[Question]) -> None:
        passages = {passage.content: passage for question in questions for passage in question.passages}
        self._documents = [Document(p.document_id, p.text, p.title) for p in passages.values()]
        self._rows = {content: row for row, content in enumerate(passages)}
        self._memory: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._documents)

    def documents(self, rows: Sequence[int]) -> list[Document]:
        """See :class:`Corpus`."""
        return [self._documents[row] for row in rows]

    def contents(self) -> Iterator[Sequence[str]]:
        """See :class:`Corpus`."""
        yield [document.content for document in self._documents]

    def rows_of(self, question: Question, *, gold: bool = False) -> tuple[int, ...]:
        """Rows of a question's passages, each once, in the file's order; of the gold ones alone, where asked for."""
        own = [passage for passage in question.passages if passage.gold or not gold]
        return tuple(dict.fromkeys(self._rows[passage.content] for passage in own))

    def batches(self, rows: Sequence[int], *, batch_size: int) -> list[list[int]]:
        """Those of ``rows`` that have no memory yet, in batches of similar length."""
        new = sorted({row for row in rows if row not in self._memory})
        numbers = in_batches([len(self._documents[row].content) for row in new], batch_size)
        return [[new[number] for number in batch] for batch in numbers]

    def keep(self, rows: Sequence[int], memory_NLD: Tensor) -> None:
        """Take over the memory of some documents."""
        self._memory.update(zip(rows, memory_NLD, strict=True))

    def memory(self, rows: Sequence[int]) -> Tensor:
        """See :class:`Corpus`; what :meth:`keep` was given."""
        return torch.stack([self._memory[row] for row in rows])


@dataclass(frozen=True)
class Asked:
    """A question with rows of a :class:`Corpus`.

    Attributes:
        question: as in the file.
        gold: rows of its gold documents, or of all their chunks.
        candidates: rows that a retriever chooses from in the scale ``candidates``, ascending, all gold ones among them;
            fewer than two where there is nothing to choose from.
        chunks: ids of the gold documents that were cut, each with the rows of its chunks.
    """

    question: Question
    gold: tuple[int, ...]
    candidates: tuple[int, ...] = ()
    chunks: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def gold_documents(self, corpus: Corpus) -> list[tuple[str, tuple[int, ...]]]:
        """Id and rows of each gold document; who finds one of the rows has found it."""
        in_chunks = {row for _, rows in self.chunks for row in rows}
        whole = [row for row in self.gold if row not in in_chunks]
        ids = [document.id for document in corpus.documents(whole)]
        return [*((name, (row,)) for name, row in zip(ids, whole, strict=True)), *self.chunks]


def draw_questions(questions: Sequence[Question], *, limit: int | None, seed: int) -> list[Question]:
    """A sample of the questions in their order; which are drawn depends on ids and seed, not on the order."""
    if limit is None or limit >= len(questions):
        return list(questions)
    drawn = sorted(range(len(questions)), key=lambda place: (_lot(questions[place].id, seed), place))[:limit]
    return [questions[place] for place in sorted(drawn)]


def ask_store(
    questions: Sequence[Question], store: LatentStore, *, num_candidates: int, mine: Mine, source: str
) -> list[Asked]:
    """Questions over a store: gold documents by id, candidates mined from the whole store with the gold ones put in.

    An id may be that of a document which the store holds in chunks: it stands for all of them.

    Raises:
        ClaraError: a question has no gold documents, or one is not in the store.
    """
    gold, chunks = [], []
    for question in questions:
        ids = tuple(dict.fromkeys(question.gold_document_ids))
        if not ids:
            raise ClaraError(
                f"{source}: question {question.id!r}: gold_ids: missing, but gold memory and Recall need them"
            )
        place = f"{source}: question {question.id!r}: gold_ids"
        rows = store.rows_of_each(ids, source=place)
        gold.append(tuple(dict.fromkeys(chain.from_iterable(rows))))
        chunks.append(tuple((name, own) for name, own in zip(ids, rows, strict=True) if store.ids[own[0]] != name))
    asked = _with_candidates(questions, gold, [()] * len(questions), num_candidates=num_candidates, mine=mine)
    return [replace(one, chunks=own) for one, own in zip(asked, chunks, strict=True)]


def ask_passages(
    questions: Sequence[Question], corpus: PassageCorpus, *, num_candidates: int, mine: Mine, source: str
) -> list[Asked]:
    """Questions over their own passages; where these are fewer than wanted, others of the file are mined.

    Raises:
        ClaraError: a question has no gold passage.
    """
    for question in questions:
        if not any(passage.gold for passage in question.passages):
            raise ClaraError(
                f"{source}: question {question.id!r}: passages: none is gold, but gold memory and Recall need one "
                "(or give --store and gold_ids)"
            )
    gold = [corpus.rows_of(question, gold=True) for question in questions]
    own = [corpus.rows_of(question) for question in questions]
    return _with_candidates(questions, gold, own, num_candidates=num_candidates, mine=mine)


def _with_candidates(
    questions: Sequence[Question],
    gold: Sequence[tuple[int, ...]],
    own: Sequence[tuple[int, ...]],
    *,
    num_candidates: int,
    mine: Mine,
) -> list[Asked]:
    """Each question's own documents, filled up with mined ones; a gold one takes the place of the last mined one."""
    short = any(len(rows) < num_candidates for rows in own)
    mined = mine([q.question for q in questions], num_candidates) if short else [()] * len(questions)
    asked = []
    for question, wanted, given, found in zip(questions, gold, own, mined, strict=True):
        kept = dict.fromkeys([*given, *wanted])
        others = [row for row in found if row not in kept][: max(0, num_candidates - len(kept))]
        asked.append(Asked(question, wanted, tuple(sorted([*kept, *others]))))
    return asked


def others_gold(asked: Sequence[Asked], corpus: Corpus, *, seed: int) -> list[tuple[int, ...]]:
    """For each question as many documents as it has gold ones, gold for other questions and not for it.

    They are those of the questions that follow in an order made of ids and seed, so the order in the file does not
    matter. A copy of a gold document under another id is no other document.

    Raises:
        ClaraError: the other questions have too few.
    """
    order = sorted(range(len(asked)), key=lambda number: (_lot(asked[number].question.id, seed), number))
    place = {number: index for index, number in enumerate(order)}
    rows = sorted({row for one in asked for row in one.gold})
    texts = {row: document.content for row, document in zip(rows, corpus.documents(rows), strict=True)}

    def lent_to(number: int) -> tuple[int, ...]:
        own, seen, lent = asked[number].gold, {texts[row] for row in asked[number].gold}, []
        for step in range(1, len(order)):
            for row in asked[order[(place[number] + step) % len(order)]].gold:
                if texts[row] not in seen:
                    seen.add(texts[row])
                    lent.append(row)
                if len(lent) == len(own):
                    return tuple(lent)
        raise ClaraError(
            f"--data: question {asked[number].question.id!r}: the other questions' gold documents are too few to lend "
            f"it {len(own)} of them, and another document's memory is always measured"
        )

    return [lent_to(number) for number in range(len(asked))]


def _lot(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}-{name}".encode()).hexdigest()
