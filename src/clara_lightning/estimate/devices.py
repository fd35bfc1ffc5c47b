"""Machines: memory and peak speed of known cards, and of the machine this runs on."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from clara_lightning.errors import ClaraError

GB = 10**9
CUDA_CONTEXT_BYTES = int(0.8 * GB)  # assumed: CUDA's context, cuBLAS and its workspaces, rounding of the allocator
NCCL_BYTES = int(0.3 * GB)  # assumed: buffers of a process group


class Card(NamedTuple):
    """A GPU by its data sheet: memory in GB, dense bfloat16 tensor-core operations a second, the sheet."""

    memory_gb: int
    flops: float
    source: str


# Dense figures: NVIDIA's sheets lead with twice as much, for matrices of which every second value is zero.
CARDS = {
    "h200": Card(141, 989e12, "NVIDIA H200 datasheet, SXM"),
    "h100": Card(80, 989e12, "NVIDIA H100 datasheet, SXM"),
    "a100": Card(80, 312e12, "NVIDIA A100 datasheet"),
    "l40s": Card(48, 362e12, "NVIDIA L40S datasheet"),
    "a10g": Card(24, 70e12, "AWS G5: 70 TFLOPS of tensor cores, float16"),
    "rtx4090": Card(24, 165e12, "NVIDIA Ada whitepaper, with float32 accumulation"),
    "t4": Card(16, 65e12, "NVIDIA T4 datasheet, float16; bfloat16 is emulated"),
}


@dataclass(frozen=True)
class Devices:
    """Some devices of one kind.

    Attributes:
        name: as on the command line, or the card's own.
        kind: what it computes with.
        memory_bytes: of each.
        count: how many; 0 leaves it to the configuration.
        flops: peak operations a second of each; None where unknown.
        source: where these figures are from.
    """

    name: str
    kind: Literal["cuda", "cpu"]
    memory_bytes: int
    count: int
    flops: float | None
    source: str

    def with_count(self, count: int) -> Devices:
        """The same, so many."""
        return replace(self, count=count)


def parse_devices(spec: str) -> Devices:
    """``NAME[:MEMORYgb][:COUNT]``, as in ``h100:80gb:8``; ``cpu`` is this machine's.

    Raises:
        ClaraError: the name is unknown, or a part is neither memory nor a number.
    """
    name, *rest = spec.lower().split(":")
    if name != "cpu" and name not in CARDS:
        raise ClaraError(f"--device: {name!r} is unknown: it is one of {', '.join([*CARDS, 'cpu'])}, or left out")
    memory, count = None, 0
    for part in rest:
        if found := re.fullmatch(r"(\d+(?:\.\d+)?)gb", part):
            memory = int(float(found[1]) * GB)
        elif part.isdigit() and int(part) > 0:
            count = int(part)
        else:
            raise ClaraError(f"--device: {part!r} in {spec!r} is neither memory (80gb) nor a number of devices (8)")
    if name == "cpu":
        return replace(_cpu(), count=count, memory_bytes=memory or _cpu().memory_bytes)
    card = CARDS[name]
    return Devices(name, "cuda", memory or card.memory_gb * GB, count, card.flops, card.source)


def devices_here(*, accelerator: str = "auto") -> Devices:
    """The cards that torch sees, or the CPU."""
    if accelerator == "cpu" or not torch.cuda.is_available():
        return _cpu()
    properties = torch.cuda.get_device_properties(0)
    words = properties.name.lower().replace(" ", "")
    card = next((card for name, card in CARDS.items() if name in words), None)
    source = card.source if card else "torch; its speed is not in our table"
    return Devices(
        properties.name,
        "cuda",
        properties.total_memory,
        torch.cuda.device_count(),
        card.flops if card else None,
        source,
    )


def _cpu() -> Devices:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Devices("cpu", "cpu", memory, 1, None, f"this machine, {torch.get_num_threads()} threads")


def measure_flops(dtype: torch.dtype, *, seconds: float = 0.5, size: int = 1024) -> float:
    """Operations a second of square matrix products on this CPU: what its peak is taken to be."""
    left, right = (torch.rand(size, size).to(dtype) for _ in range(2))
    left @ right
    started, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - started) < seconds:
        left @ right
        count += 1
    return 2 * size**3 * count / spent


def resident_bytes() -> int:
    """Main memory that this process holds: on the CPU, what Python and the libraries take before any weight."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # no Linux
        return int(0.7 * GB)
    return pages * os.sysconf("SC_PAGE_SIZE")
