"""Sequences one behind the other, without padding: each token of the linear layers is a real one.

Attention alone must know where a sequence begins. transformers hands the keyword arguments of a forward on to the
attention function, and lets that be registered: here it is :func:`packed_attention`. Whether a backbone can be run so
is found out by trying (``Runner.try_out``), and one that cannot reads padded batches as ever.

Shapes: P positions of all sequences, H query heads, G key heads, E head size, T tokens of one sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

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
    """Sequences that stand behind each other, none of them empty, and where their positions are.

    All may begin with the same tokens: then these stand once, in the first sequence, and the others follow on them.

    Args:
        lengths: tokens of each sequence; of all but the first, those behind the shared ones.
        device: of the indices.
        shared: first tokens of the first sequence that the others begin with too.
    """

    lengths: tuple[int, ...]
    device: torch.device
    shared: int = 0

    @cached_property
    def bounds(self) -> list[tuple[int, int]]:
        """First position of each sequence, and the one behind its last."""
        return [(end - length, end) for end, length in zip(accumulate(self.lengths), self.lengths, strict=True)]

    @cached_property
    def whole(self) -> Sequences:
        """The same sequences with the shared tokens written out in each."""
        first, *others = self.lengths
        return Sequences((first, *(length + self.shared for length in others)), self.device)

    @cached_property
    def positions_P(self) -> Tensor:
        """Place of each token in its sequence."""
        first, *others = self.lengths
        places = [torch.arange(first), *(torch.arange(length) + self.shared for length in others)]
        return torch.cat(places).to(self.device)

    @cached_property
    def padded_P(self) -> Tensor:
        """Place of each token in the flattened batch of whole sequences that is padded on the right."""
        width = max(self.whole.lengths)
        starts = torch.cat([torch.full((length,), row * width) for row, length in enumerate(self.lengths)])
        return starts.to(self.device) + self.positions_P

    @cached_property
    def places_NT(self) -> Tensor:
        """Place of each position of the padded batch in its sequence; padding repeats the last one."""
        last_N1 = torch.tensor(self.whole.lengths).unsqueeze(1) - 1
        return torch.arange(max(self.whole.lengths)).minimum(last_N1).to(self.device)

    @cached_property
    def attention_NT(self) -> Tensor:
        """1 where the padded batch holds a token, else 0."""
        ends_N1 = torch.tensor(self.whole.lengths).unsqueeze(1)
        return (torch.arange(max(self.whole.lengths)) < ends_N1).long().to(self.device)

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
        """``(P, ...)`` as the batch ``(N, T, ...)`` of whole sequences with zeros behind the shorter ones."""
        count, width = len(self.lengths), max(self.whole.lengths)
        filled = x_P.new_zeros(count * width, *x_P.shape[1:]).index_copy(0, self.padded_P, x_P)
        filled = filled.view(count, width, *x_P.shape[1:])
        if not self.shared:
            return filled
        written_out = x_P[: self.shared].expand(count, *x_P[: self.shared].shape)
        return torch.cat([written_out, filled[:, self.shared :]], dim=1)


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
    if torch.is_autocast_enabled(query.device.type):  # which would take in products alone, and not what is around them
        dtype = torch.get_autocast_dtype(query.device.type)
        query, key, value = (x.to(dtype) for x in (query, key, value))
    if query.device.type == "cpu" and not dropout:
        return _BlockAttention.apply(query, key, value, sequences, scale), None  # type: ignore[no-untyped-call]
    return _padded_attention(query, key, value, sequences, dropout=dropout, scale=scale), None


def _padded_attention(
    query: Tensor, key: Tensor, value: Tensor, sequences: Sequences, *, dropout: float, scale: float
) -> Tensor:
    """Attention alone is padded, on the right, where causality hides it: without a mask torch has its best kernels."""
    query, key, value = (sequences.pad(x[0].transpose(0, 1)).transpose(1, 2) for x in (query, key, value))
    out_NHTE = F.scaled_dot_product_attention(
        query, key, value, is_causal=True, dropout_p=dropout, scale=scale, enable_gqa=query.shape[1] != key.shape[1]
    )
    return out_NHTE.transpose(1, 2).flatten(0, 1)[sequences.padded_P][None]


AttentionInterface.register(ATTENTION, packed_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


class _BlockAttention(torch.autograd.Function):
    """Causal attention on a CPU, some queries of one sequence at a time; weights are computed again for the gradient.

    The scores of a block fit into a core's cache, and keys behind its last query are left out. torch's own kernel
    needs two to three times as long for the gradient at these lengths. As in transformers' eager attention, scores
    are rounded to the dtype of the queries.
    """

    @staticmethod
    @torch.autocast("cpu", enabled=False)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, sequences: Sequences, scale: float) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.sequences, ctx.scale = sequences, scale
        groups = query.shape[1] // key.shape[1]
        out_PGRE = value.new_empty(query.shape[2], key.shape[1], groups, value.shape[3])
        for block in _blocks(query, key, value, sequences):
            block.put(out_PGRE, block.weights(scale) @ block.value_GTE)
        return out_PGRE.flatten(1, 2)[None]

    @staticmethod
    @torch.autocast("cpu", enabled=False)  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> Any:
        query, key, value = ctx.saved_tensors
        grad_PGRE = _by_key_head(grad, key)
        query_grad_PGRE = query.new_empty(*grad_PGRE.shape[:3], query.shape[3])
        wide = torch.promote_types(key.dtype, torch.float32)
        key_grad_GPE, value_grad_GPE = (x.new_zeros(x.shape[1:], dtype=wide) for x in (key, value))
        for block in _blocks(query, key, value, ctx.sequences):
            weights_GXT = block.weights(ctx.scale)
            grad_GXE = grad_PGRE[block.queries].permute(1, 2, 0, 3).flatten(1, 2)
            weights_grad_GXT = grad_GXE @ block.value_GTE.mT
            scores_grad_GXT = torch.ops.aten._softmax_backward_data(weights_grad_GXT, weights_GXT, -1, query.dtype)
            block.add(value_grad_GPE, weights_GXT.mT @ grad_GXE)
            block.add(key_grad_GPE, scores_grad_GXT.mT @ block.query_GXE)
            block.put(query_grad_PGRE, (scores_grad_GXT @ block.key_GTE).mul_(ctx.scale))
        query_grad = query_grad_PGRE.flatten(1, 2)[None].transpose(1, 2)
        gradients = (key_grad_GPE.mul_(ctx.scale).to(key.dtype)[None], value_grad_GPE.to(value.dtype)[None])
        return query_grad, *gradients, None, None


class _Block(NamedTuple):
    """Some queries of a sequence, X over the heads of one key, with the keys and values that they see.

    Those of the shared positions come first; ``keys`` are the positions of the others.
    """

    queries: slice
    shared: int
    keys: slice
    query_GXE: Tensor
    key_GTE: Tensor
    value_GTE: Tensor
    mask_QT: Tensor

    def weights(self, scale: float) -> Tensor:
        """Attention weights ``(G, X, T)``."""
        scores_GXT = (self.query_GXE @ self.key_GTE.mT).mul_(scale)
        scores_GRQT = scores_GXT.unflatten(1, (-1, len(self.mask_QT)))
        scores_GRQT += self.mask_QT
        return torch.softmax(scores_GXT, -1)

    def put(self, out_PGRE: Tensor, block_GXE: Tensor) -> None:
        """Write what belongs to the queries to their places."""
        out_PGRE[self.queries] = block_GXE.unflatten(1, (-1, len(self.mask_QT))).permute(2, 0, 1, 3)

    def add(self, total_GPE: Tensor, part_GTE: Tensor) -> None:
        """Add what belongs to the keys at their places."""
        total_GPE[:, : self.shared] += part_GTE[:, : self.shared]
        total_GPE[:, self.keys] += part_GTE[:, self.shared :]


def _blocks(query: Tensor, key: Tensor, value: Tensor, sequences: Sequences) -> Iterator[_Block]:
    query_GRPE = query[0].unflatten(0, (key.shape[1], -1))
    for number, (start, end) in enumerate(sequences.bounds):
        shared = sequences.shared if number else 0
        key_GTE, value_GTE = (torch.cat([x[0, :, :shared], x[0, :, start:end]], dim=1) for x in (key, value))
        for first in range(start, end, _QUERIES):
            last = min(first + _QUERIES, end)
            seen = slice(0, shared + last - start)
            yield _Block(
                slice(first, last),
                shared,
                slice(start, last),
                query_GRPE[:, :, first:last].flatten(1, 2),
                key_GTE[:, seen],
                value_GTE[:, seen],
                sequences.causal(last - first, shared + first - start),
            )


def _by_key_head(x_1PHE: Tensor, key: Tensor) -> Tensor:
    """``(P, G, H / G, E)``: the queries of each key head."""
    places, _, size = x_1PHE.shape[1:]
    return x_1PHE[0].reshape(places, key.shape[1], -1, size)
