"""What stands in the background of a question: the conditions that an evaluation compares.

Shapes: X documents in all prompts of a batch, L memory tokens, D hidden size.

Every condition uses the same words, the same generator and the same questions; only the background differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.prompts import MEMORY, Background
from clara_lightning.data.records import Question
from clara_lightning.errors import ClaraError

Condition = Literal["none", "another", "gold_memory", "gold_text", "retrieved_memory"]
CONDITIONS: tuple[Condition, ...] = ("none", "another", "gold_memory", "gold_text", "retrieved_memory")
LABELS = {
    "none": "no memory",
    "another": "another document's memory",
    "gold_memory": "gold memory",
    "gold_text": "gold text",
    "retrieved_memory": "retrieved memory",
}


class Library(Protocol):
    """The documents that questions are answered from: a store, or each question's own passages.

    Documents are named by keys: rows of the store, or ``(question number, passage number)``.
    """

    def gold(self, number: int) -> list[object]:
        """Keys of the gold documents of the question with this number."""
        ...

    def text(self, key: object) -> str:
        """What the compressor reads of a document."""
        ...

    def memory(self, keys: Sequence[object]) -> Tensor:
        """Memory of documents ``(X, L, D)``."""
        ...


class StoreLibrary:
    """A store; gold documents are those of ``Question.gold_document_ids``.

    Args:
        store: the corpus.
        questions: the questions, in order.
        source: the questions' file, for errors.
    """

    def __init__(self, store: LatentStore, questions: Sequence[Question], *, source: str) -> None:
        self.store = store
        self._gold: list[list[object]] = []
        for question in questions:
            if not question.gold_document_ids:
                raise ClaraError(
                    f"{source}: question {question.id!r}: gold_ids: missing, but gold memory and Recall need them"
                )
            self._gold.append(
                list(store.rows_of(question.gold_document_ids, source=f"{source}: question {question.id!r}: gold_ids"))
            )

    def gold(self, number: int) -> list[object]:
        """See :class:`Library`."""
        return self._gold[number]

    def text(self, key: object) -> str:
        """See :class:`Library`."""
        assert isinstance(key, int)
        return self.store.documents([key])[0].content

    def memory(self, keys: Sequence[object]) -> Tensor:
        """See :class:`Library`."""
        return self.store.memory([key for key in keys if isinstance(key, int)])


class PassageLibrary:
    """Each question's own passages, compressed on the spot.

    Args:
        backbone: compresses.
        questions: the questions, in order.
        source: the questions' file, for errors.
    """

    def __init__(self, backbone: ClaraBackbone, questions: Sequence[Question], *, source: str) -> None:
        self.backbone = backbone
        self.questions = questions
        self._memory: dict[str, Tensor] = {}
        for question in questions:
            if not any(passage.gold for passage in question.passages):
                raise ClaraError(
                    f"{source}: question {question.id!r}: passages: none is gold, but gold memory and Recall need one "
                    "(or give --store and gold_ids)"
                )

    def gold(self, number: int) -> list[object]:
        """See :class:`Library`."""
        return [(number, place) for place, passage in enumerate(self.questions[number].passages) if passage.gold]

    def text(self, key: object) -> str:
        """See :class:`Library`."""
        assert isinstance(key, tuple)
        number, place = key
        return self.questions[number].passages[place].content

    @torch.no_grad()
    def memory(self, keys: Sequence[object]) -> Tensor:
        """See :class:`Library`; each distinct text is compressed once."""
        texts = [self.text(key) for key in keys]
        new = sorted({text for text in texts if text not in self._memory}, key=len)
        for start in range(0, len(new), 16):
            part = new[start : start + 16]
            self._memory.update(zip(part, self.backbone.compress(part).cpu(), strict=True))
        return torch.stack([self._memory[text] for text in texts])


@dataclass(frozen=True)
class Filled:
    """The background of one question under one condition.

    Attributes:
        background: for the prompt.
        keys: documents whose memory goes into the slots.
    """

    background: tuple[Background, ...]
    keys: tuple[object, ...] = ()


def fill(condition: Condition, number: int, *, library: Library, total: int, retrieved: Sequence[object]) -> Filled:
    """The background of a question.

    Args:
        condition: which.
        number: of the question.
        library: where the documents are.
        total: number of questions; ``another`` takes the gold documents of the next question that shares none.
        retrieved: keys of the documents that retrieval found, best first.
    """
    if condition == "none":
        return Filled(())
    gold = library.gold(number)
    if condition == "gold_text":
        return Filled(tuple(library.text(key) for key in gold))
    keys = {"gold_memory": gold, "retrieved_memory": list(retrieved)}.get(condition)
    if keys is None:
        keys = _another(number, library=library, total=total)
    return Filled((MEMORY,) * len(keys), tuple(keys))


def _another(number: int, *, library: Library, total: int) -> list[object]:
    """As many documents as the question has gold ones, none of them gold for it, from the questions that follow."""
    own = library.gold(number)
    texts = {library.text(key) for key in own}
    found: list[object] = []
    for step in range(1, total):
        for key in library.gold((number + step) % total):
            if library.text(key) not in texts:
                texts.add(library.text(key))
                found.append(key)
            if len(found) == len(own):
                return found
    raise ClaraError("--data: every question has the same gold documents, so there is no other document's memory")
