"""Operations, tokens, steps, hours, and bytes on disk."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clara_lightning.backbone.adapters import COMPRESSOR, QUERY_REASONER
from clara_lightning.corpus.key_index import plan_index
from clara_lightning.corpus.keys import DEFAULT_DIM, keys_a_document, vector_size
from clara_lightning.estimate.devices import Devices
from clara_lightning.estimate.lengths import BatchLengths
from clara_lightning.estimate.memory import FLOAT32, Parameters
from clara_lightning.estimate.plan import Plan
from clara_lightning.estimate.skeleton import Skeleton
from clara_lightning.estimate.trace import Answering, MicroBatch, Reading, Trace

MILLION = 1_000_000


@dataclass(frozen=True)
class Work:
    """One optimizer step of all devices (for encoding: one batch), and the run.

    Attributes:
        examples: documents of stage 1 and of encoding, else questions.
        tokens: that go through the trunk forward, padding included.
        forward_flops: operations of the forward passes.
        backward_flops: of the backward passes, with what is computed again.
        steps: of the run; None where its data is not known.
        hours: of the run; None where steps or the device's speed is not known.
        hours_per_1000_steps: likewise.
        mfu: share of the devices' peak that is assumed.
        peak_flops: operations a second of each device.
    """

    examples: int
    tokens: int
    forward_flops: int
    backward_flops: int
    steps: int | None
    hours: float | None
    hours_per_1000_steps: float | None
    mfu: float
    peak_flops: float | None


@dataclass(frozen=True)
class Storage:
    """Bytes on disk.

    Attributes:
        documents: of the store.
        document_bfloat16_bytes: memory of one document.
        store_bfloat16_bytes: memory of all, their texts not counted.
        store_int8_bytes: the same in bytes, with a float32 scale for each vector.
        index_bytes: the search index that ``encoder.index`` asks for; 0 without one.
        checkpoint_bytes: of training.
        adapter_folder_bytes: what a stage hands on.
    """

    documents: int
    document_bfloat16_bytes: int
    store_bfloat16_bytes: int
    store_int8_bytes: int
    index_bytes: int
    checkpoint_bytes: int
    adapter_folder_bytes: int


def micro_batch(plan: Plan, lengths: BatchLengths) -> MicroBatch:
    """Sizes of one device's micro-batch, in whole numbers."""
    size = {name: max(1, math.ceil(value)) for name, value in lengths._asdict().items()}
    if plan.task == "encoding":
        return MicroBatch((Reading(COMPRESSOR, plan.batch_size, size["document_tokens"], trained=False),))
    if plan.task == "joint":
        readings = [Reading(QUERY_REASONER, plan.batch_size, size["question_tokens"])]
        if plan.candidates_compressed:
            count = plan.batch_size * size["candidates"]
            readings.append(Reading(COMPRESSOR, count, size["document_tokens"], trained=False))
        if not plan.reads_answers:
            return MicroBatch(tuple(readings), contrasted=plan.batch_size * size["candidates"])
    else:
        readings = [Reading(COMPRESSOR, size["documents"], size["document_tokens"])]
    answering = Answering(
        prompts=plan.batch_size,
        tokens=size["prompt_tokens"],
        shared=int(lengths.shared_tokens),
        answer_tokens=size["answer_tokens"],
        documents=plan.documents,
        candidates=size["candidates"] if plan.task == "joint" else 0,
    )
    return MicroBatch(tuple(readings), answering)


def work_of(
    plan: Plan, batch: MicroBatch, trace: Trace, devices: Devices, *, rows: int | None, mfu: float, peak: float | None
) -> Work:
    """Operations of a step and hours of the run."""
    repeats = (1 if plan.task == "encoding" else plan.accumulate) * devices.count
    flops = (trace.forward_flops + trace.backward_flops) * repeats
    steps = _steps(plan, rows, devices.count)
    seconds = flops / (mfu * peak * devices.count) if peak else None
    return Work(
        examples=plan.batch_size * repeats,
        tokens=_tokens(batch, plan.memory.tokens) * repeats,
        forward_flops=trace.forward_flops * repeats,
        backward_flops=trace.backward_flops * repeats,
        steps=steps,
        hours=None if seconds is None or steps is None else seconds * steps / 3600,
        hours_per_1000_steps=None if seconds is None else seconds * 1000 / 3600,
        mfu=mfu,
        peak_flops=peak,
    )


def _tokens(batch: MicroBatch, memory_tokens: int) -> int:
    read = sum(reading.texts * (reading.tokens + memory_tokens) for reading in batch.readings)
    if (answering := batch.answering) is None:
        return read
    return read + answering.prompts * answering.tokens - (answering.prompts - 1) * answering.shared


def _steps(plan: Plan, rows: int | None, devices: int) -> int | None:
    """Whichever of steps and epochs ends the run first; None where only the data could say."""
    by_steps = plan.max_steps if plan.max_steps > 0 and plan.task != "encoding" else None
    if rows is None:
        return by_steps
    batches = -(-rows // (plan.batch_size * devices))
    if plan.task == "encoding":
        return batches
    by_epochs = -(-batches // plan.accumulate) * plan.max_epochs if plan.max_epochs > 0 else None
    known = [number for number in (by_steps, by_epochs) if number is not None]
    return min(known) if known else None


def storage_of(plan: Plan, skeleton: Skeleton, numbers: Parameters, *, documents: int) -> Storage:
    """Bytes of the store, of a checkpoint and of an adapter folder."""
    values = plan.memory.tokens * skeleton.hidden_size
    own = sum(numbers.adapters.values()) + sum(numbers.memory_tokens.values())
    folder = own * FLOAT32 + skeleton.head_buffer_bytes()
    return Storage(
        documents=documents,
        document_bfloat16_bytes=values * 2,
        store_bfloat16_bytes=values * 2 * documents,
        store_int8_bytes=(values + plan.memory.tokens * 4) * documents,
        index_bytes=_index_bytes(plan, skeleton.hidden_size, documents),
        checkpoint_bytes=folder + numbers.trained * FLOAT32 * plan.moments if plan.trained else 0,
        adapter_folder_bytes=folder,
    )


def _index_bytes(plan: Plan, hidden_size: int, documents: int) -> int:
    if plan.index is None:
        return 0
    kind, score = plan.index
    shape = plan.memory.tokens, hidden_size
    keys = documents * keys_a_document(score, shape)
    return keys * plan_index(kind, dim=min(DEFAULT_DIM[score], vector_size(score, shape)), num_keys=keys).bytes_a_key
