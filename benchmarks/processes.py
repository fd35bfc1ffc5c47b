"""A step of stage 1 in several processes (DDP over gloo), with one thread and as many documents each."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import start_processes

from benchmarks.ours import Ours
from benchmarks.prepare import Prepared
from benchmarks.texts import load_texts
from benchmarks.timing import timed
from benchmarks.works import NUM_DOCUMENTS
from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR
from clara_lightning.data.examples import ReadingExample


class Step(nn.Module):
    """The loss as a module, so that DDP finds what it has to average."""

    def __init__(self, ours: Ours) -> None:
        super().__init__()
        self.ours = ours
        self.backbone = ours.backbone

    def forward(self, examples: Sequence[ReadingExample]) -> Tensor:
        """See :meth:`benchmarks.ours.Ours.reading_loss`."""
        return self.ours.reading_loss(examples)


def step_seconds(prepared: Prepared, *, processes: int, rounds: int) -> list[float]:
    """Seconds of a step in every round, after one that does not count."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = (processes, rounds, str(prepared.path), folder)
        start_processes(_rank, args=arguments, nprocs=processes, start_method="spawn")
        seconds: list[float] = json.loads((Path(folder) / "seconds.json").read_text())
    return seconds


def _rank(rank: int, processes: int, rounds: int, prepared: str, folder: str) -> None:
    """One process; the first writes its seconds, and since each waits for the others' gradients, those are all's."""
    torch.set_num_threads(1)
    device, group = torch.device("cpu"), torch.distributed
    group.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=processes)
    ours = Prepared(Path(prepared)).open_ours(device)
    ours.train_only((COMPRESSOR, GENERATOR))
    optimizer, wrapped = ours.optimizer(), nn.parallel.DistributedDataParallel(Step(ours))
    examples = load_texts().all_pairs(NUM_DOCUMENTS * processes)[rank::processes]

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        wrapped(examples).backward()
        optimizer.step()

    seconds = [timed(step, device)[0] for _ in range(rounds + 1)]
    if rank == 0:
        (Path(folder) / "seconds.json").write_text(json.dumps(seconds[1:]))
    group.destroy_process_group()
