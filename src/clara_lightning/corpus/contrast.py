"""The documents that contrastive training tells apart: those of a whole batch.

Shapes: B questions, N candidates of a question, X distinct documents of a batch, L memory tokens, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from clara_lightning.corpus.candidates import Candidates, GoldDocuments
from clara_lightning.data.records import Question


class Pool(NamedTuple):
    """Distinct documents of a batch, and what they are to each question.

    Attributes:
        memory_XLD: their memory.
        own_BX: True where a document is a candidate of the question, or gold for it.
        gold_BX: True where it is gold.
    """

    memory_XLD: Tensor
    own_BX: Tensor
    gold_BX: Tensor


def pool_documents(candidates: Candidates, gold: Sequence[GoldDocuments]) -> Pool:
    """Candidates and gold documents of all questions, each document once, by its key.

    Args:
        candidates: of B questions.
        gold: of the same questions; those that are no candidates (a search missed them) join the pool.

    Returns:
        Documents in the order in which they first appear: candidates, then gold documents.
    """
    keys = candidates.keys_BN[candidates.mask_BN].tolist() + [key for each in gold for key in each.keys]
    memory = torch.cat([candidates.memory_BNLD[candidates.mask_BN], *(each.memory_NLD for each in gold)])
    first: dict[int, int] = {}
    for place, key in enumerate(keys):
        first.setdefault(key, place)
    keys_X = torch.tensor(list(first), device=memory.device)
    gold_BX = torch.stack([torch.isin(keys_X, keys_X.new_tensor(each.keys)) for each in gold])
    candidate_BX = (candidates.keys_BN.unsqueeze(2) == keys_X).any(dim=1)  # places that are not filled have no key
    return Pool(memory[list(first.values())], candidate_BX | gold_BX, gold_BX)


def has_gold(question: Question, *, searched: bool) -> bool:
    """Whether a question says which document holds its answer: one of a store, or one of its own passages."""
    return bool(question.gold_document_ids) if searched else any(passage.gold for passage in question.passages)
