"""The whole estimate of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerBase

from clara_lightning.backbone.loading import DTYPES, resolve_dtype
from clara_lightning.backbone.runner import could_pack
from clara_lightning.data.chunks import Chunking
from clara_lightning.data.corpus_reader import CorpusReader
from clara_lightning.data.sources import is_local
from clara_lightning.errors import ClaraError
from clara_lightning.estimate.architecture import find_architecture
from clara_lightning.estimate.compute import MILLION, Storage, Work, micro_batch, storage_of, work_of
from clara_lightning.estimate.devices import Devices, devices_here, measure_flops, parse_devices
from clara_lightning.estimate.lengths import Assumptions, Lengths, lengths_of
from clara_lightning.estimate.memory import Memory, Parameters, count_parameters, memory_of
from clara_lightning.estimate.plan import Plan, read_plan
from clara_lightning.estimate.skeleton import Skeleton, SkeletonSettings
from clara_lightning.estimate.trace import trace

DEFAULT_MFU = {"cuda": 0.35, "cpu": 0.5}  # of a CPU's peak as measured: see benchmarks/README.md


@dataclass(frozen=True)
class Request:
    """What the command line adds to a configuration.

    Attributes:
        device: see :func:`~clara_lightning.estimate.devices.parse_devices`; None is the machine this runs on.
        mfu: share of the peak that a step reaches; None takes ours.
        documents: of the store; None counts ``data.init_args.documents``, or takes a million.
        assumed: lengths where there is no training file.
    """

    device: str | None = None
    mfu: float | None = None
    documents: int | None = None
    assumed: Assumptions = field(default_factory=Assumptions)


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        task: what is trained, or encoding.
        backbone: its name, dtype, layers, hidden size, and where its architecture is known from.
        parameters: how many.
        devices: where it runs.
        strategy: how several devices share the work.
        memory: on each device.
        work: of a step and of the run.
        storage: on disk.
        assumptions: what was taken for granted, a line each.
        advice: what to change where it does not fit, a line each.
    """

    task: str
    backbone: Mapping[str, Any]
    parameters: Parameters
    devices: Devices
    strategy: str
    memory: Memory
    work: Work
    storage: Storage
    assumptions: tuple[str, ...]
    advice: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, sizes in bytes."""
        result = asdict(self)
        result["memory"] |= {"fits": self.memory.fits, "margin_bytes": self.memory.margin_bytes}
        return result


def estimate(settings: Mapping[str, Any], request: Request) -> Estimate:
    """Estimate the run that a configuration describes.

    Args:
        settings: as ``clara fit`` parses them.
        request: the rest of the command line.

    Raises:
        ClaraError: a mistake in either, or a backbone that nothing is known about.
    """
    _check(request)
    plan = read_plan(settings)
    devices = _devices(plan, request)
    found = find_architecture(plan.backbone)
    bfloat16_card = devices.kind == "cuda" and plan.backbone.dtype == "auto" and request.device is not None
    dtype = DTYPES["bfloat16"] if bfloat16_card else resolve_dtype(plan.backbone.dtype)
    shape = SkeletonSettings(found.config, dtype, plan.backbone.attention, plan.lora, plan.memory, plan.adapters)
    skeleton = Skeleton(shape)
    lengths = lengths_of(plan, found.tokenizer, request.assumed, padded=not could_pack(skeleton.model))
    peaks, mean = _trace(plan, shape, lengths)
    memory = memory_of(plan, skeleton, devices, with_checkpointing=peaks[True], without_checkpointing=peaks[False])
    documents, documents_note = _documents(plan, request, found.tokenizer)
    rows = documents if plan.task == "encoding" else lengths.rows
    speed = devices.flops or (measure_flops(dtype) if devices.kind == "cpu" else None)
    mfu = request.mfu or DEFAULT_MFU[devices.kind]
    work = work_of(plan, micro_batch(plan, lengths.mean), mean, devices, rows=rows, mfu=mfu, peak=speed)
    numbers = count_parameters(plan, skeleton)
    strategy = plan.strategy if devices.count > 1 else "one device"
    return Estimate(
        task=plan.task,
        backbone={
            "name": plan.backbone.name,
            "dtype": str(dtype).removeprefix("torch."),
            "layers": shape.num_layers,
            "hidden_size": skeleton.hidden_size,
            "memory_tokens": plan.memory.tokens,
            "document_tokens": plan.memory.document_tokens,
            "gradient_checkpointing": plan.backbone.gradient_checkpointing,
            "source": found.source,
        },
        parameters=numbers,
        devices=devices,
        strategy=strategy,
        memory=memory,
        work=work,
        storage=storage_of(plan, skeleton, numbers, documents=documents),
        assumptions=(*plan.notes, lengths.note, documents_note, *_notes(devices, request, mfu)),
        advice=_advice(plan, skeleton, memory, devices, peaks),
    )


def _check(request: Request) -> None:
    if request.mfu is not None and not 0 < request.mfu <= 1:
        raise ClaraError(f"--mfu must be in (0, 1], got {request.mfu}")
    sizes = {"--documents": request.documents, "--rows": request.assumed.rows}
    for name in ("question_tokens", "answer_tokens", "template_tokens"):
        sizes["--" + name.replace("_", "-")] = getattr(request.assumed, name)
    for option, value in sizes.items():
        if value is not None and value < 1:
            raise ClaraError(f"{option} must be >= 1, got {value}")


def _devices(plan: Plan, request: Request) -> Devices:
    """The machine; its number of devices from ``--device``, else from ``trainer.devices``, else all there are."""
    here = devices_here(accelerator=plan.accelerator)
    devices = parse_devices(request.device) if request.device else here
    if request.device:
        return devices.with_count(devices.count or plan.devices or 1)
    return devices.with_count(plan.devices or devices.count)


def _trace(plan: Plan, shape: SkeletonSettings, lengths: Lengths) -> tuple[dict[bool, int], Any]:
    """Peak bytes of the longest micro-batch with and without checkpointing, and the trace of the mean one."""
    longest, mean = micro_batch(plan, lengths.longest), micro_batch(plan, lengths.mean)
    traces = {flag: trace(shape, longest, checkpointing=flag, autocast=plan.mixed) for flag in (True, False)}
    chosen = plan.backbone.gradient_checkpointing
    typical = traces[chosen] if mean == longest else trace(shape, mean, checkpointing=chosen, autocast=plan.mixed)
    return {flag: found.peak_bytes for flag, found in traces.items()}, typical


def _documents(plan: Plan, request: Request, tokenizer: PreTrainedTokenizerBase | None) -> tuple[int, str]:
    """Documents of the store, and the words for where their number is from."""
    if request.documents is not None:
        return request.documents, f"a store of {request.documents:,} documents (--documents)"
    path, tokens = plan.data.get("documents"), plan.data.get("chunk_tokens")
    if not path or not is_local(str(path)):
        return MILLION, "a store of a million documents (--documents)"
    chunking = Chunking(int(tokens), int(plan.data.get("chunk_overlap") or 0)) if tokens else None
    reader = CorpusReader(
        str(path),
        rows_per_shard=MILLION,
        skip_bad_rows=int(plan.data.get("skip_bad_rows") or 0),
        chunking=chunking,
        tokenizer=tokenizer,
    )
    count = reader.look_through().documents
    if chunking is None:
        return count, f"a store of the {count:,} documents of {path}"
    if tokenizer is None:
        return count, f"a store of the {count:,} documents of {path}, not cut into chunks: the tokenizer is not here"
    return count, f"a store of the {count:,} chunks of the documents of {path}"


def _notes(devices: Devices, request: Request, mfu: float) -> list[str]:
    notes = [
        f"{mfu:.0%} of the peak is reached{'' if request.mfu else ' (--mfu)'}; what checkpointing computes again counts"
    ]
    if devices.kind == "cuda":
        notes.append(f"{devices.name}: {devices.source}; 0.8 GB of it are CUDA's own, 0.3 GB more with several devices")
    else:
        notes.append("the CPU's peak is that of a matrix product, measured now")
    return notes


def _advice(
    plan: Plan, skeleton: Skeleton, memory: Memory, devices: Devices, peaks: Mapping[bool, int]
) -> tuple[str, ...]:
    """What would make it fit, each with the figure that it leads to."""
    if memory.fits:
        return ()
    lines, available = [], memory.available_bytes
    fixed = memory.total_bytes - memory.activations_bytes
    if not plan.backbone.gradient_checkpointing:
        total = fixed + memory.activations_with_checkpointing_bytes
        lines.append(
            "--model.init_args.backbone.gradient_checkpointing true: "
            f"{total / 1e9:.1f} GB, {'fits' if total <= available else 'still does not fit'}"
        )
    if plan.batch_size > 1 and fixed < available:
        size = int(plan.batch_size * (available - fixed) / memory.activations_bytes)
        lines.append(
            f"--data.init_args.batch_size {max(1, size)}, with trainer.accumulate_grad_batches raised to match: "
            f"{'about the most that fits' if size else 'may still be too much'}"
        )
    if plan.strategy != "sharded" and devices.kind == "cuda":
        lines.append(_sharded_advice(memory, devices, skeleton))
    if not lines:
        lines.append("more devices, or devices with more memory")
    return tuple(lines)


def _sharded_advice(memory: Memory, devices: Devices, skeleton: Skeleton) -> str:
    shared = memory.weights_bytes + memory.adapters_bytes + memory.gradients_bytes + memory.optimizer_bytes
    layers = skeleton.layer_sizes()
    gathered = 2 * max(layers, default=0) * skeleton.settings.dtype.itemsize
    root = (skeleton.frozen_size() - sum(layers)) * skeleton.settings.dtype.itemsize
    rest = memory.activations_bytes + memory.overhead_bytes + gathered + root
    for count in (2, 4, 8, 16, 32, 64):
        if shared / count + rest <= memory.available_bytes:
            return (
                f"--trainer.strategy sharded: the backbone in shards, from about {count} devices of {devices.name} on"
            )
    return "--trainer.strategy sharded alone does not help: what cannot be sharded is too much for a device"
