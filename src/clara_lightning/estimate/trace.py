"""One micro-batch of a stage, forward and backward, in shapes alone.

This repeats what ``ClaraBackbone.read`` and ``ClaraBackbone.answer_loss`` do, with the same runner and the same layers,
on tensors without values: where values would decide a shape, :class:`MicroBatch` gives it. So nothing about a layer is
assumed here: what autograd keeps of it is what it keeps in training.

Shapes: N texts, B prompts, K documents a prompt, T tokens, P positions of all sequences, L memory tokens, D hidden
size, X answer tokens of the batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from clara_lightning.backbone.adapters import GENERATOR, active_adapter, lora_layers, set_trainable, use_adapter
from clara_lightning.backbone.depth import only_first
from clara_lightning.backbone.kernels import quicken
from clara_lightning.backbone.packing import Sequences
from clara_lightning.backbone.runner import Runner
from clara_lightning.errors import ClaraError
from clara_lightning.estimate.live import LiveBytes
from clara_lightning.estimate.skeleton import Skeleton, SkeletonSettings

SHALLOW, DEEPER = 2, 3  # decoder layers of the traces that all others are drawn from; one apart


class Reading(NamedTuple):
    """Texts that an adapter reads with memory tokens behind them.

    Attributes:
        adapter: who reads.
        texts: so many at once.
        tokens: of each text, memory tokens not counted.
        trained: whether a gradient goes back through it.
    """

    adapter: str
    texts: int
    tokens: int
    trained: bool = True


class Answering(NamedTuple):
    """Prompts that the generator reads.

    Attributes:
        prompts: B.
        tokens: of each prompt, with memory and answer.
        answer_tokens: answer tokens of all prompts together: where the LM head runs.
        documents: K, memories in each prompt.
        candidates: documents that the K are chosen from by the loss; 0 where nothing is chosen.
        shared: tokens that all prompts begin with, where these are read once.
    """

    prompts: int
    tokens: int
    answer_tokens: int
    documents: int = 1
    candidates: int = 0
    shared: int = 0


class MicroBatch(NamedTuple):
    """What one device does between two gradients.

    Attributes:
        readings: texts that are read.
        answering: prompts that are answered; None where nothing is.
        contrasted: documents that all questions are told apart from; 0 where none.
    """

    readings: tuple[Reading, ...]
    answering: Answering | None = None
    contrasted: int = 0

    @property
    def is_trained(self) -> bool:
        """Whether there is a backward pass."""
        return self.answering is not None or self.contrasted > 0


@dataclass(frozen=True)
class Trace:
    """What a micro-batch takes beside weights, gradients and optimizer.

    Attributes:
        peak_bytes: most bytes of activations that live at once.
        forward_flops: of the forward pass.
        backward_flops: of the backward pass, with what activation checkpointing computes again.
    """

    peak_bytes: int
    forward_flops: int
    backward_flops: int


def trace(settings: SkeletonSettings, batch: MicroBatch, *, checkpointing: bool, autocast: bool = False) -> Trace:
    """Trace a micro-batch; a deep backbone is drawn from two shallow ones.

    All decoder layers keep the same bytes and do the same work, so that the peak of each phase of the step, and its
    operations, grow by the same amount with every layer.

    Args:
        settings: the backbone with its adapters.
        batch: sizes of the micro-batch.
        checkpointing: whether activations are computed again in the backward pass.
        autocast: whether the step runs under bfloat16 autocast.

    Raises:
        ClaraError: the backbone's layers do what depends on values, such as routing to experts.
    """

    def run(layers: int, depth: int | None = None) -> LiveBytes:
        skeleton = Skeleton(settings.with_layers(layers, depth=depth))
        step = _Step(skeleton, checkpointing=checkpointing, autocast=autocast)
        try:
            return step.run(batch)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            family = settings.architecture.model_type
            raise ClaraError(f"model.init_args.backbone.name: layers of {family} depend on values: {error}") from error

    layers, depth = settings.num_layers, settings.memory.layer
    if layers <= DEEPER:
        whole = run(layers, depth)
        return _total(whole.peaks, whole.flops)
    shallow, deeper = run(SHALLOW), run(DEEPER)
    # What compresses may be less deep than what reads: how much either grows by a layer is told apart by a third trace.
    between = run(DEEPER, SHALLOW) if depth else deeper
    figures = [
        {
            phase: value
            + (betweens[phase] - value) * (layers - SHALLOW)
            + (deepers[phase] - betweens[phase]) * ((depth or 0) - SHALLOW)
            for phase, value in shallows.items()
        }
        for shallows, betweens, deepers in (
            (shallow.peaks, between.peaks, deeper.peaks),
            (shallow.flops, between.flops, deeper.flops),
        )
    ]
    return _total(*figures)


def _total(peaks: Mapping[str, int], flops: Mapping[str, int]) -> Trace:
    backward = sum(value for phase, value in flops.items() if phase.startswith("backward"))
    return Trace(max(peaks.values()), sum(flops.values()) - backward, backward)


class _Step:
    """Runs a micro-batch through a skeleton."""

    def __init__(self, skeleton: Skeleton, *, checkpointing: bool, autocast: bool) -> None:
        self.skeleton = skeleton
        self.autocast = autocast
        self.layers = lora_layers(skeleton.lm)
        self.length = skeleton.settings.memory.tokens
        if checkpointing:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # its new name is not in transformers 5.0
                skeleton.model.gradient_checkpointing_enable({"use_reentrant": False, "context_fn": self._contexts})
        self.runner = Runner(skeleton.model, has_values=False)
        skeleton.become_fake()
        skeleton.lm.train()

    def run(self, batch: MicroBatch) -> LiveBytes:
        """All phases of the micro-batch."""
        with self.skeleton.mode:
            self._prepare(batch)
            heads = [
                tensor for head in self.skeleton.heads.values() for tensor in [*head.parameters(), *head.buffers()]
            ]
            known = [*self.skeleton.lm.parameters(), *self.skeleton.lm.buffers(), *heads]
            gradients = [tensor.grad for tensor in known if tensor.grad is not None]
            quicken(self.skeleton.model, has_values=False)
            self.runner.try_out()
            live = LiveBytes([*known, *gradients])
            with live, torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.autocast):
                loss = self._forward(batch, live)
            if loss is not None:
                with live:
                    live.enter("backward generator")
                    loss.backward()
        return live

    def _prepare(self, batch: MicroBatch) -> None:
        """Gradients are there from the start, as from the second micro-batch of a step on."""
        trained = [reading.adapter for reading in batch.readings if reading.trained]
        trained += [GENERATOR] if batch.answering else []
        set_trainable(self.skeleton.lm, trained)
        for name, head in self.skeleton.heads.items():
            head.requires_grad_(name in trained)
        heads = [value for head in self.skeleton.heads.values() for value in head.parameters()]
        for parameter in [*self.skeleton.lm.parameters(), *heads]:
            parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None

    def _forward(self, batch: MicroBatch, live: LiveBytes) -> Tensor | None:
        memory_NLD, distance = None, None
        for reading in batch.readings:
            live.enter(f"{reading.adapter} reads")
            if reading.trained:
                memory_NLD, distance = self._read(reading)
                memory_NLD.register_hook(lambda gradient, name=reading.adapter: live.enter(f"backward {name}"))
            else:
                self._read_without_gradient(reading)
        if batch.contrasted and memory_NLD is not None:
            live.enter("documents are told apart")
            return self._contrast(memory_NLD, batch.contrasted)
        if batch.answering is None or memory_NLD is None:
            return None
        live.enter("generator answers")
        if batch.answering.candidates:
            memory_NLD = self._choose(memory_NLD, batch.answering)
        loss = self._answer(batch.answering, memory_NLD)
        return loss if batch.answering.candidates or distance is None else loss + distance

    def _read(self, reading: Reading) -> tuple[Tensor, Tensor]:
        """Memory ``(N, L, D)``, and the distance between the mean states of text and memory."""
        count, dim, head = reading.texts, self.skeleton.hidden_size, self.skeleton.heads[reading.adapter]
        text_NTD = torch.empty(count, reading.tokens, dim, dtype=self.skeleton.settings.dtype)
        anchor_NLD = torch.empty(count, self.length, dim) if head.config.is_anchored else None
        tokens_NLD = head.tokens_LD.expand(count, -1, -1)
        tokens_NLD = tokens_NLD if anchor_NLD is None else tokens_NLD + anchor_NLD
        sequences = _sequences(count, reading.tokens + self.length, self.skeleton.settings)
        places_P = torch.empty(sum(sequences.lengths), dtype=torch.long)
        inputs_PD = torch.cat([text_NTD, tokens_NLD.to(text_NTD.dtype)], dim=1).flatten(0, 1)[places_P]
        depth = self.skeleton.settings.memory.layer
        with only_first(self.skeleton.model, depth), use_adapter(self.layers, reading.adapter):
            hidden_PD = self.runner.hidden(inputs_PD, sequences)
        memory_NLD = hidden_PD[torch.empty(count, self.length, dtype=torch.long)]
        text_mean_ND = torch.empty(count, len(hidden_PD)) @ hidden_PD.float()
        distance = F.mse_loss(text_mean_ND, memory_NLD.float().mean(1))
        return head.memory(memory_NLD, anchor_NLD), distance

    def _read_without_gradient(self, reading: Reading) -> None:
        """Nor dropout or checkpointing."""
        self.skeleton.lm.eval()
        with torch.no_grad():
            self._read(reading)
        self.skeleton.lm.train()

    def _choose(self, query_BLD: Tensor, answering: Answering) -> Tensor:
        """Memory of the chosen candidates ``(B, K, L, D)``: late interaction, soft selection, mixture."""
        shape = (answering.prompts, answering.candidates, self.length, self.skeleton.hidden_size)
        candidates_BNLD = torch.empty(shape)
        scores_BN = torch.einsum("bld,bnmd->bnlm", query_BLD, candidates_BNLD).amax(-1).sum(-1)
        selection_BKN = torch.stack([scores_BN.softmax(-1)] * answering.documents, dim=1)
        return torch.einsum("bkn,bnld->bkld", selection_BKN, candidates_BNLD)

    def _contrast(self, query_BLD: Tensor, documents: int) -> Tensor:
        """Late interaction with all documents of the batch, and the loss over their scores."""
        memory_NLD = torch.empty(documents, self.length, self.skeleton.hidden_size)
        scores_BN = torch.einsum("bld,nmd->bnlm", query_BLD, memory_NLD).amax(-1).sum(-1)
        return scores_BN.logsumexp(-1).sum()

    def _answer(self, answering: Answering, memory: Tensor) -> Tensor:
        dim, dtype = self.skeleton.hidden_size, self.skeleton.settings.dtype
        sequences = _sequences(answering.prompts, answering.tokens, self.skeleton.settings, shared=answering.shared)
        positions = sum(sequences.lengths)
        slots_P1 = torch.empty(positions, 1, dtype=torch.bool)
        inputs_PD = torch.empty(positions, dim, dtype=dtype).masked_scatter(slots_P1, memory.to(dtype))
        places_X = torch.empty(answering.answer_tokens, dtype=torch.long)
        with use_adapter(self.layers, GENERATOR):
            return self.runner.losses(self.runner.seen(inputs_PD, sequences, places_X), places_X).sum()

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), use_adapter(self.layers, active_adapter(self.layers))


@dataclass(frozen=True, eq=False)
class _Sequences(Sequences):
    """Where they are padded, with a mask that does not depend on values."""

    mask_dtype: torch.dtype = torch.bool

    @cached_property
    def attention_NT(self) -> Tensor:
        """The mask that transformers would make."""
        count, width = len(self.lengths), max(self.whole.lengths)
        return torch.empty(count, 1, width, width, dtype=self.mask_dtype)


def _sequences(count: int, length: int, settings: SkeletonSettings, *, shared: int = 0) -> Sequences:
    mask_dtype = settings.dtype if settings.attention == "eager" else torch.bool
    lengths = (length, *(length - shared,) * (count - 1))
    return _Sequences(lengths, torch.device("cpu"), shared, mask_dtype)
