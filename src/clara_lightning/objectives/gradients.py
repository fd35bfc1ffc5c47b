"""Ways by which the answer's loss reaches a retriever's scores, as functions.

The reader takes whole documents, so its loss has no gradient in the scores that chose them. Two ways round it:

- **rows**: what stands behind the hard choice when gradients flow back (:func:`reinmax_rows`, and
  :func:`~clara_lightning.objectives.topk.slot_probabilities` for straight-through).
- **losses of documents read alone**: the reader reads some documents one by one, without gradient, and what their
  answers cost says where the scores should go (:func:`leave_one_out`, :func:`distillation`).

Shapes: B questions, N candidates, K slots, M documents that are read alone.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

MOST_SAMPLES = 8  # of leave_one_out, whose work doubles with each
HEAVIEST = 10.0


def reinmax_rows(probabilities_BKN: Tensor, logits_BN: Tensor, hard_BKN: Tensor) -> Tensor:
    r"""Rows whose gradient is ReinMax's: that of the soft choice to second order (Liu et al. 2023, arXiv 2304.08612).

    With the soft choice p of a slot and the document D that was drawn from it,

    .. math:: 2\,\pi_1 - \tfrac12 p, \quad \pi_1 = \mathrm{softmax}(\mathrm{sg}(\ln \tfrac{D + p}{2} - \theta) + \theta)

    In the mean over draws it is exact where the loss is quadratic in what is read, straight-through where it is linear.

    Args:
        probabilities_BKN: each slot's soft choice among the documents that earlier slots left.
        logits_BN: scores over the temperature, of which that is the softmax.
        hard_BKN: one-hot rows of what was drawn.

    Returns:
        ``(B, K, N)``; rows sum to 1.5, only their gradient is of use.
    """
    logits_B1N = logits_BN.unsqueeze(1)
    middle_BKN = ((hard_BKN + probabilities_BKN) / 2).detach().log()
    finite_B1N = logits_B1N.masked_fill(logits_B1N.isinf(), 0.0)
    moved_BKN = (middle_BKN - finite_B1N.detach() + finite_B1N).softmax(dim=-1)
    return 2 * moved_BKN - probabilities_BKN / 2


def distillation(logits_BM: Tensor, losses_BM: Tensor, mask_BM: Tensor | None = None, *, temperature: float) -> Tensor:
    r"""KL from what the reader finds of use to what the retriever would take (PDist: Atlas, arXiv 2208.03299, 2.2).

    .. math:: \mathrm{KL}(q \,\|\, p), \quad q = \mathrm{softmax}(-\ell / T), \quad p = \mathrm{softmax}(s / \tau)

    over the documents that were read alone. Its gradient in the logits is p - q: 0 where they agree.

    Args:
        logits_BM: s over tau, of documents that were read alone.
        losses_BM: l, what the answer costs from each of them, in nats a token; no gradient flows into it.
        mask_BM: True where there is a document; None means everywhere.
        temperature: T.

    Returns:
        ``(B,)`` nats.

    Example:
        >>> distillation(torch.zeros(1, 2), torch.tensor([[0.5, 0.5]]), temperature=1.0)
        tensor([0.])
    """
    wanted_BM = -losses_BM.detach() / temperature
    if mask_BM is not None:
        logits_BM, wanted_BM = (each.masked_fill(~mask_BM, -torch.inf) for each in (logits_BM, wanted_BM))
    shares_BM = wanted_BM.softmax(dim=-1)
    own_BM = logits_BM.log_softmax(dim=-1)
    own_BM = own_BM.masked_fill(shares_BM == 0, 0.0)  # 0 times minus infinity is nan
    distance_B: Tensor = (torch.special.xlogy(shares_BM, shares_BM) - shares_BM * own_BM).sum(dim=-1)
    return distance_B


def leave_one_out(log_shares_BK: Tensor, outside_B: Tensor, losses_BK: Tensor) -> Tensor:
    r"""REINFORCE over documents drawn without replacement, each with the others as its baseline.

    The unordered set estimator with built-in control variate of Kool et al. 2020 (arXiv 2002.06043).
    Its gradient is, in the mean over draws, that of the expected loss of one document drawn by the scores,
    :math:`\nabla \sum_d p_d \ell_d`, exactly.

    Args:
        log_shares_BK: log p of the K distinct documents that were drawn, K from 2 to 8.
        outside_B: log of the mass of all others; minus infinity where there are none.
        losses_BK: what the answer costs from each alone; no gradient flows into it.

    Returns:
        ``(B,)``; only its gradient is of use.
    """
    shares_BK, rest_B = log_shares_BK.detach().double(), outside_B.detach().double()
    num = log_shares_BK.shape[1]
    everything = (1 << num) - 1
    single = [1 << number for number in range(num)]

    @cache
    def left(gone: int) -> Tensor:
        """Log of the mass that is there without these documents."""
        here = [shares_BK[:, number] for number in range(num) if not gone & single[number]]
        return torch.stack([*here, rest_B]).logsumexp(dim=0)

    @cache
    def drawn(some: int, gone: int) -> Tensor:
        """Log probability that the first draws are these in any order, where others are gone."""
        if not some:
            return torch.zeros_like(rest_B)
        ways = [
            drawn(some & ~single[number], gone) + shares_BK[:, number] - left(gone | (some & ~single[number]))
            for number in range(num)
            if some & single[number]
        ]
        return torch.stack(ways).logsumexp(dim=0)

    losses = losses_BK.detach().double()
    total_B = torch.zeros_like(rest_B)
    for one in range(num):
        others = everything & ~single[one]
        ratio_B = drawn(others, single[one]) - drawn(everything, 0)
        baseline_B = torch.zeros_like(rest_B)
        for two in range(num):
            second_B = (
                drawn(others & ~single[two], single[one] | single[two]) - drawn(others, single[one])
                if two != one
                else torch.zeros_like(rest_B)
            )
            baseline_B = baseline_B + (shares_BK[:, two] + second_B).exp() * losses[:, two]
        # p grad(log p) is grad(p): the ratio may be huge where p is tiny, their product is not.
        weight_B = (shares_BK[:, one] + ratio_B).exp() * (losses[:, one] - baseline_B)
        total_B = total_B + weight_B * log_shares_BK[:, one]
    return total_B.to(log_shares_BK.dtype)


def success_weights(losses_B: Tensor, losses_without_B: Tensor, *, temperature: float) -> Tensor:
    r"""How much each question teaches the scores: :math:`e^{-(\ell - \ell_\text{none}) / T}`, at most 10.

    Where the documents do not help the reader, the gradient of a selection says to attend less to what is there; such
    questions count little.

    Args:
        losses_B: of the answers from the documents taken, nats a token.
        losses_without_B: without any document.
        temperature: T.
    """
    return (-(losses_B - losses_without_B).detach() / temperature).exp().clamp_max(HEAVIEST)
