"""Actors of a Ray cluster, through Ray Data.

A chunk of documents is one row, as JSON, and so is what became of it. A thread of this process puts chunks into a short
queue; Ray Data reads from that queue as its actors take the rows, so that neither side runs ahead of the other, and
the actors with their models stay for the whole run.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.outcome import Outcome
from clara_lightning.synthesis.workers.work import CHUNK, Work, WorkFactory, chunks

AGAIN = "run the same command again to go on"
# What Ray would print or send; a user who wants to see it sets the variable.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
log = logging.getLogger(__name__)


def in_ray(
    documents: Iterable[Document],
    factory: WorkFactory,
    *,
    address: str | None,
    num_actors: int,
    gpus_per_actor: float = 0.0,
    cpus_per_actor: float = 1.0,
    chunk: int = CHUNK,
) -> Generator[Outcome, None, None]:
    """The outcomes of documents, from actors of a Ray cluster.

    An actor that dies with its machine is replaced, and its documents are worked on again. All that was started for
    this run ends with this process, whatever ends it, or when the iterator is closed.

    Args:
        documents: read as they are needed, a few chunks ahead, in a thread.
        factory: makes the work of each actor; the package must be installed on every machine.
        address: of the cluster (``auto``, ``ray://host:port``, ``host:port``); ``None`` starts one on this machine.
        num_actors: actors, 1 or more.
        gpus_per_actor: GPUs that are kept for each.
        cpus_per_actor: CPUs likewise.
        chunk: documents that an actor gets at once.

    Yields:
        Outcomes, chunk by chunk as they are finished.

    Raises:
        ClaraError: Ray is not installed, the cluster cannot be reached or is too small, the work raises it, or
            documents were lost with a machine.
    """
    needs = {"CPU": num_actors * cpus_per_actor, "GPU": num_actors * gpus_per_actor}
    with _connected(address, needs) as ray:
        feed = _Feed(ray, documents, chunk=chunk, room=num_actors)
        rows = _rows(
            ray,
            feed.queue,
            _Actor,
            batch_size=1,
            fn_constructor_args=(factory,),
            compute=ray.data.ActorPoolStrategy(size=num_actors, max_tasks_in_flight_per_actor=2),
            num_cpus=cpus_per_actor,
            num_gpus=gpus_per_actor or None,
        )
        count = 0
        try:
            for row in rows:
                for outcome in _outcomes(row):
                    count += 1
                    yield outcome
            feed.finish(count)
        except ray.exceptions.RayTaskError:
            raise  # a mistake of ours, with its traceback
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1].strip()  # the lines before it name ids of Ray's
            raise ClaraError(f"Ray: {reason}; {AGAIN}") from error
        finally:
            rows.close()
            feed.close()


@contextmanager
def _connected(address: str | None, needs: Mapping[str, float]) -> Iterator[Any]:
    """The module ``ray``, connected to a cluster that has what is needed."""
    os.environ |= {name: value for name, value in _QUIET.items() if name not in os.environ}
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.data")
    except ImportError as error:
        raise ClaraError("--ray needs the extra ray: pip install 'clara-lightning[ray]'") from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message="The minimum number of concurrent actors")  # of a short file
    ours = not ray.is_initialized()
    if ours:
        # An address of None would join whatever cluster was last started on this machine.
        options = {"include_dashboard": False} if address is None else {}
        try:
            ray.init(address or "local", logging_level=logging.ERROR, log_to_driver=False, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ClaraError(f"--ray {address}: cannot connect: {reason}") from error
    try:
        _check(ray.cluster_resources(), needs, may_grow=address is not None)
        yield ray
    finally:
        if ours:
            ray.shutdown()


def _check(has: Mapping[str, float], needs: Mapping[str, float], *, may_grow: bool) -> None:
    """Ray would wait for resources without a word; other clusters may get more of them while it waits."""
    for name, option in (("CPU", "--workers"), ("GPU", "--gpus")):
        needed = needs[name]
        if needed > has.get(name, 0.0):
            lack = f"the actors take {needed:g} {name}s, and there are {has.get(name, 0.0):g}"
            if not may_grow:
                raise ClaraError(f"{option}: {lack}")
            log.warning("%s in the cluster: waiting until it has grown", lack)


def _rows(ray: Any, queue: Any, actor: type, **how: Any) -> Generator[Mapping[str, str], None, None]:
    """What the actors make of the queue's chunks, row by row."""

    class Chunks(ray.data.Datasource):  # type: ignore[misc]  # a class of a package that may be missing
        """One reader that goes on until the queue says that there is no more."""

        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, *_: Any, **__: Any) -> list[Any]:
            unknown = ray.data.block.BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
            return [ray.data.ReadTask(lambda: _blocks(queue), unknown)]

    context = ray.data.DataContext.get_current()
    ours = {"target_max_block_size": 1, "enable_progress_bars": False, "print_on_execution_start": False}
    before = {name: getattr(context, name) for name in ours}
    for name, value in ours.items():  # a dataset keeps the settings that it was made with
        setattr(context, name, value)
    try:
        # The reader mostly waits, so it takes no CPU; a block of one byte at most is a block for every row.
        dataset = ray.data.read_datasource(Chunks(), num_cpus=0, override_num_blocks=1).map_batches(actor, **how)
    finally:
        for name, value in before.items():
            setattr(context, name, value)
    yield from dataset.iter_rows()


def _blocks(queue: Any) -> Iterator[Any]:
    """In the reader: the queue's chunks, a block of one row for each."""
    import pyarrow

    while (documents := queue.get()) is not None:
        yield pyarrow.table({"documents": [documents]})


class _Actor:
    """In an actor: chunks to outcomes. A mistake travels as a row, since Ray would wrap it in its own words."""

    def __init__(self, factory: WorkFactory) -> None:
        self._factory = factory
        self._work: Work | None = None

    def __call__(self, batch: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """A batch of one row to a batch of one row."""
        documents = [Document(**row) for row in json.loads(batch["documents"][0])]
        try:
            if self._work is None:
                self._work = self._factory()
            outcomes = self._work.run(documents)
        except ClaraError as error:
            return {"outcomes": ["[]"], "mistake": [str(error)]}
        return {"outcomes": [json.dumps([outcome.to_json() for outcome in outcomes])], "mistake": [""]}

    def __del__(self) -> None:
        if self._work is not None:
            self._work.close()


def _outcomes(row: Mapping[str, str]) -> Iterator[Outcome]:
    if row["mistake"]:
        raise ClaraError(row["mistake"])
    yield from map(Outcome.from_json, json.loads(row["outcomes"]))


class _Feed:
    """Fills a queue of the cluster with chunks of documents, from a thread.

    Args:
        ray: the module, connected.
        documents: what is put into it: id, title and text.
        chunk: documents of a row.
        room: rows that wait in it at most.
    """

    def __init__(self, ray: Any, documents: Iterable[Document], *, chunk: int, room: int) -> None:
        self.queue = importlib.import_module("ray.util.queue").Queue(maxsize=room, actor_options={"num_cpus": 0})
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="documents")
        self._given = self._thread.submit(self._fill, documents, chunk)

    def finish(self, count: int) -> None:
        """After the last row: raise what stopped the documents, or that fewer came back than went out."""
        given = self._given.result()
        if count != given:
            raise ClaraError(f"Ray: {given - count} of {given} documents were lost on the way; {AGAIN}")

    def close(self) -> None:
        """End the queue, and with it the thread: nothing can be put into it any more."""
        self.queue.shutdown(force=True)
        self._thread.shutdown()

    def _fill(self, documents: Iterable[Document], chunk: int) -> int:
        """The number of documents; whatever happens, the reader is told of the end."""
        given = 0
        try:
            for portion in chunks(documents, chunk):
                rows = [{"id": one.id, "title": one.title, "text": one.text} for one in portion]
                self.queue.put(json.dumps(rows))
                given += len(portion)
        finally:
            self.queue.put(None)
        return given
