"""Rows e and f: from a question to an answer, and to its first token.

Five documents of full length stand behind each question: as memory from a store on disk, at three rates, as memory that
is compressed at the moment of asking, or as text. The search for them is left out. An answer has a fixed length: the
adapters are untrained, and only time counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import torch

from benchmarks.limit import Layers, Pass
from benchmarks.measure import Bench
from benchmarks.plain import Plain
from benchmarks.prepare import LORA, new_backbone, write_store
from benchmarks.results import Row
from benchmarks.settings import DOCUMENT_TOKENS, FIRST, MEMORY_TOKENS, OURS, PLAIN, WHOLE
from benchmarks.timing import Turns, take_turns
from clara_lightning.backbone.adapters import COMPRESSOR
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.corpus.store import LatentStore
from clara_lightning.data.prompts import MEMORY, Background, Prompt, PromptEncoder
from clara_lightning.data.records import Document

NUM_QUESTIONS, NUM_DOCUMENTS = 4, 5
USUAL_RATE = DOCUMENT_TOKENS // MEMORY_TOKENS
RATES = (4, USUAL_RATE, 64)
BATCHES = (1, NUM_QUESTIONS)
QUESTION = "Which place is it about?"
TEXT, ON_THE_SPOT = "full text", f"memory made on the spot, {USUAL_RATE}x"


@dataclass(frozen=True)
class Reader:
    """One way to have documents behind questions.

    Attributes:
        name: what it is called.
        answer: answers with so many tokens.
        backbone: whose prompts they are.
        prompts: what the generator reads.
        documents: what has to be compressed before.
        plain: what the plain path does instead; it stores nothing.
    """

    name: str
    answer: Callable[[int], object]
    backbone: ClaraBackbone
    prompts: Sequence[Prompt]
    documents: int = 0
    plain: str = TEXT

    def passes(self, tokens: int) -> list[Pass]:
        """What cannot be left out of answers: all but the words that every prompt begins with.

        Writing n tokens takes what reading n - 1 more takes.
        """
        encoder = self.backbone.prompts
        lengths = [length + tokens - 1 for length in encoder.encode(self.prompts).attention.sum(1).tolist()]
        reading = [DOCUMENT_TOKENS + MEMORY_TOKENS] * self.documents
        known = len(encoder.prefix(self.prompts))
        return [Pass(lengths, known=known, head=tokens * len(lengths)), Pass(reading)]


def answer_rows(bench: Bench) -> list[Row]:
    """Rows e (whole answers) and f (their first token) for each reader and batch."""
    ours, plain = bench.prepared.open_ours(bench.device), bench.prepared.open_plain(bench.device)
    ours.train_only(())
    plain.lm.eval()
    texts = bench.texts.long(NUM_QUESTIONS * NUM_DOCUMENTS)
    with torch.inference_mode(), mock.patch.object(PromptEncoder, "stop_ids", []):
        backbones = _backbones(ours.backbone.eval(), texts, bench)
        stores = {rate: _store(backbone, texts, bench) for rate, backbone in backbones.items()}
        rows: list[Row] = []
        for size in BATCHES[: 1 if bench.quick else None]:
            some = texts[: size * NUM_DOCUMENTS]
            readers = [_stored(rate, backbones[rate], stores[rate], some) for rate in backbones]
            readers += [_on_the_spot(ours.backbone, some), _text(ours.backbone, some)]
            rows += _measured(readers, _plain_answers(plain, some), size, bench)
    return rows


def _measured(
    readers: Sequence[Reader], plain: dict[str, Callable[[int], object]], size: int, bench: Bench
) -> Iterator[Row]:
    """All take turns, with one token and with all of them."""
    calls = {f"{OURS} {reader.name}": reader.answer for reader in readers}
    calls |= {f"{PLAIN} {name}": answer for name, answer in plain.items()}
    variants = {f"{name} {count}": partial(call, count) for name, call in calls.items() for count in (FIRST, WHOLE)}
    causal_lm = readers[0].backbone.causal_lm
    turns = take_turns(variants, rounds=bench.rounds_of("e"), device=bench.device, dtype=causal_lm.dtype)
    layers = Layers.of_config(causal_lm.config, rank=LORA.rank)
    for key, count in (("e", WHOLE), ("f", FIRST)):
        yield from (_row(reader, turns, layers, key=key, count=count, size=size) for reader in readers)


def _row(reader: Reader, turns: Turns, layers: Layers, *, key: str, count: int, size: int) -> Row:
    passes = reader.passes(count)
    return Row(
        f"{key}/{reader.name}/{size}",
        f"{reader.name}, {size} question{'s' * (size > 1)} x {NUM_DOCUMENTS} documents",
        {
            OURS: turns.seconds[f"{OURS} {reader.name} {count}"],
            PLAIN: turns.seconds[f"{PLAIN} {reader.plain} {count}"],
        },
        tokens=size * count,
        flops=layers.flops(passes),
        rate=turns.rate,
    )


# --- readers --------------------------------------------------------------------------------------------------------


def _stored(rate: int, backbone: ClaraBackbone, store: LatentStore, texts: Sequence[str]) -> Reader:
    prompts, rows = _prompts(backbone.prompts, [MEMORY] * len(texts)), list(range(len(texts)))

    def answer(count: int) -> object:
        return backbone.generate(prompts, store.memory(rows).to(backbone.device), max_new_tokens=count)

    return Reader(f"stored memory, {rate}x", answer, backbone, prompts)


def _on_the_spot(backbone: ClaraBackbone, texts: Sequence[str]) -> Reader:
    prompts = _prompts(backbone.prompts, [MEMORY] * len(texts))

    def answer(count: int) -> object:
        return backbone.generate(prompts, backbone.compress(texts), max_new_tokens=count)

    return Reader(ON_THE_SPOT, answer, backbone, prompts, documents=len(texts), plain=ON_THE_SPOT)


def _text(backbone: ClaraBackbone, texts: Sequence[str]) -> Reader:
    prompts = _prompts(backbone.prompts, texts)

    def answer(count: int) -> object:
        return backbone.generate(prompts, max_new_tokens=count)

    return Reader(TEXT, answer, backbone, prompts)


def _plain_answers(plain: Plain, texts: Sequence[str]) -> dict[str, Callable[[int], object]]:
    slots, words = _prompts(plain.prompts, [MEMORY] * len(texts)), _prompts(plain.prompts, texts)

    def on_the_spot(count: int) -> object:
        return plain.generate(slots, plain.read(texts, adapter=COMPRESSOR).memory_NLD, max_new_tokens=count)

    def text(count: int) -> object:
        return plain.generate(words, max_new_tokens=count)

    return {ON_THE_SPOT: on_the_spot, TEXT: text}


def _prompts(encoder: PromptEncoder, background: Sequence[Background]) -> list[Prompt]:
    """A question to each five documents."""
    groups = [background[start : start + NUM_DOCUMENTS] for start in range(0, len(background), NUM_DOCUMENTS)]
    return [encoder.ask(QUESTION, group) for group in groups]


def _backbones(usual: ClaraBackbone, texts: Sequence[str], bench: Bench) -> dict[int, ClaraBackbone]:
    """A backbone for each rate: memory of another length has other memory tokens."""
    found = {USUAL_RATE: usual}
    for rate in () if bench.quick else RATES:
        if rate not in found:
            length = DOCUMENT_TOKENS // rate
            found[rate] = new_backbone(bench.name, texts, [QUESTION], device=bench.device, memory_tokens=length)
    return dict(sorted(found.items()))


def _store(backbone: ClaraBackbone, texts: Sequence[str], bench: Bench) -> LatentStore:
    path: Path = bench.prepared.path / f"answers-{backbone.memory_config.tokens}"
    documents = [Document(str(number), text) for number, text in enumerate(texts)]
    return write_store(path, backbone, documents, name=bench.name)
