"""Where the time of a stage 1 step goes, on the plain path and on ours: ``python -m benchmarks.profile``.

Both steps run under torch's profiler, and the time of every operation itself goes to one part. Which part is told by
the operation's name, by the names of what called it (an optimizer, an attention, a loss), and by its shapes: a matrix
product with a side as long as the adapters' rank is LoRA's, and what has a side as long as the vocabulary belongs to
the LM head. So nothing about an implementation is assumed.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import torch
from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.profiler import ProfilerActivity, profile

from benchmarks.machine import machine
from benchmarks.prepare import LORA, prepare
from benchmarks.settings import BACKBONE, OURS, PLAIN, ROOT
from benchmarks.texts import load_texts
from benchmarks.timing import timed
from benchmarks.works import candidates, encoded, pretraining
from clara_lightning.inference.pipeline import best_device

FROZEN, ADAPTERS, ATTENTION, HEAD = "frozen layers", "LoRA", "attention", "LM head and cross-entropy"
ELEMENTWISE, OPTIMIZER, COPIES, REST = "norms and elementwise", "optimizer", "copies and casts", "the rest"
PICTURE = ROOT / "benchmarks" / "profile.png"
PARTS = (FROZEN, ADAPTERS, ATTENTION, HEAD, ELEMENTWISE, OPTIMIZER, COPIES, REST)

_PRODUCT = re.compile(r"::_?(mm|addmm|bmm|baddbmm|matmul|linear|mkldnn_\w+|addmv|mv|dot)$")
_BATCHED = re.compile(r"::(bmm|baddbmm)$")
_COPY = re.compile(
    r"::(copy_|_to_copy|to|clone|contiguous|cat|stack|embedding\w*|index\w*|_index\w*|gather|masked_scatter\w*"
    r"|scatter\w*|new_\w+|empty\w*|zeros\w*|ones\w*|full\w*|fill_|zero_|resize_|\w+_backward|constant_pad_nd|repeat)$"
)


class Sides(NamedTuple):
    """Lengths that tell what a matrix belongs to."""

    rank: int
    vocabulary: int


def part_of(name: str, callers: Sequence[str], shapes: Sequence[Any], sides: Sides) -> str:
    """The part that an operation belongs to.

    Args:
        name: of the operation.
        callers: names of what called it, the nearest first.
        shapes: of its inputs.
        sides: what to look for in them.
    """
    names = [name, *callers]
    lengths = {length for shape in shapes for length in shape if isinstance(length, int)}
    if any(other.startswith("Optimizer.") for other in names):
        return OPTIMIZER
    if any("attention" in other.casefold() for other in names) or (_BATCHED.search(name) and "aten" in name):
        return ATTENTION
    if any(mark in other.casefold() for other in names for mark in ("crossentropy", "nll_loss", "log_softmax")):
        return HEAD
    if sides.vocabulary in lengths and not any("embedding" in other for other in names):
        return HEAD
    if _PRODUCT.search(name):
        return ADAPTERS if sides.rank in lengths else FROZEN
    if any("lora" in other.casefold() for other in names):
        return ADAPTERS
    if _COPY.search(name):
        return COPIES
    return ELEMENTWISE if name.startswith("aten::") else REST


def profiled(step: Callable[[], object], device: torch.device, sides: Sides) -> dict[str, float]:
    """Seconds of every part of a step; the rest is what no operation took, Python's own time above all."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    step()
    seconds, _ = timed(step, device)  # without the profiler, which slows Python down
    with profile(activities=activities, record_shapes=True) as profiler:
        timed(step, device)
    own = dict.fromkeys(PARTS, 0.0)
    for event in profiler.events() or ():
        if event.device_type == DeviceType.CPU:
            own[_part(event, sides)] += _own_seconds(event, device)
    own[REST] = 0.0
    own[REST] = max(0.0, seconds - sum(own.values()))
    return own


def _part(event: Any, sides: Sides) -> str:
    return part_of(event.name, list(_callers(event)), event.input_shapes or (), sides)


def _callers(event: Any) -> Iterator[str]:
    while (event := event.cpu_parent) is not None:
        yield event.name


def _own_seconds(event: Any, device: torch.device) -> float:
    """Without what it called; on a GPU what its own kernels took there."""
    own = event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
    return float(own) / 1e6


def draw(found: dict[str, dict[str, float]], *, title: str, out: Path) -> None:
    """A bar of stacked parts for each path."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 2.8), layout="constrained")
    colors = pyplot.get_cmap("tab10")
    names = list(found)[::-1]
    left = [0.0] * len(names)
    for number, part in enumerate(PARTS):
        widths = [found[name][part] for name in names]
        axes.barh(names, widths, left=left, color=colors(number), label=part, height=0.6)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for place, total in enumerate(left):
        axes.text(total, place, f" {total:.2f} s", va="center")
    axes.set(xlabel="seconds", title=title, xlim=(0, max(left) * 1.1))
    axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.25), frameon=False)
    figure.savefig(out, dpi=120)
    pyplot.close(figure)


def table(found: dict[str, dict[str, float]]) -> str:
    """Seconds of the parts, and how many times faster ours is in each."""
    lines = ["| part | plain s | ours s | plain / ours |", "| --- | ---: | ---: | ---: |"]
    totals = {name: sum(parts.values()) for name, parts in found.items()}
    rows = [(part, found[PLAIN][part], found[OURS][part]) for part in PARTS]
    for part, plain, ours in [*rows, ("**all**", totals[PLAIN], totals[OURS])]:
        lines.append(f"| {part} | {plain:.3f} | {ours:.3f} | {f'{plain / ours:.1f}' if ours else '-'} |")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Profile both, print the parts and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default=BACKBONE, metavar="NAME", help="as backbone.name (default: SmolLM2-135M)")
    parser.add_argument("--out", type=Path, default=PICTURE, help="the picture (default: benchmarks/profile.png)")
    args = parser.parse_args(words)
    device, texts = torch.device(best_device()), load_texts()
    work, found = pretraining(texts), {}
    print(f"{machine()}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(
            Path(folder),
            args.backbone,
            documents=encoded(texts, 16),
            candidates=candidates(texts)[:1],
            questions=[row.question for row in texts.questions],
            device=device,
        )
        for name in (PLAIN, OURS):
            way = prepared.open_way(name, device)
            found[name] = profiled(work.begin(way), device, Sides(LORA.rank, way.vocabulary))
            del way
    print(table(found))
    draw(found, title=work.title[0].upper() + work.title[1:], out=args.out)
    print(f"\ndrawn in {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
