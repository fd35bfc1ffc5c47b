"""A causal LM of transformers, with all that a teacher must know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.teachers.turns import Turns

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DtypeName = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class CausalLM:
    """A model that is ready to be asked.

    Attributes:
        model: in evaluation mode, without preferences of its author's for how tokens are chosen.
        tokenizer: its tokenizer.
        turns: writes conversations.
        pad_id: a token that may stand where nothing is read.
        stop_ids: tokens that end a turn.
        context: tokens that it can read and write in all; ``None`` where it names no limit.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    turns: Turns
    pad_id: int
    stop_ids: tuple[int, ...]
    context: int | None

    @classmethod
    def of(
        cls, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str, device: str, dtype: DtypeName
    ) -> CausalLM:
        """The model, moved to where it is to run.

        Args:
            model: as it was loaded; it is changed.
            tokenizer: its tokenizer.
            name: what a mistake names.
            device: see :func:`device_of`.
            dtype: of the weights; ``auto`` leaves them as they are.

        Raises:
            ClaraError: it has no chat template; there is no such device.
        """
        import torch
        from transformers import GenerationConfig

        from clara_lightning.data.prompts import PromptEncoder, PromptTemplate

        turns = Turns(tokenizer, model=name)
        encoder = PromptEncoder(tokenizer, template=PromptTemplate(), memory_tokens=1, text_tokens=1)
        stop_ids = tuple(sorted({*encoder.stop_ids, *_stops_of(model)}))
        context = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
        model.generation_config = GenerationConfig()  # the author's own would fill in what we leave open
        placed: PreTrainedModel = model.eval().to(device_of(device))
        if dtype != "auto":
            placed = placed.to(getattr(torch, dtype))
        return cls(placed, tokenizer, turns, encoder.pad_id, stop_ids, context)


def padded(rows: Sequence[Sequence[int]], *, pad_id: int) -> tuple[Tensor, Tensor]:
    """Token ids with padding on the left, and 1 where they are real: both ``(B, T)``."""
    import torch

    width = max(map(len, rows))
    ids_BT = torch.tensor([[pad_id] * (width - len(row)) + list(row) for row in rows])
    attention_BT = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids_BT, attention_BT


def _stops_of(model: PreTrainedModel) -> list[int]:
    """Tokens that end a turn, as the model's author says."""
    known = getattr(model.generation_config, "eos_token_id", None)
    return [] if known is None else list(known) if isinstance(known, list | tuple) else [int(known)]


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
