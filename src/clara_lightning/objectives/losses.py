"""Losses and what they say about a memory.

Shapes: B documents, D hidden size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


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
