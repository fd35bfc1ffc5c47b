"""Sequences one behind the other, without padding: each token of the linear layers is a real one.

Attention alone must know where a sequence begins. transformers hands the keyword arguments of a forward on to the
attention function, and lets that be registered: here it is :func:`packed_attention`. Whether a backbone can be run so
is found out by trying (:func:`can_pack`), and one that cannot reads padded batches as ever.

Shapes: P positions of all sequences, H query heads, G key heads, E head size, T tokens of one sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "clara_packed"
_QUERIES = 128  # of a block: its scores stay in the cache
# What attention functions are told beside that, and need not know here. A sliding window is wider than the sequences.
_KNOWN = {"position_ids", "use_cache", "past_key_values", "output_attentions", "cache_position", "sliding_window"}


@dataclass(frozen=True, eq=False)
class Sequences:
    """Lengths of the sequences that stand behind each other, none of them 0, and where their positions are.

    Args:
        lengths: in tokens.
        device: of the indices.
    """

    lengths: tuple[int, ...]
    device: torch.device

    @classmethod
    def of(cls, attention_NT: Tensor, device: torch.device) -> Sequences:
        """The rows of a batch that is padded on the right, with 1 where there is a token."""
        return cls(tuple(attention_NT.sum(1).tolist()), device)

    @cached_property
    def bounds(self) -> list[tuple[int, int]]:
        """First position of each sequence, and the one behind its last."""
        return [(end - length, end) for end, length in zip(accumulate(self.lengths), self.lengths, strict=True)]

    @cached_property
    def positions_P(self) -> Tensor:
        """Place of each token in its sequence."""
        return torch.cat([torch.arange(length) for length in self.lengths]).to(self.device)

    @cached_property
    def padded_P(self) -> Tensor:
        """Place of each token in the flattened batch that is padded on the right."""
        width = max(self.lengths)
        return torch.cat([torch.arange(n) + row * width for row, n in enumerate(self.lengths)]).to(self.device)

    @cached_property
    def places_NT(self) -> Tensor:
        """Place of each position of the padded batch in its sequence; padding repeats the last one."""
        last_N1 = torch.tensor(self.lengths).unsqueeze(1) - 1
        return torch.arange(max(self.lengths)).minimum(last_N1).to(self.device)

    @cached_property
    def attention_NT(self) -> Tensor:
        """1 where the padded batch holds a token, else 0."""
        ends_N1 = torch.tensor(self.lengths).unsqueeze(1)
        return (torch.arange(max(self.lengths)) < ends_N1).long().to(self.device)

    @cached_property
    def _masks(self) -> dict[tuple[int, int], Tensor]:
        return {}

    def causal(self, queries: int, before: int) -> Tensor:
        """``(Q, T)``: minus infinity at keys behind the query; ``before`` keys stand in front of the first query's."""
        if (queries, before) not in self._masks:
            mask_QT = torch.full((queries, before + queries), -torch.inf, device=self.device).triu(before + 1)
            self._masks[queries, before] = mask_QT
        return self._masks[queries, before]

    def pad(self, x_P: Tensor) -> Tensor:
        """``(P, ...)`` as the batch ``(N, T, ...)`` with zeros behind the shorter sequences."""
        shape = (len(self.lengths) * max(self.lengths), *x_P.shape[1:])
        filled = x_P.new_zeros(shape).index_copy(0, self.padded_P, x_P)
        return filled.view(len(self.lengths), -1, *x_P.shape[1:])


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sequences: Sequences | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each of ``sequences``; without them, transformers' own for padded batches.

    Args:
        module: the attention layer.
        query: ``(1, H, P, E)``.
        key: ``(1, G, P, E)``.
        value: the same.
        attention_mask: not looked at where there are sequences.
        dropout: on the weights.
        scaling: of the scores.
        sequences: which positions belong together.
        kwargs: what other functions take; one that changes the result is refused.

    Returns:
        ``(1, P, H, E)``, and no weights.

    Raises:
        NotImplementedError: the layer wants more than causal attention.
    """
    if sequences is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    unknown = [name for name, value in kwargs.items() if value is not None and name not in _KNOWN]
    if unknown or not getattr(module, "is_causal", True):
        raise NotImplementedError(f"packed attention with {unknown or 'what is not causal'}")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if query.device.type == "cpu" and not dropout:
        return _BlockAttention.apply(query, key, value, sequences, scale), None  # type: ignore[no-untyped-call]
    query, key, value = (sequences.pad(x[0].transpose(0, 1)).transpose(1, 2) for x in (query, key, value))
    out_NHTE = F.scaled_dot_product_attention(
        query, key, value, is_causal=True, dropout_p=dropout, scale=scale, enable_gqa=query.shape[1] != key.shape[1]
    )
    return out_NHTE.transpose(1, 2).flatten(0, 1)[sequences.padded_P][None], None


AttentionInterface.register(ATTENTION, packed_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


class _BlockAttention(torch.autograd.Function):
    """Causal attention on a CPU, some queries of one sequence at a time; weights are computed again for the gradient.

    The scores of a block fit into a core's cache, and keys behind its last query are left out. torch's own kernel
    needs two to four times as long for the gradient at these lengths.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, sequences: Sequences, scale: float) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.sequences, ctx.scale = sequences, scale
        groups = query.shape[1] // key.shape[1]
        out_PGRE = value.new_empty(query.shape[2], key.shape[1], groups, value.shape[3])
        for place, start, query_GXE, key_GTE, value_GTE in _blocks(query, key, value, sequences):
            weights_GXT = _weights(query_GXE, key_GTE, _mask(sequences, place, start), scale)
            _put(out_PGRE, place, weights_GXT.to(query.dtype) @ value_GTE)
        return out_PGRE.flatten(1, 2)[None]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        query, key, value = ctx.saved_tensors
        grad_PGRE = _by_key_head(grad, key)
        query_grad_PGRE = torch.empty_like(grad_PGRE)
        wide = torch.promote_types(key.dtype, torch.float32)
        key_grad_GPE, value_grad_GPE = (x.new_zeros(x.shape[1:], dtype=wide) for x in (key, value))
        for place, start, query_GXE, key_GTE, value_GTE in _blocks(query, key, value, ctx.sequences):
            weights_GXT = _weights(query_GXE, key_GTE, _mask(ctx.sequences, place, start), ctx.scale)
            grad_GXE = grad_PGRE[place].permute(1, 2, 0, 3).flatten(1, 2)
            weights_grad_GXT = (grad_GXE @ value_GTE.mT).to(weights_GXT.dtype)
            inner_GX1 = (weights_grad_GXT * weights_GXT).sum(-1, keepdim=True)
            scores_grad_GXT = weights_grad_GXT.sub_(inner_GX1).mul_(weights_GXT).mul_(ctx.scale).to(query.dtype)
            value_grad_GPE[:, start : place.stop] += weights_GXT.to(query.dtype).mT @ grad_GXE
            key_grad_GPE[:, start : place.stop] += scores_grad_GXT.mT @ query_GXE
            _put(query_grad_PGRE, place, scores_grad_GXT @ key_GTE)
        gradients = (key_grad_GPE.to(key.dtype)[None], value_grad_GPE.to(value.dtype)[None])
        return query_grad_PGRE.flatten(1, 2)[None].transpose(1, 2), *gradients, None, None


def _by_key_head(x_1PHE: Tensor, key: Tensor) -> Tensor:
    """``(P, G, H / G, E)``: the queries of each key head."""
    places, _, size = x_1PHE.shape[1:]
    return x_1PHE[0].reshape(places, key.shape[1], -1, size)


def _blocks(
    query: Tensor, key: Tensor, value: Tensor, sequences: Sequences
) -> Iterator[tuple[slice, int, Tensor, Tensor, Tensor]]:
    """Places of the queries, where their sequence starts, the queries ``(G, X, E)``, and the keys and values so far."""
    query_GRPE = query[0].unflatten(0, (key.shape[1], -1))
    for start, end in sequences.bounds:
        for first in range(start, end, _QUERIES):
            last = min(first + _QUERIES, end)
            query_GXE = query_GRPE[:, :, first:last].flatten(1, 2)
            key_GTE, value_GTE = (x[0, :, start:last].contiguous() for x in (key, value))
            yield slice(first, last), start, query_GXE, key_GTE, value_GTE


def _mask(sequences: Sequences, place: slice, start: int) -> Tensor:
    return sequences.causal(place.stop - place.start, place.start - start)


def _weights(query_GXE: Tensor, key_GTE: Tensor, mask_QT: Tensor, scale: float) -> Tensor:
    """Attention weights ``(G, X, T)``, in float32 at least."""
    scores_GXT = query_GXE @ key_GTE.mT
    scores_GXT = scores_GXT.to(torch.promote_types(scores_GXT.dtype, torch.float32)).mul_(scale)
    scores_GRQT = scores_GXT.unflatten(1, (-1, len(mask_QT)))
    scores_GRQT += mask_QT
    return torch.softmax(scores_GXT, -1)


def _put(out_PGRE: Tensor, place: slice, block_GXE: Tensor) -> None:
    """Write a block back to its places."""
    queries = place.stop - place.start
    out_PGRE[place] = block_GXE.unflatten(1, (-1, queries)).permute(2, 0, 1, 3)
