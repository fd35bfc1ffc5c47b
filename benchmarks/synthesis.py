"""What ``clara synthesize`` costs beside its teacher: ``python -m benchmarks.synthesis client``.

**client**: requests through the endpoint client, to a server in another process that answers at once and always the
same. CPU time is the client's alone, from the chat to the completion with the body's JSON and all of asyncio in it; so
it stays honest where other work runs beside. Memory is the peak resident size of the process, the interpreter and
aiohttp in it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.settings import ROOT

ASKED_MILLISECONDS = 1.0
ASKED_MEGABYTES = 200.0
DOCUMENT_CHARACTERS = 3000


class ClientCost(NamedTuple):
    """What the client took: CPU seconds in all, seconds on the clock, peak bytes."""

    requests: int
    cpu: float
    seconds: float
    peak: int


@contextlib.contextmanager
def null_server() -> Iterator[str]:
    """URL of a :mod:`benchmarks.null_server` in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.null_server"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        finally:
            server.terminate()


async def measure_client(url: str, *, requests: int, concurrency: int) -> ClientCost:
    """Send requests from as many tasks as are in flight, after one request for each that does not count."""
    from clara_lightning.synthesis.chat import Chat, Message, Sampling
    from clara_lightning.synthesis.tasks import TASKS
    from clara_lightning.synthesis.teachers.endpoint import EndpointModel, EndpointSettings

    messages = (Message(role="system", content="Ask. " * 80), Message(role="user", content="w" * DOCUMENT_CHARACTERS))
    chat = Chat(messages, schema=TASKS["complex_questions"].schema, schema_name="complex_questions")
    model = EndpointModel(EndpointSettings(url=url, model="null", concurrency=concurrency), sampling=Sampling())

    async def work(numbers: Iterator[int]) -> None:
        for _ in numbers:
            await model.complete(chat)

    async def all_of(count: int) -> None:
        numbers = iter(range(count))
        await asyncio.gather(*(work(numbers) for _ in range(concurrency)))

    await all_of(concurrency)
    cpu, clock = time.process_time(), time.perf_counter()
    await all_of(requests)
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    await model.close()
    return ClientCost(requests, cpu, clock, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def client(options: argparse.Namespace) -> Iterator[str]:
    """The subcommand: lines of a Markdown table."""
    with null_server() as url:
        cost = asyncio.run(measure_client(url, requests=options.requests, concurrency=options.concurrency))
    from benchmarks.machine import machine  # imports torch, which would count

    yield f"{machine()}\n"
    yield f"| {cost.requests} requests, {options.concurrency} in flight | found | asked |"
    yield "| --- | ---: | ---: |"
    yield f"| CPU of the client, ms a request | {1000 * cost.cpu / cost.requests:.2f} | {ASKED_MILLISECONDS:g} |"
    yield f"| peak resident memory, MB | {cost.peak / 1e6:.0f} | {ASKED_MEGABYTES:g} |"
    yield f"| requests a second | {cost.requests / cost.seconds:.0f} | |"


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="WHAT")
    command = commands.add_parser("client", help="CPU and memory of the endpoint client")
    command.add_argument("--requests", type=int, default=20_000)
    command.add_argument("--concurrency", type=int, default=256)
    command.set_defaults(run=client)
    options = parser.parse_args(arguments)
    for line in options.run(options):
        print(line, flush=True)


if __name__ == "__main__":
    main()
