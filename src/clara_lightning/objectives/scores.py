"""Scores between a query's memory and documents' memory, always in fp32 (or wider), also under autocast.

Shapes: B questions, N documents (a question's candidates, or one corpus for all questions), L and M memory tokens of
the query and of a document, D hidden size. A vector of zeros (padding) scores 0 and gets no gradient.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

ScoreName = Literal["maxsim", "flat", "mean"]

EPS = 1e-12
"""Vectors up to this length count as zero."""


def score(name: ScoreName, query_BLD: Tensor, memory_BNLD: Tensor, weights_BL: Tensor) -> Tensor:
    """The score that a configuration names: :func:`maxsim`, or one that has no weights.

    ``flat`` is :func:`flat_cosine`, ``mean`` is :func:`mean_cosine`.

    Args:
        name: which.
        query_BLD: the query's vectors.
        memory_BNLD: candidates of each question, or ``(N, L, D)`` shared by all.
        weights_BL: importance of the query's vectors.

    Returns:
        ``(B, N)`` scores in [-1, 1].
    """
    if name == "maxsim":
        return maxsim(query_BLD, memory_BNLD, weights_BL)
    return mean_cosine(query_BLD, memory_BNLD) if name == "mean" else flat_cosine(query_BLD, memory_BNLD)


def flat_cosine(query_BLD: Tensor, memory_BNLD: Tensor) -> Tensor:
    r"""Cosine of the flattened memories, :math:`\cos(\mathrm{vec}\,q, \mathrm{vec}\,M_i)`.

    Paper arXiv 2511.18659, stage 3. It compares memory token j of the query with memory token j of the document,
    and with no other.

    Args:
        query_BLD: the query reasoner's output.
        memory_BNLD: ``(B, N, L, D)`` memory of each question's candidates, or ``(N, L, D)`` of documents shared by all.

    Returns:
        ``(B, N)`` scores in [-1, 1].

    Example:
        >>> flat_cosine(torch.tensor([[[3.0, 0.0], [0.0, 4.0]]]), torch.tensor([[[3.0, 0.0], [0.0, -4.0]]]))
        tensor([[-0.2800]])
    """
    with torch.autocast(query_BLD.device.type, enabled=False):
        query_BLD, memory_BNLD = _unit(query_BLD, dims=(-2, -1)), _unit(memory_BNLD, dims=(-2, -1))
        return torch.einsum(f"bld,{_document_axes(memory_BNLD)}ld->bn", query_BLD, memory_BNLD)


def mean_cosine(query_BLD: Tensor, memory_BNMD: Tensor) -> Tensor:
    r"""Cosine of the mean memory vectors, :math:`\cos(\sum_j q_j, \sum_i m_i)`.

    A document is one vector of D numbers under this score, so an index of a large store is small and quick. It does
    not see which token said what: two documents of the same tokens in another order score alike.

    Args:
        query_BLD: the query's vectors; zeros (padding) have no part in the mean.
        memory_BNMD: ``(B, N, M, D)`` memory of each question's candidates, or ``(N, M, D)`` of documents shared by all.
            M may differ from L.

    Returns:
        ``(B, N)`` scores in [-1, 1].

    Example:
        >>> query_BLD = torch.tensor([[[2.0, 0.0], [0.0, 2.0]]])
        >>> mean_cosine(query_BLD, torch.tensor([[[1.0, 0.0]], [[3.0, 3.0]]]))
        tensor([[0.7071, 1.0000]])
    """
    with torch.autocast(query_BLD.device.type, enabled=False):
        query_BD, memory_BND = _unit_mean(query_BLD), _unit_mean(memory_BNMD)
        return torch.einsum(f"bd,{_document_axes(memory_BNMD)}d->bn", query_BD, memory_BND)


def maxsim(query_BLD: Tensor, memory_BNMD: Tensor, weights_BL: Tensor) -> Tensor:
    r"""Weighted late interaction, :math:`\sum_j w_j \max_i \cos(q_j, m_i)` (after ColBERT, arXiv 2004.12832).

    Any memory token of a document may answer a token of the query, which fits anchors better than
    :func:`flat_cosine`. The paper does not have it.

    Args:
        query_BLD: the query's vectors.
        memory_BNMD: ``(B, N, M, D)`` memory of each question's candidates, or ``(N, M, D)`` of documents shared by all.
            M may differ from L.
        weights_BL: importance of the query's vectors, >= 0, of any scale (rarity, or 1 and 0 for padding); a question
            whose weights are all 0 is weighted uniformly.

    Returns:
        ``(B, N)`` scores in [-1, 1].

    Example:
        >>> query_BLD = torch.eye(2).unsqueeze(0)
        >>> memory_NMD = torch.tensor([[[0.0, 5.0], [0.0, 2.0]]])
        >>> maxsim(query_BLD, memory_NMD, torch.tensor([[1.0, 3.0]]))
        tensor([[0.7500]])
    """
    query_BLD, weights_BL = _counted(query_BLD, weights_BL)
    with torch.autocast(query_BLD.device.type, enabled=False):
        query_BLD, memory_BNMD = _unit(query_BLD, dims=(-1,)), _unit(memory_BNMD, dims=(-1,))
        cosines_BNLM = torch.einsum(f"bld,{_document_axes(memory_BNMD)}md->bnlm", query_BLD, memory_BNMD)
        return torch.einsum("bnl,bl->bn", cosines_BNLM.amax(dim=-1), _shares(weights_BL).to(query_BLD.dtype))


def fused(latent_BN: Tensor, lexical_BN: Tensor, mask_BN: Tensor | None = None, *, weight: float) -> Tensor:
    r"""Trained scores and BM25 together, :math:`(1 - w)\, n_{latent} + w\, n_{lexical}`, with gradient.

    n brings a question's scores to [0, 1] over its candidates, as
    :func:`clara_lightning.corpus.fusion.fuse` does over what two searches fetched; all are 1 where they are equal. The
    retriever is then taught what BM25 lacks (as in CLEAR, arXiv 2004.13969).

    Args:
        latent_BN: finite scores.
        lexical_BN: finite scores of the same candidates.
        mask_BN: True where a candidate exists; None means everywhere. The others come out as 0.
        weight: w, in [0, 1].

    Example:
        >>> fused(torch.tensor([[0.2, 0.4, 0.3]]), torch.tensor([[9.0, 0.0, 0.0]]), weight=0.5)
        tensor([[0.5000, 0.5000, 0.2500]])
    """
    mask_BN = torch.ones_like(latent_BN, dtype=torch.bool) if mask_BN is None else mask_BN
    scaled = [_between_0_and_1(scores_BN, mask_BN) for scores_BN in (latent_BN, lexical_BN)]
    return ((1 - weight) * scaled[0] + weight * scaled[1].to(scaled[0])).masked_fill(~mask_BN, 0.0)


def _between_0_and_1(scores_BN: Tensor, mask_BN: Tensor) -> Tensor:
    low_B1 = scores_BN.masked_fill(~mask_BN, torch.inf).amin(dim=-1, keepdim=True)
    range_B1 = scores_BN.masked_fill(~mask_BN, -torch.inf).amax(dim=-1, keepdim=True) - low_B1
    equal_B1 = range_B1 <= 0
    return torch.where(equal_B1, torch.ones_like(scores_BN), (scores_BN - low_B1) / range_B1.masked_fill(equal_B1, 1.0))


def _document_axes(memory: Tensor) -> str:
    """Einsum letters before a memory's last two axes: shared documents are not repeated for each question."""
    return "bn" if memory.dim() == 4 else "n"


def _unit(x: Tensor, *, dims: tuple[int, ...]) -> Tensor:
    """Scale to length 1 over ``dims``, in fp32 or wider; zeros stay zeros."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    length: Tensor = torch.linalg.vector_norm(x, dim=dims, keepdim=True)
    # Dividing by infinity instead of by a small number: the gradient is 0 then, and not 1 / EPS.
    return x / length.masked_fill(length <= EPS, torch.inf)


def _unit_mean(x: Tensor) -> Tensor:
    """The direction of the mean over the last axis but one, in fp32 or wider."""
    return _unit(x.to(torch.promote_types(x.dtype, torch.float32)).mean(dim=-2), dims=(-1,))


def _counted(query_BLD: Tensor, weights_BL: Tensor) -> tuple[Tensor, Tensor]:
    """Query vectors without those that count nothing, as most do where a short question has a long memory.

    All stay where a weight may yet learn to be more than 0, and where all of a question's are 0.
    """
    if weights_BL.requires_grad or not len(weights_BL):
        return query_BLD, weights_BL
    counted_BL = weights_BL > 0
    least, most = counted_BL.sum(dim=1).aminmax()
    if not least or most == counted_BL.shape[1]:
        return query_BLD, weights_BL
    order_BK = counted_BL.to(torch.int8).sort(dim=1, descending=True, stable=True).indices[:, : int(most)]
    return torch.take_along_dim(query_BLD, order_BK.unsqueeze(-1), dim=1), weights_BL.gather(1, order_BK)


def _shares(weights_BL: Tensor) -> Tensor:
    """Divide each question's weights by their sum; all zero becomes uniform."""
    weights_BL = weights_BL.to(torch.promote_types(weights_BL.dtype, torch.float32))
    empty_B1 = weights_BL.sum(dim=-1, keepdim=True) <= 0
    weights_BL = torch.where(empty_B1, torch.ones_like(weights_BL), weights_BL)
    return weights_BL / weights_BL.sum(dim=-1, keepdim=True)
