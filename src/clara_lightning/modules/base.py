"""What the training stages share: building the backbone, optimizers, checkpoints, and the hand-over."""

from __future__ import annotations

import logging
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from clara_lightning.backbone.adapters import QUERY_REASONER, LoraSettings, adapter_parameters
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import AdapterFolder, RetrievalConfig, load_adapters, save_adapters
from clara_lightning.backbone.inheritance import inherit, inherit_backbone, inherit_memory, inherit_query
from clara_lightning.backbone.loading import BackboneConfig, load_pretrained
from clara_lightning.backbone.memory import MemoryKind
from clara_lightning.backbone.query import QueryConfig
from clara_lightning.data.prompts import Prompt, PromptTemplate
from clara_lightning.errors import ClaraError
from clara_lightning.modules.card import card_writer
from clara_lightning.modules.metrics_file import is_due
from clara_lightning.modules.overview import IN_EFFECT, as_table, settings_in_effect, without_effect
from clara_lightning.modules.refusals import refuse_low_precision, refuse_packed_shards, refuse_sharding
from clara_lightning.modules.schedule import ScheduleConfig, share_of_peak
from clara_lightning.modules.sharding import ShardedStrategy, own_part, shard
from clara_lightning.modules.step_means import StepMeans
from clara_lightning.modules.validation import ValidationAnswers

STAGE_KEY = "clara_stage"
SAMPLE = 10_000  # documents looked at for their length
FUSED = ("cpu", "cuda")  # devices with a fused AdamW, for every dtype of a parameter

log = logging.getLogger(__name__)


def adamw(params: Any) -> Optimizer:
    """AdamW as published: betas (0.9, 0.95), no weight decay, learning rate 1e-4 (paper, appendix).

    On a CPU or CUDA device one fused kernel does the step: the same numbers to rounding, several times faster.
    """
    optimizer = torch.optim.AdamW(params, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.0)
    own = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for group in optimizer.param_groups:
        # Given to the constructor, it would also say that the optimizer takes care of the loss's scale (16-mixed), and
        # Lightning then refuses to clip gradients.
        group["fused"] = all(parameter.device.type in FUSED for parameter in own)
    optimizer.register_load_state_dict_pre_hook(_keep_kernel)
    return optimizer


def _keep_kernel(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint is of numbers: whether a kernel is fused stays as it is here, whatever it was there."""
    fused = optimizer.param_groups[0]["fused"]
    return state | {"param_groups": [group | {"fused": fused} for group in state["param_groups"]]}


def checked_scale(name: str, scale: float) -> float:
    """A learning rate relative to the optimizer's.

    Raises:
        ClaraError: it is negative.
    """
    if scale < 0:
        raise ClaraError(f"model.init_args.{name} must be >= 0, got {scale}")
    return scale


class ClaraModule(LightningModule, ABC):
    """A training stage over one :class:`ClaraBackbone`.

    The backbone is built in ``configure_model``, so that help and configuration stay instant.

    Args:
        backbone: pretrained weights; the name may be left out where ``init_from`` names it.
        init_from: adapter folder of an earlier stage; its memory, prompt and adapters are taken over.
        memory_tokens: l, memory tokens per document; must agree with ``init_from``, or lie between the ends of its
            ``nested``.
        document_tokens: documents are cut after so many tokens; must agree with ``init_from``.
        memory: kind of memory (``words``, ``learned``, ``anchors``, ``calibrated``, ``published``); must agree with
            ``init_from``.
        lora: settings of the adapters; with ``init_from``, that folder's.
        prompt: the words around background and question; with ``init_from``, that folder's.
        optimizer: called with the parameter groups.
        schedule: warmup and decay of the learning rate.
        memory_lr_scale: learning rate of memory tokens and calibration, relative to the adapters'.
        generate_rows: so many rows of the validation file are answered by the last validation of an epoch or of the
            run; 0 answers none.
        max_new_tokens: such an answer ends there at the latest.
        resize: let memory and document tokens differ from those of ``init_from``: memory tokens are cut, or new ones
            join them.
        nested: numbers of memory tokens that are trained at once.
        memory_layer: memory is made of the hidden states behind so many layers; ``None``: behind all.
        memory_mlp: hidden width of an MLP on them that adds to the memory; ``None``: none.
        words_per_token: so many whole words stand together on a memory token at most; ``None``: none do.
        query: what is learned of a question's vectors beside the query reasoner; with ``init_from``, that folder's.
    """

    backbone: ClaraBackbone

    def __init__(
        self,
        *,
        backbone: BackboneConfig,
        init_from: str | None,
        memory_tokens: int | None,
        document_tokens: int | None,
        memory: MemoryKind | None,
        lora: LoraSettings | None,
        prompt: PromptTemplate | None,
        optimizer: OptimizerCallable,
        schedule: ScheduleConfig,
        memory_lr_scale: float,
        generate_rows: int,
        max_new_tokens: int,
        resize: bool = False,
        nested: Sequence[int] | None = None,
        memory_layer: int | None = None,
        memory_mlp: int | None = None,
        words_per_token: int | None = None,
        query: QueryConfig | None = None,
    ) -> None:
        super().__init__()
        self.parent = AdapterFolder.open(init_from, setting="model.init_args.init_from") if init_from else None
        given = {
            "memory_tokens": memory_tokens,
            "document_tokens": document_tokens,
            "memory": memory,
            "nested": nested,
            "memory_layer": memory_layer,
            "memory_mlp": memory_mlp,
            "words_per_token": words_per_token,
        }
        self.resize = resize
        self.memory_config = inherit_memory(self.parent, given, resize=resize)
        self.lora = inherit(self.parent and self.parent.lora, lora, LoraSettings(), "lora")
        self.query = inherit_query(self.parent, query)
        self.prompt = inherit(self.parent and self.parent.prompt, prompt, PromptTemplate(), "prompt")
        self.backbone_config = inherit_backbone(self.parent, backbone)
        self.optimizer = optimizer
        self.schedule = schedule
        self.memory_lr_scale = checked_scale("memory_lr_scale", memory_lr_scale)
        self.run_seed = torch.initial_seed()
        self.loaded: list[str] = []  # adapters taken over from the parent
        self.step_means = StepMeans(self)
        self.answers = ValidationAnswers(rows=generate_rows, max_new_tokens=max_new_tokens)
        self._gradient_found = False
        self.strict_loading = False  # checkpoints hold what is trained, not the backbone

    # --- what a stage decides --------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def adapters(self) -> Sequence[str]:
        """Adapters that the stage uses."""

    @property
    @abstractmethod
    def trained(self) -> Sequence[str]:
        """Adapters that the stage trains."""

    @property
    def retrieval(self) -> RetrievalConfig:
        """How documents are to be found for this stage's adapters."""
        return self.parent.retrieval if self.parent else RetrievalConfig.default(self.memory_config)

    @property
    def late_figures(self) -> tuple[str, ...]:
        """Figures that only the last validation of an epoch or of the run measures."""
        return tuple(f"val/{name}" for name in self.answers.names)

    @property
    def is_logged(self) -> bool:
        """Whether the figures of the step in work are logged; the others are not computed.

        A figure that is a number of Python's, as those of the progress bar are, makes the processor wait for the
        device: the next step is then not prepared while this one runs.
        """
        return is_due(self.trainer, self.trainer.global_step + 1)

    @abstractmethod
    def take_data(self, data: Any, *, speaks: bool) -> None:
        """Refuse a DataModule that the stage cannot learn from; what else must be looked at before the first step.

        Args:
            data: the DataModule, set up.
            speaks: whether this process logs what was found.
        """

    @abstractmethod
    def requests(self, examples: Sequence[Any]) -> list[Prompt]:
        """What each example asks of the generator. No backbone is needed for it."""

    @abstractmethod
    def targets(self, examples: Sequence[Any]) -> tuple[int, ...]:
        """What the terms of the loss are means over, counted in some examples: answer tokens, say."""

    @abstractmethod
    def take_over(self, parent: AdapterFolder) -> None:
        """Load what the stage needs from the folder of an earlier one."""

    # --- Lightning hooks -------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Look at the data: a mistake is found before the weights are loaded."""
        self.take_data(self.trainer.datamodule, speaks=self.trainer.is_global_zero)  # type: ignore[attr-defined]

    def configure_model(self) -> None:
        """Load the backbone, put the adapters in, take over the parent's."""
        if hasattr(self, "backbone"):
            return
        refuse_low_precision(str(self.trainer.precision))
        refuse_sharding(self.trainer.strategy, self.backbone_config)
        model, tokenizer = load_pretrained(self.backbone_config)
        self.backbone = ClaraBackbone(
            model,
            tokenizer,
            memory=self.memory_config,
            lora=self.lora,
            prompt=self.prompt,
            adapters=self.adapters,
            gradient_checkpointing=self.backbone_config.gradient_checkpointing,
            queries={QUERY_REASONER: self.query},
        )
        if self.parent is not None:
            self.take_over(self.parent)
        self.backbone.train_only(self.trained)
        self.backbone.train()
        if isinstance(self.trainer.strategy, ShardedStrategy):
            refuse_packed_shards("of its own", packed=self.backbone.is_quantized)
            shard(self.backbone, self.trainer.strategy.device_mesh)

    def on_fit_start(self) -> None:
        """Calibrate a new compressor; say what is trained, and how many documents are longer than what is read."""
        if self.parent is None and self.trainer.ckpt_path is None:
            self.calibrate(self.trainer.datamodule)  # type: ignore[attr-defined]
        if not self.trainer.is_global_zero:
            return
        settings = settings_in_effect(self, self.trainer)
        log.info("%s", as_table(settings))
        self._write(settings)
        for line in without_effect(self, self.trainer):
            log.warning("without effect: %s", line)
        documents = self.trainer.datamodule.documents()[:SAMPLE]  # type: ignore[attr-defined]
        if cut := self.backbone.count_cut(documents):
            limit = self.memory_config.document_tokens
            log.info("%d of %d training documents are longer than %d tokens and are cut", cut, len(documents), limit)

    def calibrate(self, data: Any) -> None:
        """Fit a new compressor's memory to the backbone, on the training documents and questions."""
        with self.backbone.evaluating():
            self.backbone.calibrate(data.documents(), data.questions(), data.answers())

    def trained_beside(self) -> list[torch.nn.Parameter]:
        """What is trained outside the backbone."""
        return []

    def in_effect(self) -> dict[str, str]:
        """What a run shows at its start beside what every stage has."""
        return {}

    def without_effect(self) -> list[str]:
        """One line for each of the stage's settings that was given and changes nothing."""
        return []

    def lr_groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """Who learns at which rate, relative to the optimizer's: adapters; memory tokens, calibration and the like."""
        adapters = [p for p in self.backbone.lm.parameters() if p.requires_grad]
        heads = [p for p in self.backbone.heads.parameters() if p.requires_grad]
        return [(1.0, adapters), (self.memory_lr_scale, heads + self.trained_beside())]

    def configure_optimizers(self) -> Any:
        """The groups of :meth:`lr_groups`; warmup, then cosine."""
        groups = self.lr_groups()
        try:
            optimizer = self.optimizer([{"params": parameters} for _, parameters in groups])
        except (TypeError, ValueError) as error:
            raise ClaraError(f"model.init_args.optimizer: {error}") from error
        for group, (scale, _) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] *= scale
        total = int(self.trainer.estimated_stepping_batches)
        scheduler = LambdaLR(optimizer, lambda step: share_of_peak(step, total=total, config=self.schedule))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Batches are plain records; the backbone puts the tensors it makes of them where it is."""
        return batch

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout by the step alone, so that a resumed run draws what the undisturbed one drew."""
        place = f"{self.run_seed}-{self.trainer.current_epoch}-{batch_idx}-{self.global_rank}"
        torch.manual_seed(zlib.crc32(place.encode()))

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Refuse to go on after a first step that left an adapter without gradient: it would never be trained."""
        if self._gradient_found:
            return
        found = [self._has_gradient(name) for name in self.trained]
        counts = self.trainer.strategy.reduce(torch.tensor(found, device=self.device).long(), reduce_op="sum")
        for name, count in zip(self.trained, counts.tolist(), strict=True):
            if not count:
                raise ClaraError(f"adapter {name!r} got no gradient in the first step: the loss does not depend on it")
        self._gradient_found = True

    def _has_gradient(self, adapter: str) -> bool:
        """Whether some value of an adapter's gradient (of this process's part of it) is not zero."""
        gradients = (parameter.grad for _, parameter in adapter_parameters(self.backbone.lm, adapter))
        return any(bool(own_part(gradient).any()) for gradient in gradients if gradient is not None)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep adapters and memory tokens only, and note the stage."""
        own = set(self.own_state())
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in own}
        checkpoint[STAGE_KEY] = type(self).__name__

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another stage, or one that does not hold exactly this stage's weights."""
        check_stage(checkpoint.get(STAGE_KEY), type(self).__name__)
        own, found = set(self.own_state()), set(checkpoint["state_dict"])
        for word, names in (("lacks", own - found), ("holds unknown", found - own)):
            if names:
                raise ClaraError(f"--ckpt_path: the checkpoint {word} {sorted(names)[0]} ({len(names)} in all)")

    def save_adapters(self, path: str | Path, *, write: bool = True) -> None:
        """Write the adapter folder of this stage and its card; every process calls this, one of them with ``write``."""
        save_adapters(
            self.backbone,
            path,
            config=self.backbone_config,
            stage=type(self).__name__,
            parent=self.parent.fingerprint if self.parent else None,
            retrieval=self.retrieval,
            write=write,
            describe=card_writer(self),
        )

    def own_state(self) -> list[str]:
        """Names of the state that this project adds to the backbone."""
        return [name for name in self.state_dict() if "lora_" in name or name.startswith("backbone.heads.")]

    def load_adapters(self, parent: AdapterFolder, names: Sequence[str]) -> None:
        """Load some adapters of an earlier stage, and say so."""
        load_adapters(self.backbone, parent, names=names, setting="model.init_args.init_from", resize=self.resize)
        self.loaded.extend(names)

    def _write(self, settings: dict[str, str]) -> None:
        path = Path(self.trainer.default_root_dir) / IN_EFFECT
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=1000), encoding="utf-8")


def check_stage(found: str | None, wanted: str) -> None:
    """Refuse to resume a stage from another stage's checkpoint.

    Raises:
        ClaraError: ``found`` is not ``wanted``.
    """
    if found != wanted:
        raise ClaraError(
            f"--ckpt_path: the checkpoint is of {found or 'no stage of clara'}, this run trains {wanted}; "
            "to start from an earlier stage set model.init_args.init_from to its adapter folder"
        )
