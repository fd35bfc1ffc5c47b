"""Where a question's candidate documents come from in joint training.

Shapes: B questions, N candidates, H some of them, L memory tokens, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from typing import NamedTuple, Protocol

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from clara_lightning.backbone.backbone import ClaraBackbone, Compressed
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.loading import Batch
from clara_lightning.data.records import Question, content_key
from clara_lightning.errors import ClaraError


class Candidates(NamedTuple):
    """Candidates of a batch of questions.

    Attributes:
        memory_BNLD: their memory; zeros at places that are not filled.
        mask_BN: True where there is a candidate.
        gold_BN: True where the candidate is gold; of the chunks of a gold document, at the best one alone.
        num_gold_B: gold documents of each question, found or not; 0 where gold is not known.
        keys_BN: a number for each document that is the same wherever it is a candidate.
        is_full: whether every place is known to be filled, without a look at ``mask_BN`` on its device.
        lexical_BN: their BM25 scores, where they are asked for.
    """

    memory_BNLD: Tensor
    mask_BN: Tensor
    gold_BN: Tensor
    num_gold_B: Tensor
    keys_BN: Tensor
    is_full: bool = False
    lexical_BN: Tensor | None = None

    def only(self, places_BH: Tensor) -> Candidates:
        """Some of each question's candidates; ``num_gold_B`` stays what it was, found or not."""
        return self._replace(
            memory_BNLD=torch.take_along_dim(self.memory_BNLD, places_BH[..., None, None], dim=1),
            mask_BN=self.mask_BN.gather(1, places_BH),
            gold_BN=self.gold_BN.gather(1, places_BH),
            keys_BN=self.keys_BN.gather(1, places_BH),
            lexical_BN=None if self.lexical_BN is None else self.lexical_BN.gather(1, places_BH),
        )


class GoldDocuments(NamedTuple):
    """Gold documents of one question, each once, or all their chunks; none where they are not known.

    Attributes:
        memory_NLD: their memory.
        keys: as in :class:`Candidates`.
    """

    memory_NLD: Tensor
    keys: tuple[int, ...]

    def none(self) -> GoldDocuments:
        """None of them."""
        return GoldDocuments(self.memory_NLD[:0], ())


class CandidateSource(Protocol):
    """Gives each question its candidates."""

    def __call__(self, questions: Sequence[Question], query: Compressed, *, gold_share: float = 0.0) -> Candidates:
        """Candidates of some questions; no gradient flows through it.

        Args:
            questions: B questions.
            query: their query vectors.
            gold_share: gold documents that are not among a question's candidates join them with this probability,
                where the source knows more than these.
        """
        ...

    def gold(self, questions: Sequence[Question], candidates: Candidates) -> list[GoldDocuments]:
        """The gold documents of each question, whose candidates are ``candidates``; nothing is compressed for it."""
        ...

    def gold_texts(self, question: Question) -> list[str]:
        """What the compressor reads of a question's gold documents, in their order."""
        ...


class StoredPassages:
    """Reads the memory of questions' passages from a store: what can be done ahead of a step, and in another process.

    Args:
        store: the corpus.
    """

    def __init__(self, store: LatentStore) -> None:
        self.store = store

    def __call__(self, questions: Sequence[Question], epoch: int = 0) -> Tensor:
        """Memory of all passages of all questions, in their order ``(X, L, D)``; the same in each epoch.

        Raises:
            ClaraError: a passage is not in the store.
        """
        return self.store.memory([row for question in questions for row in self.rows(question)])

    def rows(self, question: Question) -> list[int]:
        """Rows of one question's passages.

        Raises:
            ClaraError: one of them is not in the store.
        """
        ids = [passage.document_id for passage in question.passages]
        return self.store.rows_of(ids, source=f"question {question.id!r}: passages")


class GivenCandidates:
    """The passages that come with each question.

    Their memory is read from the store where there is one, else it is compressed on the spot by the frozen compressor.

    Args:
        backbone: compresses.
        stored: reads from the store, where there is one. A :class:`~clara_lightning.data.loading.Batch` that it
            prepared is not read again.
    """

    def __init__(self, backbone: ClaraBackbone, stored: StoredPassages | None) -> None:
        self.backbone = backbone
        self.stored = stored

    @torch.no_grad()
    def __call__(self, questions: Sequence[Question], query: Compressed, *, gold_share: float = 0.0) -> Candidates:
        """See :class:`CandidateSource`."""
        memory_XLD = self._compress(questions) if self.stored is None else self._read(questions, self.stored)
        counts = [len(question.passages) for question in questions]
        width = max(counts)
        gold_BN = torch.tensor([[n < len(q.passages) and q.passages[n].gold for n in range(width)] for q in questions])
        keys = [[content_key(passage.content) for passage in question.passages] for question in questions]
        found = Candidates(
            pad_sequence(memory_XLD.split(counts), batch_first=True),
            torch.tensor([[n < count for n in range(width)] for count in counts]),
            gold_BN,
            gold_BN.sum(1),
            torch.tensor([line + [-1] * (width - len(line)) for line in keys]),
            is_full=min(counts) == width,
        )
        return _moved(found, self.backbone.device)

    def gold(self, questions: Sequence[Question], candidates: Candidates) -> list[GoldDocuments]:
        """See :class:`CandidateSource`: they are among the candidates."""
        found = []
        for question, memory_NLD in zip(questions, candidates.memory_BNLD, strict=True):
            places = {passage.content: place for place, passage in enumerate(question.passages) if passage.gold}
            found.append(GoldDocuments(memory_NLD[list(places.values())], tuple(map(content_key, places))))
        return found

    def gold_texts(self, question: Question) -> list[str]:
        """See :class:`CandidateSource`."""
        return list(dict.fromkeys(passage.content for passage in question.passages if passage.gold))

    def _read(self, questions: Sequence[Question], stored: StoredPassages) -> Tensor:
        """Memory of all passages in order, where the batch does not hold it already."""
        prepared: Tensor | None = questions.prepared if isinstance(questions, Batch) else None
        return stored(questions) if prepared is None else prepared

    def _compress(self, questions: Sequence[Question]) -> Tensor:
        """Memory of all passages in order, each distinct one compressed once, and all of them together."""
        contents = [passage.content for question in questions for passage in question.passages]
        place = {content: number for number, content in enumerate(dict.fromkeys(contents))}
        with self.backbone.evaluating():
            memory_NLD = self.backbone.compress(list(place))
        places_X = torch.tensor([place[content] for content in contents])
        return memory_NLD.index_select(0, move_data_to_device(places_X, memory_NLD.device))


def other_candidates(candidates: Candidates, gold: Sequence[GoldDocuments]) -> list[Tensor]:
    """For each question, memory of candidates in the place of its gold documents: the first that are not gold.

    Args:
        candidates: of B questions.
        gold: gold documents of the same questions.

    Returns:
        ``(n, L, D)`` for n gold documents, over and over where there are fewer others; none where there is no other.
    """
    found = []
    masks, lines = candidates.mask_BN.tolist(), candidates.keys_BN.tolist()
    for memory_NLD, mask, keys, own in zip(candidates.memory_BNLD, masks, lines, gold, strict=True):
        places = [place for place, key in enumerate(keys) if mask[place] and key not in own.keys]
        found.append(memory_NLD[list(islice(cycle(places), len(own.keys)))])
    return found


def check_given(questions: Sequence[Question], stored: StoredPassages | None, *, top_k: int) -> None:
    """Find, before training, a question whose candidates do not suffice or are not in the store.

    Raises:
        ClaraError: naming the question.
    """
    for question in questions:
        if len(question.passages) < top_k:
            none = "none, and model.init_args.candidates is not given"
            found = f"{len(question.passages)} passages" if question.passages else none
            raise ClaraError(f"model.init_args.top_k is {top_k}, but question {question.id!r}: passages: has {found}")
        if stored is not None:
            stored.rows(question)


def _moved(candidates: Candidates, device: torch.device) -> Candidates:
    """The same on ``device``, without waiting for what runs there."""
    moved: Candidates = move_data_to_device(candidates, device)
    return moved
