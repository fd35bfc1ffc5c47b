"""Losses and what they say about a memory.

Shapes: B documents or questions, N documents that a question is scored with, D hidden size, X tokens, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from clara_lightning.errors import ClaraError


def compression_mse(document_mean_BD: Tensor, memory_mean_BD: Tensor) -> Tensor:
    r"""Mean over B of the distance :math:`\lVert \bar h_{doc} - \bar h_{mem} \rVert^2 / D` of document and memory.

    Paper arXiv 2511.18659, loss of stage 1, where it has weight 0.1. Divided by the hidden size, as the usual MSE is,
    so that the weight means the same for every backbone. Both sides get gradient.

    Args:
        document_mean_BD: mean last hidden state over a document's tokens (without padding).
        memory_mean_BD: mean over its memory tokens, from the same forward pass.

    Returns:
        A scalar in fp32 or wider.

    Example:
        >>> compression_mse(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]]))
        tensor(2.)
    """
    dtype = torch.promote_types(torch.promote_types(document_mean_BD.dtype, memory_mean_BD.dtype), torch.float32)
    return functional.mse_loss(memory_mean_BD.to(dtype), document_mean_BD.to(dtype))


def information_retained(*, ce_none: float, ce_memory: float, ce_text: float) -> float:
    r"""Share of a document's use for answering that its memory keeps.

    .. math:: \frac{CE_{none} - CE_{memory}}{CE_{none} - CE_{text}}

    0 is a memory that helps as little as none, 1 one that helps as much as the text; below 0 it harms, above 1 it is
    better than the text. Ours, not the paper's: it moves long before exact match does.

    Args:
        ce_none: mean cross-entropy of the held-out answers without the document, in nats.
        ce_memory: with the document's memory.
        ce_text: with the document's text.

    Returns:
        The share; ``nan`` where there is none, because the text itself does not help (``ce_none <= ce_text``) or a
        value is not finite. A logged curve then has a gap instead of a wild number.

    Example:
        >>> information_retained(ce_none=2.5, ce_memory=2.0, ce_text=0.5)
        0.25
        >>> information_retained(ce_none=1.0, ce_memory=0.9, ce_text=1.0)
        nan
    """
    gain = ce_none - ce_text
    if not (math.isfinite(gain) and math.isfinite(ce_memory) and gain > 0):
        return math.nan
    return (ce_none - ce_memory) / gain


def info_nce(
    scores_BN: Tensor, gold_BN: Tensor, mask_BN: Tensor | None = None, *, temperature: float | Tensor
) -> Tensor:
    r"""Contrastive loss of each question: its gold documents against the others, one gold document at a time.

    With scores s, gold documents G and all others O of a question,

    .. math:: \frac{1}{|G|} \sum_{g \in G} -\log \frac{e^{s_g / \tau}}{e^{s_g / \tau} + \sum_{o \in O} e^{s_o / \tau}}

    InfoNCE (van den Oord et al. 2018, arXiv 1807.03748, equation 4), with the other questions' documents among O as in
    DPR (arXiv 2004.04906, section 3.2). No gold document competes with another.

    Args:
        scores_BN: finite scores; half precision is raised to fp32.
        gold_BN: True for gold documents, at least one for each question.
        mask_BN: True where there is a document; None means everywhere.
        temperature: tau.

    Returns:
        ``(B,)`` in fp32 or wider; 0 for a question that has gold documents alone.

    Raises:
        ClaraError: a question has no gold document, or a gold document is masked.

    Example:
        >>> info_nce(torch.tensor([[0.5, 0.5, 0.1]]), torch.tensor([[True, False, False]]), temperature=0.02)
        tensor([0.6931])
    """
    mask_BN = torch.ones_like(gold_BN) if mask_BN is None else mask_BN
    if not gold_BN.any(dim=-1).all() or (gold_BN & ~mask_BN).any():
        raise ClaraError("gold_BN must hold a gold document for each question, and mask_BN must not hide one")
    logits_BN = scores_BN.to(torch.promote_types(scores_BN.dtype, torch.float32)) / temperature
    # The least finite number and not minus infinity, whose gradient is nan where a question has no other document.
    least = torch.finfo(logits_BN.dtype).min
    others_B1 = logits_BN.masked_fill(gold_BN | ~mask_BN, least).logsumexp(dim=-1, keepdim=True)
    losses_BN = functional.softplus(others_B1 - logits_BN)
    return losses_BN.masked_fill(~gold_BN, 0.0).sum(dim=-1) / gold_BN.sum(dim=-1)


def head_cross_entropy(hidden_XD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, ids_X: Tensor) -> Tensor:
    """Negative log-likelihood of each token under a frozen output layer; only a part of the logits lives at a time.

    As ``cross_entropy(linear(hidden, weight, bias).float(), ids, reduction="none")``. The gradient of the hidden
    states is made in the forward pass, while the logits of a part are there; it is kept, ``(X, D)``, instead of them.

    Args:
        hidden_XD: last hidden states.
        weight_VD: of the output layer, which gets no gradient.
        bias_V: the same.
        ids_X: the tokens.

    Returns:
        ``(X,)`` nats, in fp32 or wider.

    Raises:
        ValueError: the output layer is to be trained.
    """
    _refuse_trained(weight_VD, bias_V)
    losses_X: Tensor = _HeadCrossEntropy.apply(hidden_XD, weight_VD, bias_V, ids_X)  # type: ignore[no-untyped-call]
    return losses_X


def head_distance(hidden_XD: Tensor, teacher_XD: Tensor, weight_VD: Tensor, bias_V: Tensor | None) -> Tensor:
    """``KL(teacher || own)`` of the next token's distributions under one frozen output layer.

    As ``kl_div`` of the whole logits; only a part of them lives at a time, as in :func:`head_cross_entropy`.

    Args:
        hidden_XD: last hidden states.
        teacher_XD: those of the teacher, which get no gradient.
        weight_VD: of the output layer, which gets no gradient.
        bias_V: the same.

    Returns:
        ``(X,)`` nats, in fp32 or wider.

    Raises:
        ValueError: the output layer is to be trained.
    """
    _refuse_trained(weight_VD, bias_V)
    distance_X: Tensor = _HeadDistance.apply(hidden_XD, teacher_XD, weight_VD, bias_V)  # type: ignore[no-untyped-call]
    return distance_X


_PART = 256  # rows of logits at once: 50 MB in fp32 at 49,152 tokens


def _refuse_trained(weight_VD: Tensor, bias_V: Tensor | None) -> None:
    if weight_VD.requires_grad or (bias_V is not None and bias_V.requires_grad):
        raise ValueError("the loss of a part of the logits at a time is for a frozen output layer")


class _OfHiddenStates(torch.autograd.Function):
    """A value for each hidden state, the first input, whose gradient the forward pass made and kept."""

    @staticmethod
    def backward(ctx: Any, grad_X: Tensor) -> Any:
        (grad_XD,) = ctx.saved_tensors
        grad = (grad_XD * grad_X.unsqueeze(-1)).to(grad_XD.dtype)
        return grad, *(None for _ in ctx.needs_input_grad[1:])


class _HeadCrossEntropy(_OfHiddenStates):
    @staticmethod
    def forward(ctx: Any, hidden_XD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, ids_X: Tensor) -> Tensor:
        wide = torch.promote_types(hidden_XD.dtype, torch.float32)
        losses_X = hidden_XD.new_empty(ids_X.shape, dtype=wide)
        wants_grad = ctx.needs_input_grad[0]
        grad_XD = torch.empty_like(hidden_XD) if wants_grad else None
        for start in range(0, len(ids_X), _PART):
            part = slice(start, start + _PART)
            logits_YV = functional.linear(hidden_XD[part], weight_VD, bias_V)
            log_share_YV = functional.log_softmax(logits_YV, dim=-1, dtype=wide)
            losses_X[part] = functional.nll_loss(log_share_YV, ids_X[part], reduction="none")
            if grad_XD is not None:
                share_YV = log_share_YV.exp_()
                share_YV[torch.arange(len(share_YV), device=ids_X.device), ids_X[part]] -= 1.0
                grad_XD[part] = share_YV.to(weight_VD.dtype) @ weight_VD
        ctx.save_for_backward(grad_XD)
        return losses_X


class _HeadDistance(_OfHiddenStates):
    @staticmethod
    def forward(ctx: Any, hidden_XD: Tensor, teacher_XD: Tensor, weight_VD: Tensor, bias_V: Tensor | None) -> Tensor:
        wide = torch.promote_types(hidden_XD.dtype, torch.float32)
        distance_X = hidden_XD.new_empty(len(hidden_XD), dtype=wide)
        grad_XD = torch.empty_like(hidden_XD) if ctx.needs_input_grad[0] else None
        for start in range(0, len(hidden_XD), _PART):
            part = slice(start, start + _PART)
            own_YV, wanted_YV = (
                functional.log_softmax(functional.linear(states_XD[part], weight_VD, bias_V), dim=-1, dtype=wide)
                for states_XD in (hidden_XD, teacher_XD)
            )
            distance_X[part] = functional.kl_div(own_YV, wanted_YV, log_target=True, reduction="none").sum(-1)
            if grad_XD is not None:
                grad_XD[part] = (own_YV.exp_() - wanted_YV.exp_()).to(weight_VD.dtype) @ weight_VD
        ctx.save_for_backward(grad_XD)
        return distance_X
