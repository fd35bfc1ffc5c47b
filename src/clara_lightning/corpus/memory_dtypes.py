"""How memory is kept on disk: in two bytes a value, or in one byte and a scale for each memory token.

Shapes: N rows of a shard, n rows asked for, L memory tokens, D hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from clara_lightning.errors import ClaraError

MemoryDtype = Literal["bfloat16", "float16", "int8", "float8"]

MEMORY = "memory"
SCALE = "scale"
TORCH_DTYPES: dict[MemoryDtype, torch.dtype] = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.int8,
    "float8": torch.float8_e4m3fn,
}
# The code of a token's largest value. At 448, the largest of float8, the values just above it still round down to it.
LARGEST_CODE: dict[MemoryDtype, float] = {"int8": 127.0, "float8": 448.0}
# A normal number, so that dividing by it is safe, also for a token of zeros and where denormals count as zero.
SMALLEST_SCALE = torch.finfo(torch.float32).tiny
# 1 MB in float32 stays in the cache: several times as fast as a shard at once, and copies in float32 stay small.
VALUES_AT_ONCE = 2**18


@torch.no_grad()
def pack(memory_NLD: Tensor, dtype: MemoryDtype, *, setting: str = "encoder.dtype") -> dict[str, Tensor]:
    r"""The tensors of a shard's file.

    ``int8`` and ``float8`` (e4m3) keep codes :math:`c = \mathrm{round}(x / s)` to nearest, ties to even, with one scale
    :math:`s = \max |x| / c_{max}` for each memory token. A scale that cuts off the largest values to make the steps
    finer was tried: it makes the squared error of a memory smaller by less than a hundredth. ``float16`` keeps more
    than ``bfloat16`` only where the memory comes in float32, as that of an encoding does.

    The largest error of a value x is 2^-8 :math:`|x|` for ``bfloat16``, 2^-11 :math:`|x|` or 2^-25 for ``float16``,
    s / 2 for ``int8``, and 2^-4 :math:`|x|` or s / 1024 for ``float8``, before what :func:`unpack` rounds. Of the last
    two ``int8`` is closer, up to tokens whose largest value is about eleven times their root mean square.

    Args:
        memory_NLD: memory of a shard's documents, of any float dtype, on any device. A row's bytes depend on that row
            alone.
        dtype: how to keep it.
        setting: what the user set ``dtype`` by, for the message.

    Returns:
        ``memory`` ``(N, L, D)``, and for ``int8`` and ``float8`` ``scale`` ``(N, L)`` in float32; contiguous.

    Raises:
        ClaraError: there is no such dtype, a value is not finite, or it is too large for the dtype.

    Example:
        >>> packed = pack(torch.tensor([[[0.5, -1.27, 0.0]]]), "int8")
        >>> packed["memory"].tolist(), unpack(packed, slice(None)).tolist()
        ([[[50, -127, 0]]], [[[0.5, -1.2734375, 0.0]]])
    """
    if dtype not in get_args(MemoryDtype):
        raise ClaraError(f"{setting} must be one of {', '.join(get_args(MemoryDtype))}, got {dtype!r}")
    _check_values(memory_NLD, dtype, setting)
    if dtype not in LARGEST_CODE:
        return {MEMORY: memory_NLD.to(TORCH_DTYPES[dtype]).contiguous()}
    codes_NLD = torch.empty(memory_NLD.shape, dtype=TORCH_DTYPES[dtype], device=memory_NLD.device)
    scale_NL = torch.empty(memory_NLD.shape[:2], dtype=torch.float32, device=memory_NLD.device)
    for part in _parts(memory_NLD.shape):
        values = memory_NLD[part].float()
        scale_NL[part] = (values.abs().amax(dim=-1) / LARGEST_CODE[dtype]).clamp_min(SMALLEST_SCALE)
        scaled = values / scale_NL[part].unsqueeze(-1)
        # A cast to float8 rounds by itself, one to int8 cuts off.
        codes_NLD[part] = scaled.round_() if dtype == "int8" else scaled
    return {MEMORY: codes_NLD, SCALE: scale_NL}


@torch.no_grad()
def unpack(stored: Mapping[str, Tensor], rows: Tensor | slice) -> Tensor:
    """Memory of some rows; of a mapped file only these rows are read.

    Args:
        stored: the tensors of a shard's file, as :func:`pack` made them.
        rows: row numbers ``(n,)``, in any order and as often as they are named, or a range.

    Returns:
        ``(n, L, D)``, in float32 for ``float16`` (bfloat16 would lose what it keeps more), else in bfloat16. A range of
        ``bfloat16`` is the stored tensor itself, not a copy.

    Raises:
        ClaraError: these are not tensors that :func:`pack` makes.
    """
    if dtype_of(stored) not in LARGEST_CODE:
        found_NLD = _take(stored[MEMORY], rows)
        return found_NLD.float() if found_NLD.dtype == torch.float16 else found_NLD
    codes_NLD, scale_NL = stored[MEMORY], stored[SCALE]
    if isinstance(rows, slice):
        codes_NLD, scale_NL = codes_NLD[rows], scale_NL[rows]
    shape = (len(codes_NLD) if isinstance(rows, slice) else len(rows), *codes_NLD.shape[1:])
    memory_NLD = torch.empty(shape, dtype=torch.bfloat16, device=codes_NLD.device)
    for part in _parts(memory_NLD.shape):
        own = part if isinstance(rows, slice) else rows[part]
        memory_NLD[part] = _values(_take(codes_NLD, own), _take(scale_NL, own).unsqueeze(-1))
    return memory_NLD


def dtype_of(stored: Mapping[str, Tensor]) -> MemoryDtype:
    """How the tensors of a shard's file keep memory.

    Raises:
        ClaraError: in no way that :func:`pack` knows.
    """
    for name, dtype in TORCH_DTYPES.items():
        if MEMORY in stored and stored[MEMORY].dtype == dtype and (SCALE in stored) == (name in LARGEST_CODE):
            return name
    found = ", ".join(f"{name} {str(tensor.dtype).removeprefix('torch.')}" for name, tensor in sorted(stored.items()))
    raise ClaraError(f"memory must be kept as one of {', '.join(TORCH_DTYPES)} (with scale for the last two): {found}")


def bytes_per_row(dtype: MemoryDtype, memory_tokens: int, hidden_size: int) -> int:
    """Bytes that one document's memory takes on disk, its scales with it.

    Example:
        >>> bytes_per_row("bfloat16", 16, 576), bytes_per_row("int8", 16, 576)
        (18432, 9280)
    """
    scale = torch.float32.itemsize if dtype in LARGEST_CODE else 0
    return memory_tokens * (hidden_size * TORCH_DTYPES[dtype].itemsize + scale)


def _check_values(memory_NLD: Tensor, dtype: MemoryDtype, setting: str) -> None:
    """Refuse what is not finite, or would not be when it is read again (in bfloat16 after int8 and float8)."""
    if not memory_NLD.numel():
        return
    limit = torch.finfo(torch.float16 if dtype == "float16" else torch.bfloat16).max
    largest = torch.stack(memory_NLD.aminmax()).abs().amax().item()  # nan where there is one
    if largest <= limit:
        return
    row = int((~(memory_NLD.abs() <= limit)).flatten(1).any(dim=1).nonzero()[0])
    if not bool(memory_NLD[row].isfinite().all()):
        raise ClaraError(
            f"model.init_args.backbone.dtype: the memory of the shard's row {row} is not finite: take bfloat16 or "
            "float32, and adapters whose training did not diverge"
        )
    raise ClaraError(
        f"{setting}: {dtype} keeps values up to {limit:g}, the memory of the shard's row {row} has larger ones"
        + (": take bfloat16, int8 or float8" if dtype == "float16" else "")
    )


def _parts(shape: torch.Size) -> Iterator[slice]:
    """Ranges of rows, so many at once as work well."""
    rows = max(1, VALUES_AT_ONCE // max(1, shape[1:].numel()))
    return (slice(start, start + rows) for start in range(0, shape[0], rows))


def _take(stored: Tensor, rows: Tensor | slice) -> Tensor:
    if isinstance(rows, slice):
        return stored[rows]
    if stored.dtype == torch.float8_e4m3fn:  # as bytes: not every device chooses rows of float8
        return stored.view(torch.uint8).index_select(0, rows).view(stored.dtype)
    return stored.index_select(0, rows)


def _values(codes: Tensor, scale: Tensor) -> Tensor:
    """Codes times scale, in float32."""
    if codes.dtype != torch.float8_e4m3fn:
        return codes.float().mul_(scale)
    # The bits of a float8, with sign and exponent in float16's places, are a float16 of 1/256 of its value. torch's own
    # cast goes value by value on a CPU: a scan of a store would take half as long again.
    bits = codes.view(torch.int8).to(torch.int16).bitwise_left_shift_(7).bitwise_and_(~(1 << 14))
    return bits.view(torch.float16).float().mul_(scale * 256)
