"""Two rankings of the same documents become one: by their scores, or by their ranks alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

FusionMethod = Literal["weighted", "reciprocal_rank"]
RANK_CONSTANT = 60
"""k of reciprocal rank fusion, as in the paper."""


class Found(NamedTuple):
    """Documents that one search found for one question, best first.

    Attributes:
        rows: of the documents, each once.
        scores: theirs; any scale.
    """

    rows: tuple[int, ...]
    scores: tuple[float, ...]


def fuse(
    latent: Found, lexical: Found, *, method: FusionMethod, weight: float, k: int = RANK_CONSTANT, top_k: int
) -> Found:
    r"""One ranking of the documents that either search found.

    With w the weight and for each of the two lists:

    ``weighted`` is :math:`(1 - w)\, n_{latent}(d) + w\, n_{lexical}(d)`, where n brings a list's scores to [0, 1]:
    :math:`n(d) = (s(d) - \min s) / (\max s - \min s)`, and 1 for all of a list whose scores are equal.

    ``reciprocal_rank`` is :math:`2 (1 - w) / (k + r_{latent}(d)) + 2 w / (k + r_{lexical}(d))` with ranks r from 1; at
    w = 0.5 it is the sum of Cormack, Clarke and Buettcher (SIGIR 2009).

    A document that only one list has gets 0 from the other one: for ``weighted`` as if it had that list's lowest score,
    for ``reciprocal_rank`` as if its rank were endless.

    Args:
        latent: by the trained score.
        lexical: by BM25.
        method: which of the two.
        weight: w, the part of the lexical list, in [0, 1].
        k: of ``reciprocal_rank``: the larger, the less the first ranks are ahead of the others.
        top_k: documents to return at most.

    Returns:
        The best ``top_k``, or all where both lists have fewer, best first; equal scores (in float32) by row.

    Example:
        >>> fuse(Found((4, 7), (0.9, 0.5)), Found((7, 2), (8.0, 4.0)), method="weighted", weight=0.25, top_k=3)
        Found(rows=(4, 7, 2), scores=(0.75, 0.25, 0.0))
    """
    if method == "weighted":
        parts, shares = (_scaled(latent), _scaled(lexical)), (1 - weight, weight)
    else:
        parts, shares = (_by_rank(latent, k), _by_rank(lexical, k)), (2 * (1 - weight), 2 * weight)
    fused = {
        row: float(np.float32(sum(share * part.get(row, 0.0) for share, part in zip(shares, parts, strict=True))))
        for row in {**parts[0], **parts[1]}
    }
    best = sorted(fused, key=lambda row: (-fused[row], row))[:top_k]
    return Found(tuple(best), tuple(fused[row] for row in best))


def _scaled(found: Found) -> Mapping[int, float]:
    if not found.rows:
        return {}
    low, high = min(found.scores), max(found.scores)
    if low == high:
        return dict.fromkeys(found.rows, 1.0)
    return {row: (score - low) / (high - low) for row, score in zip(found.rows, found.scores, strict=True)}


def _by_rank(found: Found, k: int) -> Mapping[int, float]:
    return {row: 1 / (k + rank) for rank, row in enumerate(found.rows, start=1)}
