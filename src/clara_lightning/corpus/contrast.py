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
from clara_lightning.errors import ClaraError


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
    masks, lines = candidates.mask_BN.tolist(), candidates.keys_BN.tolist()
    own = [[key for key, is_one in zip(*both, strict=True) if is_one] for both in zip(lines, masks, strict=True)]
    places: dict[int, int] = {}
    for place, key in enumerate(key for keys in (*own, *(each.keys for each in gold)) for key in keys):
        places.setdefault(key, place)
    memory = torch.cat([candidates.memory_BNLD[candidates.mask_BN], *(each.memory_NLD for each in gold)])
    column = {key: number for number, key in enumerate(places)}
    own_BX, gold_BX = torch.zeros(2, len(gold), len(column), dtype=torch.bool)
    for row, (keys, each) in enumerate(zip(own, gold, strict=True)):
        gold_BX[row, [column[key] for key in each.keys]] = True
        own_BX[row, [column[key] for key in (*keys, *each.keys)]] = True
    device = memory.device
    return Pool(memory[list(places.values())], own_BX.to(device), gold_BX.to(device))


def has_gold(question: Question, *, searched: bool) -> bool:
    """Whether a question says which document holds its answer: one of a store, or one of its own passages."""
    return bool(question.gold_document_ids) if searched else any(passage.gold for passage in question.passages)


def questions_with_gold(questions: Sequence[Question], *, searched: bool) -> list[Question]:
    """The questions that contrastive training can learn from.

    Args:
        questions: of the training file.
        searched: whether documents come from a store; questions without gold ones are left out then.

    Raises:
        ClaraError: candidates are given and none of a question's is gold, or no question is left.
    """
    kept = [question for question in questions if has_gold(question, searched=searched)]
    if searched and not kept:
        raise ClaraError("model.init_args.objective is 'contrastive', but no training question has gold_ids")
    for question in questions if not searched else ():
        if not has_gold(question, searched=False):
            raise ClaraError(
                f"model.init_args.objective is 'contrastive', but question {question.id!r}: passages: none is gold"
            )
    return kept
