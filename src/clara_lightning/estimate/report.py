"""The estimate as rows of text, for a terminal or Markdown."""

from __future__ import annotations

from typing import NamedTuple

from clara_lightning.estimate.estimate import Estimate

_TASKS = {
    "pretraining": "stage 1, compressor pretraining",
    "instruction": "stage 2, instruction tuning",
    "joint": "stage 3, joint training",
    "encoding": "encoding",
}


class Section(NamedTuple):
    """A title and rows of cells: what, how much, and what it means."""

    title: str
    rows: list[tuple[str, str, str]]


def headline(found: Estimate) -> str:
    """One line: what runs where."""
    backbone, devices = found.backbone, found.devices
    rate = backbone["document_tokens"] / backbone["memory_tokens"]
    spread = f", {found.strategy}" if devices.count > 1 else ""
    return (
        f"{_TASKS[found.task]}: {backbone['name']} in {backbone['dtype']}, {backbone['document_tokens']} to "
        f"{backbone['memory_tokens']} tokens ({rate:g}x), on {devices.count} x {devices.name}{spread}"
    )


def verdict(found: Estimate) -> str:
    """One line: whether it fits, and by how much."""
    memory, available = found.memory, size(found.memory.available_bytes)
    if memory.fits:
        return f"fits: {size(memory.total_bytes)} of {available} on each device, {size(memory.margin_bytes)} to spare"
    return f"does not fit: {size(memory.total_bytes)} on each device, which has {available}"


def sections(found: Estimate) -> list[Section]:
    """All tables."""
    return [_parameters(found), _memory(found), _work(found), _storage(found)]


def _parameters(found: Estimate) -> Section:
    numbers = found.parameters
    rows = [
        ("frozen", count(numbers.frozen), "backbone, and adapters that do not train"),
        ("trained", count(numbers.trained), "adapters, their memory tokens and calibration"),
    ]
    for name, value in numbers.adapters.items():
        tokens = numbers.memory_tokens.get(name, 0)
        rows.append((f"  {name}", count(value), f"and {count(tokens)} of memory tokens" if tokens else "LoRA alone"))
    return Section("Parameters", rows)


def _memory(found: Estimate) -> Section:
    memory, switch = found.memory, found.backbone["gradient_checkpointing"]
    other = memory.activations_without_checkpointing_bytes if switch else memory.activations_with_checkpointing_bytes
    rows = [("weights", size(memory.weights_bytes), f"{found.backbone['dtype']}, frozen")]
    if memory.gathered_bytes:
        rows.append(("gathered", size(memory.gathered_bytes), "embeddings, head and two layers of other shards"))
    rows += [
        ("adapters", size(memory.adapters_bytes), "float32, with memory tokens and token counts"),
        ("gradients", size(memory.gradients_bytes), "float32, of what is trained"),
        ("optimizer", size(memory.optimizer_bytes), "float32, of what is trained"),
        (
            "activations",
            size(memory.activations_bytes),
            f"with{'' if switch else 'out'} activation checkpointing; {size(other)} with{'out' if switch else ''} it",
        ),
        ("framework", size(memory.overhead_bytes), "CUDA context" if found.devices.kind == "cuda" else "Python now"),
        ("together", size(memory.total_bytes), f"of {size(memory.available_bytes)}"),
    ]
    return Section("Memory of a device", rows)


def _work(found: Estimate) -> Section:
    work = found.work
    what = "documents" if found.task in ("pretraining", "encoding") else "questions"
    unit = "batch" if found.task == "encoding" else "optimizer step"
    rows = [
        (f"{what} a step", f"{work.examples:,}", f"{unit} of all devices"),
        ("tokens a step", f"{work.tokens:,}", "through the trunk, padding included"),
        ("forward", f"{work.forward_flops / 1e12:,.1f} TFLOP", "matrix products and attention"),
    ]
    if work.backward_flops:
        again = ", with activations computed again" if found.backbone["gradient_checkpointing"] else ""
        rows.append(("backward", f"{work.backward_flops / 1e12:,.1f} TFLOP", f"likewise{again}"))
    rows.append(("steps", "unknown" if work.steps is None else f"{work.steps:,}", "" if work.steps else "see --rows"))
    peak = "of an unknown peak" if work.peak_flops is None else f"of {work.peak_flops / 1e12:,.1f} TFLOP/s a device"
    if work.hours is not None:
        rows.append(("time", duration(work.hours), f"at {work.mfu:.0%} {peak}"))
    elif work.hours_per_1000_steps is not None:
        rows.append(("time", duration(work.hours_per_1000_steps), f"for 1,000 steps, at {work.mfu:.0%} {peak}"))
    else:
        rows.append(("time", "unknown", f"at {work.mfu:.0%} {peak}"))
    return Section("Work", rows)


def _storage(found: Estimate) -> Section:
    storage = found.storage
    rows = [
        ("a document", size(storage.document_bfloat16_bytes), "its memory in bfloat16"),
        ("store", size(storage.store_bfloat16_bytes), f"{storage.documents:,} documents in bfloat16, without texts"),
        ("store, int8", size(storage.store_int8_bytes), "the same with one byte a number and a scale a vector"),
    ]
    if storage.index_bytes:
        rows.append(("search index", size(storage.index_bytes), "of a search in two stages"))
    if storage.checkpoint_bytes:
        rows.append(("a checkpoint", size(storage.checkpoint_bytes), "what is trained, and the optimizer"))
    rows.append(("adapter folder", size(storage.adapter_folder_bytes), "what a stage hands on"))
    return Section("Storage", rows)


def count(number: int) -> str:
    """Parameters, in words short enough for a table.

    Example:
        >>> count(7_248_023_552), count(41_943_040), count(9_216)
        ('7.25 B', '41.9 M', '9.2 k')
    """
    for limit, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= limit:
            return f"{number / limit:.{2 if unit == 'B' else 1}f} {unit}"
    return str(number)


def size(number: int) -> str:
    """Bytes in powers of ten.

    Example:
        >>> size(14_496_000_000), size(131_072), size(-2_000_000_000)
        ('14.50 GB', '131.1 kB', '-2.00 GB')
    """
    for limit, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if abs(number) >= limit:
            return f"{number / limit:.{1 if limit < 10**9 else 2}f} {unit}"
    return f"{number} B"


def duration(hours: float) -> str:
    """Hours, or minutes or days where they read better.

    Example:
        >>> duration(0.05), duration(7.25), duration(100)
        ('3.0 min', '7.2 h', '4.2 days')
    """
    if hours < 1:
        return f"{hours * 60:.1f} min"
    return f"{hours:.1f} h" if hours < 72 else f"{hours / 24:.1f} days"
