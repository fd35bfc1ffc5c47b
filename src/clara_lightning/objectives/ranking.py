r"""Figures of one question's ranking, from the ranks of its gold documents.

With G gold documents, of which those found stand at ranks :math:`r_1 < r_2 < \dots` (from 1), relevance is 0 or 1. The
definitions are those of TREC's evaluation program; torchmetrics has them over the scores of a complete list of
candidates, where a search returns the best documents alone and a gold one may be missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def found_ranks(gold_ranks: Sequence[int | None]) -> list[int]:
    """The ranks that there are, ascending.

    Args:
        gold_ranks: rank of each gold document from 1; ``None`` for one that was not found.

    Example:
        >>> found_ranks([4, None, 2])
        [2, 4]
    """
    return sorted(rank for rank in gold_ranks if rank is not None)


def recall_at(k: int, gold_ranks: Sequence[int | None]) -> float:
    r"""Recall@k, :math:`|\{i : r_i \le k\}| / G` (paper arXiv 2511.18659, section 4).

    Example:
        >>> recall_at(2, [1, None, 3, 2])
        0.5
    """
    return _hits(k, gold_ranks) / len(gold_ranks)


def precision_at(k: int, gold_ranks: Sequence[int | None]) -> float:
    r"""Precision@k, :math:`|\{i : r_i \le k\}| / k`, also where fewer than k documents are ranked.

    Example:
        >>> precision_at(4, [1, None, 3, 2])
        0.75
    """
    return _hits(k, gold_ranks) / k


def reciprocal_rank(gold_ranks: Sequence[int | None]) -> float:
    r""":math:`1 / r_1`; 0 where no gold document is found. Its mean over questions is MRR.

    Example:
        >>> reciprocal_rank([4, 2])
        0.5
    """
    found = found_ranks(gold_ranks)
    return 1 / found[0] if found else 0.0


def ndcg_at(k: int, gold_ranks: Sequence[int | None]) -> float:
    r"""nDCG@k, :math:`\sum_{r_i \le k} g(r_i) / \sum_{i=1}^{\min(G, k)} g(i)` with :math:`g(r) = 1 / \log_2 (1 + r)`.

    Example:
        >>> ndcg_at(2, [2])
        0.6309297535714575
    """
    ideal = sum(1 / math.log2(1 + rank) for rank in range(1, min(len(gold_ranks), k) + 1))
    return sum(1 / math.log2(1 + rank) for rank in found_ranks(gold_ranks) if rank <= k) / ideal


def average_precision(gold_ranks: Sequence[int | None]) -> float:
    r""":math:`\frac{1}{G} \sum_i i / r_i`. Its mean over questions is MAP.

    Example:
        >>> average_precision([1, None, 4])
        0.5
    """
    return sum(place / rank for place, rank in enumerate(found_ranks(gold_ranks), start=1)) / len(gold_ranks)


def _hits(k: int, gold_ranks: Sequence[int | None]) -> int:
    return sum(rank <= k for rank in found_ranks(gold_ranks))
