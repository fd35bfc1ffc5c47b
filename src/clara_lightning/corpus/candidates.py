"""Where a question's candidate documents come from in joint training.

Shapes: B questions, N candidates, L memory tokens, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from clara_lightning.backbone.backbone import ClaraBackbone, Compressed
from clara_lightning.corpus.index import Index
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.records import Question, content_key
from clara_lightning.errors import ClaraError


class Candidates(NamedTuple):
    """Candidates of a batch of questions.

    Attributes:
        memory_BNLD: their memory; zeros at places that are not filled.
        mask_BN: True where there is a candidate.
        gold_BN: True where the candidate is gold.
        num_gold_B: gold documents of each question, found or not; 0 where gold is not known.
        keys_BN: a number for each document that is the same wherever it is a candidate.
    """

    memory_BNLD: Tensor
    mask_BN: Tensor
    gold_BN: Tensor
    num_gold_B: Tensor
    keys_BN: Tensor


class GoldDocuments(NamedTuple):
    """Gold documents of one question, each once; none where they are not known.

    Attributes:
        memory_NLD: their memory.
        keys: as in :class:`Candidates`.
    """

    memory_NLD: Tensor
    keys: tuple[int, ...]


class CandidateSource(Protocol):
    """Gives each question its candidates."""

    def __call__(self, questions: Sequence[Question], query: Compressed) -> Candidates:
        """Candidates of ``questions``, whose query vectors are ``query``; no gradient flows through it."""
        ...

    def gold(self, questions: Sequence[Question], candidates: Candidates) -> list[GoldDocuments]:
        """The gold documents of each question, whose candidates are ``candidates``; nothing is compressed for it."""
        ...

    def gold_texts(self, question: Question) -> list[str]:
        """What the compressor reads of a question's gold documents, in their order."""
        ...


class GivenCandidates:
    """The passages that come with each question.

    Their memory is read from the store where there is one, else it is compressed on the spot by the frozen compressor.

    Args:
        backbone: compresses.
        store: optional store.
    """

    def __init__(self, backbone: ClaraBackbone, store: LatentStore | None) -> None:
        self.backbone = backbone
        self.store = store

    @torch.no_grad()
    def __call__(self, questions: Sequence[Question], query: Compressed) -> Candidates:
        """See :class:`CandidateSource`."""
        memories = [self._memory(question) for question in questions]
        width = max(memory.shape[0] for memory in memories)
        memory_BNLD = torch.stack([_pad_rows(memory, width) for memory in memories]).to(self.backbone.device)
        mask_BN = torch.tensor([[n < len(q.passages) for n in range(width)] for q in questions])
        gold_BN = torch.tensor([[n < len(q.passages) and q.passages[n].gold for n in range(width)] for q in questions])
        keys = [[content_key(passage.content) for passage in question.passages] for question in questions]
        keys_BN = torch.tensor([line + [-1] * (width - len(line)) for line in keys])
        device = self.backbone.device
        return Candidates(
            memory_BNLD, mask_BN.to(device), gold_BN.to(device), gold_BN.sum(1).to(device), keys_BN.to(device)
        )

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

    def _memory(self, question: Question) -> Tensor:
        if self.store is not None:
            ids = [passage.document_id for passage in question.passages]
            source = f"question {question.id!r}: passages"
            return self.store.memory(self.store.rows_of(ids, source=source)).to(self.backbone.device)
        with self.backbone.evaluating():
            return self.backbone.compress([passage.content for passage in question.passages])


class SearchedCandidates:
    """The best documents of the whole store under the present query: exact, since the compressor is frozen.

    Args:
        store: the corpus.
        index: its index.
        num_candidates: N.
    """

    def __init__(self, store: LatentStore, index: Index, *, num_candidates: int) -> None:
        self.store = store
        self.index = index
        self.num_candidates = num_candidates

    @torch.no_grad()
    def __call__(self, questions: Sequence[Question], query: Compressed) -> Candidates:
        """See :class:`CandidateSource`."""
        hits = self.index.search(query.memory_NLD, query.weights_NL, top_k=self.num_candidates)
        rows = hits.rows_BK.tolist()
        device = query.memory_NLD.device
        memory_XLD = self.store.memory([row for line in rows for row in line]).to(device)
        gold = [set(self._gold_rows(question)) for question in questions]
        gold_BN = torch.tensor([[row in wanted for row in line] for line, wanted in zip(rows, gold, strict=True)])
        return Candidates(
            memory_XLD.unflatten(0, (len(rows), self.num_candidates)),
            torch.ones_like(gold_BN).to(device),
            gold_BN.to(device),
            torch.tensor([len(wanted) for wanted in gold]).to(device),
            hits.rows_BK,
        )

    def gold(self, questions: Sequence[Question], candidates: Candidates) -> list[GoldDocuments]:
        """See :class:`CandidateSource`: they are read from the store, found or not."""
        found = []
        for question in questions:
            rows = self._gold_rows(question)
            found.append(GoldDocuments(self.store.memory(rows).to(candidates.memory_BNLD), tuple(rows)))
        return found

    def gold_texts(self, question: Question) -> list[str]:
        """See :class:`CandidateSource`."""
        return [document.content for document in self.store.documents(self._gold_rows(question))]

    def _gold_rows(self, question: Question) -> list[int]:
        ids = tuple(dict.fromkeys(question.gold_document_ids))
        return self.store.rows_of(ids, source=f"question {question.id!r}: gold_ids")


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


def check_given(questions: Sequence[Question], store: LatentStore | None, *, top_k: int) -> None:
    """Find, before training, a question whose candidates do not suffice or are not in the store.

    Raises:
        ClaraError: naming the question.
    """
    for question in questions:
        if len(question.passages) < top_k:
            found = f"{len(question.passages)} passages" if question.passages else "none, and candidates is 'given'"
            raise ClaraError(f"model.init_args.top_k is {top_k}, but question {question.id!r}: passages: has {found}")
        if store is not None:
            ids = [passage.document_id for passage in question.passages]
            store.rows_of(ids, source=f"question {question.id!r}: passages")


def check_search(questions: Sequence[Question], store: LatentStore, *, num_candidates: int) -> None:
    """Find, before training, that the store is too small or that a gold document is not in it.

    Raises:
        ClaraError: naming the setting, or the question.
    """
    if num_candidates > len(store):
        raise ClaraError(
            f"model.init_args.num_candidates must be <= {len(store)}, the documents of the store, got {num_candidates}"
        )
    for question in questions:
        store.rows_of(question.gold_document_ids, source=f"question {question.id!r}: gold_ids")


def _pad_rows(memory_NLD: Tensor, width: int) -> Tensor:
    missing = width - memory_NLD.shape[0]
    return torch.cat([memory_NLD, memory_NLD.new_zeros(missing, *memory_NLD.shape[1:])])
