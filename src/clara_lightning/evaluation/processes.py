"""Several processes that evaluate together: ``torchrun --nproc-per-node 2 -m clara_lightning evaluate ...``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among those that share the work.

    Attributes:
        rank: its number.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def launched(cls) -> Processes:
        """What a launcher says of this process in its environment; alone without one."""
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))

    @classmethod
    def join(cls) -> Processes:
        """Join the processes that a launcher started."""
        if cls.launched().size == 1:
            return cls()
        if not distributed.is_initialized():
            distributed.init_process_group("gloo")
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes files and shows progress."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """A device of its own, where there are several."""
        return f"cuda:{os.environ['LOCAL_RANK']}" if name == "cuda" and self.size > 1 else name

    def collect(self, own: Mapping[int, T]) -> dict[int, T]:
        """What all processes have, by number; every process must call this."""
        if self.size == 1:
            return dict(own)
        parts: list[dict[int, T]] = [{} for _ in range(self.size)]
        distributed.all_gather_object(parts, dict(own))
        return {number: value for part in parts for number, value in part.items()}

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            distributed.barrier()

    def leave(self) -> None:
        """End what :meth:`join` began."""
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


def synchronize(device: torch.device) -> None:
    """Wait for what a CUDA device has in work, so that a clock tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
