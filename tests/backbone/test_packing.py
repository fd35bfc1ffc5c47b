"""Packed attention is attention within each sequence, by an independent definition and by finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from clara_lightning.backbone import packing
from clara_lightning.backbone.packing import Sequences, packed_attention

CPU = torch.device("cpu")
CASES = [
    Sequences((5,), CPU),
    Sequences((1, 7, 3), CPU),
    Sequences((6, 2, 1), CPU, shared=4),
    Sequences((9, 9), CPU, shared=1),
]


class Layer(nn.Module):
    is_causal = True


def draw(sequences: Sequences, *, keys: int = 2, size: int = 4, value_size: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Queries of four heads, keys and values."""
    generator = torch.Generator().manual_seed(0)
    total = sum(sequences.lengths)
    shapes = ((4, size), (keys, size), (keys, value_size))
    return tuple(  # type: ignore[return-value]
        torch.randn(1, heads, total, width, generator=generator, dtype=torch.float64, requires_grad=True)
        for heads, width in shapes
    )


def by_definition(query: Tensor, key: Tensor, value: Tensor, sequences: Sequences) -> Tensor:
    """Token by token: each looks at the shared ones, and at those of its own sequence up to itself."""
    repeat = query.shape[1] // key.shape[1]
    out = torch.zeros(1, query.shape[2], query.shape[1], value.shape[3], dtype=query.dtype)
    start = 0
    for number, length in enumerate(sequences.lengths):
        for place in range(start, start + length):
            seen = [*range(sequences.shared if number else 0), *range(start, place + 1)]
            for head in range(query.shape[1]):
                scores = key[0, head // repeat, seen] @ query[0, head, place] / math.sqrt(query.shape[3])
                out[0, place, head] = scores.softmax(0) @ value[0, head // repeat, seen]
        start += length
    return out


@pytest.mark.parametrize("sequences", CASES)
@pytest.mark.parametrize("keys", [1, 2, 4])
@pytest.mark.parametrize("queries_at_once", [2, 128])
@torch.no_grad()
def test_each_token_sees_its_own_sequence(
    sequences: Sequences, keys: int, queries_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_QUERIES", queries_at_once)
    tensors = draw(sequences, keys=keys, value_size=6)
    found, _ = packed_attention(Layer(), *tensors, None, sequences=sequences)
    torch.testing.assert_close(found, by_definition(*tensors, sequences))


@pytest.mark.parametrize("sequences", CASES)
@pytest.mark.parametrize("queries_at_once", [2, 128])
def test_gradients_are_those_of_finite_differences(
    sequences: Sequences, queries_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_QUERIES", queries_at_once)
    tensors = draw(sequences)
    assert torch.autograd.gradcheck(lambda *x: packed_attention(Layer(), *x, None, sequences=sequences)[0], tensors)


@pytest.mark.parametrize("sequences", CASES)
def test_both_routes_are_equal(sequences: Sequences) -> None:
    """What a CPU does, and what every other device does."""
    results = []
    for route in (
        lambda *x: packed_attention(Layer(), *x, None, sequences=sequences)[0],
        lambda *x: packing._padded_attention(*x, sequences, dropout=0.0, scale=0.5),
    ):
        tensors = draw(sequences)
        output = route(*tensors)
        (output * torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)).sum().backward()
        results.append([output.detach(), *(tensor.grad for tensor in tensors)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_what_changes_the_result_is_refused() -> None:
    sequences = CASES[1]
    with pytest.raises(NotImplementedError, match="softcap"):
        packed_attention(Layer(), *draw(sequences), None, sequences=sequences, softcap=30.0)


def test_sequences_are_padded_and_found_again() -> None:
    sequences = Sequences((4, 1, 2), CPU, shared=2)
    x_P = torch.arange(7)
    assert sequences.pad(x_P).tolist() == [[0, 1, 2, 3], [0, 1, 4, 0], [0, 1, 5, 6]]
    assert torch.equal(sequences.pad(x_P).flatten()[sequences.padded_P], x_P)
    assert sequences.positions_P.tolist() == [0, 1, 2, 3, 2, 2, 3]
    assert sequences.attention_NT.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert sequences.whole.lengths == (4, 3, 4)
