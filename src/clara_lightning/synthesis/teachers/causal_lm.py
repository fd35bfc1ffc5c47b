"""What a teacher must know of a causal LM of transformers: where it runs, what ends a turn, how much it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from clara_lightning.errors import ClaraError

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

DtypeName = Literal["auto", "float32", "bfloat16", "float16"]


def padded(rows: Sequence[Sequence[int]], *, pad_id: int) -> tuple[Tensor, Tensor]:
    """Token ids with padding on the left, and 1 where they are real: both ``(B, T)``."""
    import torch

    width = max(map(len, rows))
    ids_BT = torch.tensor([[pad_id] * (width - len(row)) + list(row) for row in rows])
    attention_BT = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids_BT, attention_BT


def stops_of(model: PreTrainedModel) -> list[int]:
    """Tokens that end a turn, as the model's author says."""
    known = getattr(model.generation_config, "eos_token_id", None)
    return [] if known is None else list(known) if isinstance(known, list | tuple) else [int(known)]


def context_of(model: PreTrainedModel) -> int | None:
    """Tokens that the model can read and write in all; ``None`` where it names no limit."""
    return getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)


def device_of(name: str) -> torch.device:
    """The device of a name; ``auto`` is the first CUDA device, else Apple's, else the CPU.

    Raises:
        ClaraError: there is no such device.
    """
    import torch

    if name == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ClaraError(f"--device: expected cuda, cuda:1, mps or cpu, got {name!r}") from error
    count = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(device.type, 1)
    if (device.index or 0) >= count:
        raise ClaraError(f"--device {name}: there is no such device here")
    return device


def placed(model: PreTrainedModel, device: torch.device, dtype: DtypeName) -> PreTrainedModel:
    """The model on a device and in a dtype, ready to be asked."""
    import torch

    moved: PreTrainedModel = model.eval().to(device)
    return moved if dtype == "auto" else moved.to(getattr(torch, dtype))
