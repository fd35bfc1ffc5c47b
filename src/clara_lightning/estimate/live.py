"""Counts the bytes that live and the floating point operations while tensors without values go through a step."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

aten = torch.ops.aten


class LiveBytes(TorchDispatchMode):
    """Notes every storage that an operation makes, until it is freed.

    Args:
        known: tensors that are counted elsewhere (weights, gradients).

    Attributes:
        peaks: most bytes that lived at once in each phase.
        flops: floating point operations of each phase, matrix products and attention alone.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = {tensor.untyped_storage()._cdata for tensor in known}
        self._live: dict[int, int] = {}
        self._now = 0
        self.enter("start")
        self.peaks: dict[str, int] = {}
        self.flops: dict[str, int] = {}

    def enter(self, phase: str) -> None:
        """What follows belongs to ``phase``."""
        self.phase = phase

    @property
    def now(self) -> int:
        """Bytes that live."""
        return self._now

    @property
    def peak(self) -> int:
        """Most bytes that lived at once."""
        return max(self.peaks.values(), default=0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, and count."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._note(value)
        self.peaks[self.phase] = max(self.peaks.get(self.phase, 0), self._now)
        if count := _flops(func, args, kwargs, result):
            self.flops[self.phase] = self.flops.get(self.phase, 0) + count
        return result

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._live or key in self._known:  # a view
            return
        self._live[key] = storage.nbytes()
        self._now += storage.nbytes()
        weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self._now -= self._live.pop(key)


def _flops(func: Any, args: Any, kwargs: Any, result: Any) -> int:
    packet = func._overloadpacket
    if packet == aten._scaled_dot_product_flash_attention_for_cpu:  # torch counts the kernels of CUDA alone
        query, key, value = args[:3]
        return int(sdpa_flop_count(query.shape, key.shape, value.shape))
    if packet == aten._scaled_dot_product_flash_attention_for_cpu_backward:
        gradient, query, key, value = args[:4]
        return int(sdpa_backward_flop_count(gradient.shape, query.shape, key.shape, value.shape))
    count = flop_registry.get(packet)
    return int(count(*args, **kwargs, out_val=result)) if count else 0
