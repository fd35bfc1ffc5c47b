"""One training step in two processes (DDP over gloo); prints nothing, writes rank 0's gradients. Not a test itself.

Run as ``python two_processes.py OUT.pt``: gradients without (0) and with (1) activation checkpointing.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import torch
from torch import Tensor, nn


def _builders():  # type: ignore[no-untyped-def]
    path = Path(__file__).parents[1] / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny_builders", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Step(nn.Module):
    """Loss of asking each document, from its memory; every answer has as many tokens as the others."""

    def __init__(self, *, gradient_checkpointing: bool) -> None:
        super().__init__()
        builders = _builders()
        self.backbone = builders.make_backbone(
            "llama", dtype=torch.float64, gradient_checkpointing=gradient_checkpointing
        )
        self.backbone.train_only(("compressor", "generator"))
        self.train()
        self.documents: tuple[str, ...] = builders.DOCUMENTS

    def forward(self, numbers: list[int]) -> Tensor:
        from clara_lightning.data.prompts import MEMORY

        memory = self.backbone.compress([self.documents[number] for number in numbers])
        prompts = [self.backbone.prompts.ask(f"Question {n}?", (MEMORY,), answer=" capital") for n in numbers]
        return self.backbone.answer_loss(prompts, memory).mean

    def gradients(self) -> dict[str, Tensor]:
        """After a backward."""
        own = self.backbone.named_parameters()
        return {key: value.grad.clone() for key, value in own if value.grad is not None}


def _rank(rank: int, out: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{out}.rendezvous", rank=rank, world_size=2)
    found = {}
    for checkpointing in (False, True):
        step = Step(gradient_checkpointing=checkpointing)
        wrapped = nn.parallel.DistributedDataParallel(step)
        wrapped([0, 1] if rank == 0 else [2, 3]).backward()
        found[int(checkpointing)] = step.gradients()
    if rank == 0:
        torch.save(found, out)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    # Spawned, not forked: a fork inherits whatever locks the libraries' threads hold, and can wait for them for ever.
    torch.multiprocessing.spawn(_rank, (sys.argv[1],), nprocs=2)
