"""What ``clara synthesize`` costs beside its teacher: ``python -m benchmarks.synthesis client | rules``.

**client**: requests through the endpoint client, to a server in another process that answers at once and always the
same. CPU time is the client's alone, from the chat to the completion with the body's JSON and all of asyncio in it; so
it stays honest where other work runs beside. Memory is the peak resident size of the process, the interpreter and
aiohttp in it.

**rules**: the whole command with the teacher that has no model, over many documents: reading, comparing them,
questions, checks, writing, the report. The documents are those of the demo with other names and numbers in them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.settings import ROOT

ASKED_MILLISECONDS = 1.0
ASKED_MEGABYTES = 200.0
ASKED_MINUTES = 5.0
RULES_DOCUMENTS = 100_000
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


def write_documents(path: Path, *, count: int) -> None:
    """Passages of the World Factbook, each many times with another place and other numbers, so that none repeats."""
    from clara_lightning.data.records import Document
    from clara_lightning.data.writers import write_jsonl
    from clara_lightning.demo.factbook import demo_corpus

    passages = demo_corpus(600)

    def changed(number: int) -> Document:
        passage, draw = passages[number % len(passages)], random.Random(number)
        names: dict[str, str] = {}

        def another(found: re.Match[str]) -> str:
            word = found[0]
            if word[0].isdigit():
                return str(draw.randint(1, 9)) + "".join(str(draw.randint(0, 9)) for _ in word[1:])
            return names.setdefault(word, draw.choice(_BEGINNINGS) + draw.choice(_MIDDLES) + draw.choice(_ENDS))

        text, title = (re.sub(r"\d+|\b(?<!^)[A-Z][a-z]{3,}", another, part) for part in (passage.text, passage.title))
        return Document(f"d{number}", text, title)

    write_jsonl(path, map(changed, range(count)))


_BEGINNINGS = "Bal Cor Dan Fel Gar Hal Jor Kel Lor Mar Nor Ost Pel Quin Ros Sal Tor Ul Ver Wes".split()
_MIDDLES = "a e i o u an el in or us".split()
_ENDS = "berg dal dorf field ford ham land mar nia ria stad stan ton ville vik wick".split()


def rules(options: argparse.Namespace) -> Iterator[str]:
    """The subcommand: lines of a Markdown table."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "documents.jsonl", Path(folder) / "scp.jsonl"
        write_documents(source, count=options.documents)
        command = [sys.executable, "-m", "clara_lightning", "synthesize", "--teacher", "rules", "--json"]
        command += ["--documents", str(source), "--out", str(out), "--workers", str(options.workers)]
        started = time.perf_counter()
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        minutes = (time.perf_counter() - started) / 60
        pairs = sum(len(json.loads(line)["pairs"]) for line in out.open("rb"))
    from benchmarks.machine import machine

    yield f"{machine()}\n"
    yield f"| {options.documents} documents, {options.workers} processes | found | asked |"
    yield "| --- | ---: | ---: |"
    yield f"| minutes | {minutes:.2f} | {ASKED_MINUTES * options.documents / RULES_DOCUMENTS:g} |"
    yield f"| documents a second | {options.documents / minutes / 60:.0f} | |"
    yield f"| rows, questions | {found['accepted']}, {pairs} | |"


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="WHAT")
    command = commands.add_parser("client", help="CPU and memory of the endpoint client")
    command.add_argument("--requests", type=int, default=20_000)
    command.add_argument("--concurrency", type=int, default=256)
    command.set_defaults(run=client)
    command = commands.add_parser("rules", help="time of a run with the teacher that has no model")
    command.add_argument("--documents", type=int, default=RULES_DOCUMENTS)
    command.add_argument("--workers", type=int, default=2)
    command.set_defaults(run=rules)
    options = parser.parse_args(arguments)
    for line in options.run(options):
        print(line, flush=True)


if __name__ == "__main__":
    main()
