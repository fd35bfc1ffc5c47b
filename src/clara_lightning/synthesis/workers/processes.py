"""Processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from glob import glob
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from typing import Any

from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.outcome import Outcome
from clara_lightning.synthesis.workers.work import CHUNK, Work, WorkFactory, chunks

AHEAD = 2
"""Chunks that are read for each worker: one to work on, one to begin with at once."""


def in_processes(
    documents: Iterable[Document], factory: WorkFactory, *, num_workers: int, chunk: int = CHUNK
) -> Generator[Outcome, None, None]:
    """The outcomes of documents, from processes that work on them side by side.

    Cores and CUDA devices are divided among the processes. They end with this one, whatever ends it, and at once when
    the iterator is closed; what they were at work on is then lost.

    Args:
        documents: read as they are needed, two chunks ahead for each process.
        factory: makes the work of each process.
        num_workers: processes, 1 or more.
        chunk: documents that a process gets at once.

    Yields:
        Outcomes, chunk by chunk as they are finished.

    Raises:
        ClaraError: the work raises it, or a process was killed.
    """
    context: Any = multiprocessing.get_context("spawn")
    held, holder = context.Pipe(duplex=False)
    numbers = context.SimpleQueue()
    for number in range(num_workers):
        numbers.put(number)
    pool = ProcessPoolExecutor(num_workers, context, initializer=_begin, initargs=(factory, numbers, num_workers, held))
    try:
        yield from _results(pool, chunks(documents, chunk), ahead=AHEAD * num_workers)
        pool.shutdown()
    except BrokenProcessPool as error:
        raise ClaraError("a worker was killed (out of memory?); run the same command again to go on") from error
    finally:
        holder.close()  # ends every process that is still there
        pool.shutdown(cancel_futures=True)
        held.close()
        numbers.close()


def _results(pool: ProcessPoolExecutor, portions: Iterable[list[Document]], *, ahead: int) -> Iterator[Outcome]:
    """Outcomes, while at most ``ahead`` chunks are under way."""
    under_way: set[Future[Sequence[Outcome]]] = set()
    for portion in portions:
        under_way.add(pool.submit(_run, portion))
        if len(under_way) == ahead:
            finished, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for one in finished:
                yield from one.result()
    for one in as_completed(under_way):
        yield from one.result()


class _Process:
    """What a worker's process knows: how to make its work, and the work once it is made."""

    factory: WorkFactory
    work: Work | None = None


def _begin(factory: WorkFactory, numbers: Any, num_workers: int, held: Connection) -> None:
    """First of all in a worker: its share of the machine, and an eye on the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first decides
    threading.Thread(target=_end_with, args=(held,), daemon=True).start()
    _take_share(numbers.get(), num_workers)
    _Process.factory = factory


def _end_with(held: Connection) -> None:
    """End this process when the other end of the pipe is closed, be it by the death of its holder."""
    held.poll(None)
    os._exit(1)


def _run(documents: list[Document]) -> Sequence[Outcome]:
    if _Process.work is None:  # not in _begin, whose exceptions would lose their text
        _Process.work = _Process.factory()
        Finalize(None, _Process.work.close, exitpriority=0)
    return _Process.work.run(documents)


def _take_share(number: int, num_workers: int) -> None:
    """Threads and CUDA devices of one worker; a number of threads that the user set stays."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = int(os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // num_workers))))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
    if devices := devices_here():
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(share_of(devices, number, num_workers))


def devices_here() -> list[str]:
    """CUDA devices that this process may use, found without CUDA."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [str(number) for number in range(len(glob("/dev/nvidia[0-9]*")))]
    return [name for name in visible.split(",") if name]


def share_of(devices: Sequence[str], number: int, num_workers: int) -> list[str]:
    """The devices of one worker: each device has one owner, unless there are more workers than devices.

    >>> share_of(["0", "1", "2", "3"], 1, 2), share_of(["0", "1"], 2, 4)
    (['1', '3'], ['0'])
    """
    return list(devices[number % len(devices) :: num_workers])
