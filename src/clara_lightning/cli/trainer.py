"""``clara fit | validate | test | predict``: LightningCLI with the traps closed."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import StrategyRegistry

from clara_lightning.backbone.adapters import LoraSettings
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.backbone.query import QueryConfig
from clara_lightning.corpus.encoder import CorpusEncoder
from clara_lightning.corpus.mixing import CandidateMix
from clara_lightning.data.corpus import CorpusDataModule
from clara_lightning.data.modules import InstructDataModule, QADataModule, SCPDataModule
from clara_lightning.data.prompts import PromptTemplate
from clara_lightning.errors import ClaraError
from clara_lightning.modules.base import STAGE_KEY, ClaraModule, check_stage
from clara_lightning.modules.best import CHECKPOINT, FOLDER, MID_STEP_KEY, BestCheckpoint
from clara_lightning.modules.card import ModelCard
from clara_lightning.modules.checkpoint import StepCheckpoint
from clara_lightning.modules.compressor import SalientCompressor
from clara_lightning.modules.exporter import AdapterExporter
from clara_lightning.modules.joint import JointRAGModule, check_generator
from clara_lightning.modules.look import LookInside
from clara_lightning.modules.metrics_file import MetricsFile
from clara_lightning.modules.pace import Pace
from clara_lightning.modules.preemption import Preemption
from clara_lightning.modules.schedule import ScheduleConfig
from clara_lightning.modules.sharding import ShardedStrategy
from clara_lightning.modules.watch import Watch

StrategyRegistry.register("sharded", ShardedStrategy, description="FSDP2 for adapters on a frozen backbone")

VERBS = ("fit", "validate", "test", "predict")
CALLBACKS: dict[str, type[Callback]] = {  # in the order in which they are called; a checkpoint always comes last
    "checkpoint": StepCheckpoint,
    "exporter": AdapterExporter,
    "card": ModelCard,
    "metrics": MetricsFile,
    "best": BestCheckpoint,
    "preemption": Preemption,
    "look": LookInside,
    "encoder": CorpusEncoder,
    "watch": Watch,
    "pace": Pace,  # the last, so that its clock stands still for what the others do after a validation
}

log = logging.getLogger(__name__)
CLI = TypeVar("CLI", bound="ClaraCLI")


class ClaraCLI(LightningCLI):
    """The trainer verbs.

    - A checkpoint given with ``--ckpt_path`` never changes the configuration: of another stage, it is refused.
    - ``fit`` writes one run folder (``trainer.default_root_dir``): config, checkpoints, adapters, metrics. A folder
      that holds a run is only touched to resume it.
    - Callbacks that every run needs are groups of their own (``CALLBACKS``), so that a list of callbacks in a
      configuration does not replace them.
    """

    _resumed_step: int | None = None

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callback groups."""
        for name, callback in CALLBACKS.items():
            parser.add_lightning_class_args(callback, name)
        parser.set_defaults({"checkpoint.save_last": True, "checkpoint.every_n_train_steps": 50})
        parser.set_defaults({"trainer.enable_model_summary": False})  # our own line says what is trained

    def before_instantiate_classes(self) -> None:
        """Refuse what would overwrite a run, before anything is touched."""
        settings = self.config[self.subcommand]
        self.run_folder = _run_folder(settings)
        settings.trainer.default_root_dir = str(self.run_folder)
        _keep_adapters_exact(settings)
        measures = self.subcommand in ("validate", "test")
        if measures and not settings.ckpt_path and not settings.model.init_args.get("init_from"):
            raise ClaraError(
                f"clara {self.subcommand}: --ckpt_path or model.init_args.init_from is required: whose weights?"
            )
        holds_run = bool(_checkpoints(_checkpoint_folder(settings)))
        if self.subcommand == "fit" and holds_run and not settings.ckpt_path:
            raise ClaraError(
                f"trainer.default_root_dir: {self.run_folder} already holds a run: "
                "resume it with --ckpt_path last, or choose another folder"
            )
        if self.subcommand == "fit" and settings.checkpoint.dirpath is None:
            settings.checkpoint.dirpath = str(_checkpoint_folder(settings))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that logs into the run folder, where the configuration does not say otherwise."""
        logger = self._get(self.config, "trainer.logger")
        if logger is None or logger is True:
            folder = str(self.run_folder)
            kwargs["logger"] = TensorBoardLogger(folder, name="", version="") if self.subcommand == "fit" else False
        try:
            return super().instantiate_trainer(**kwargs)
        except (ValueError, MisconfigurationException) as error:  # settings that Lightning finds do not go together
            raise ClaraError(f"trainer: {error}") from error

    def _parse_ckpt_path(self) -> None:
        """Read the stage of the checkpoint, and nothing else.

        LightningCLI would take the class and its settings from the checkpoint, silently: ``fit --config joint.yaml
        --ckpt_path stage1.ckpt`` would train stage 1.
        """
        settings = self.config[self.config.subcommand]
        path = settings.get("ckpt_path")
        if not path:
            return
        if path == "last":
            path = _newest_checkpoint(_checkpoint_folder(settings))
            settings.ckpt_path = str(path) if path else None
            if path is None:
                return  # nothing to resume yet: the run starts
        checkpoint = _open_checkpoint(Path(path))
        check_stage(checkpoint.get(STAGE_KEY), settings.model.class_path.split(".")[-1])
        check_generator(checkpoint, settings.model.init_args.get("train_generator", True))
        if self.config.subcommand == "fit" and MID_STEP_KEY in checkpoint:
            raise ClaraError(
                f"--ckpt_path: {path} was saved between two batches of one optimizer step, and does not hold their "
                "gradients; go on from last, or set model.init_args.init_from to the adapters beside its figure"
            )
        self._resumed_step = int(checkpoint["global_step"])

    def after_fit(self) -> None:
        """Say so where there was nothing to do, and fail where retrieval has collapsed."""
        (watch,) = (each for each in self.trainer.callbacks if isinstance(each, Watch))  # type: ignore[attr-defined]
        if watch.collapse is not None:
            best = self.run_folder / FOLDER
            kept = f"the last good adapters are in {best}" if best.is_dir() else "none are kept: best.monitor is null"
            raise ClaraError(
                f"watch: retrieval collapsed after {self.trainer.global_step} steps ({watch.collapse}): the run ends; "
                f"{kept}"
            )
        if self.trainer.global_step == self._resumed_step:
            log.info("%s is finished: step %d was its last one", self.run_folder, self._resumed_step)


def run_trainer(args: ArgsType) -> ClaraCLI:
    """Run one trainer verb.

    Args:
        args: as on the command line, the verb first.

    Raises:
        ClaraError: a mistake in the configuration or the data.
    """
    is_fit = bool(args) and args[0] == "fit"  # type: ignore[index]
    return command_line(ClaraCLI, args, save_config_callback=SaveConfigCallback if is_fit else None)


def parse_settings(args: Sequence[str]) -> dict[str, Any]:
    """The settings of ``clara fit``, parsed and checked as there; nothing is built, read or seeded.

    Args:
        args: configuration files and options, without the verb.
    """
    settings = command_line(ParsedCLI, ["fit", *args], save_config_callback=None).config.fit
    return dict(settings.as_dict())


class ParsedCLI(ClaraCLI):
    """The command line's parser alone."""

    def before_instantiate_classes(self) -> None:
        """Touch no run folder."""
        _keep_adapters_exact(self.config[self.subcommand])

    def instantiate_classes(self) -> None:
        """Build nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        pass

    def _set_seed(self) -> None:
        pass

    def _parse_ckpt_path(self) -> None:
        pass


def command_line(kind: type[CLI], args: ArgsType, *, save_config_callback: Any) -> CLI:
    """The command line of the trainer verbs, run by a class of them."""
    _calm()
    return kind(
        ClaraModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        save_config_callback=save_config_callback,
        save_config_kwargs={"overwrite": True},
        seed_everything_default=0,
        parser_kwargs={"parser_mode": "omegaconf", "exit_on_error": False, "allow_abbrev": False},
        args=args,
    )


def known_settings() -> dict[str, list[str]]:
    """Names of the settings below each path of a configuration, over all stages and DataModules."""
    groups: dict[str, tuple[Callable[..., Any], ...]] = {
        "trainer": (Trainer,),
        "model.init_args": (SalientCompressor, JointRAGModule),
        "model.init_args.backbone": (BackboneConfig,),
        "model.init_args.lora": (LoraSettings,),
        "model.init_args.prompt": (PromptTemplate,),
        "model.init_args.schedule": (ScheduleConfig,),
        "model.init_args.candidates": (CandidateMix,),
        "model.init_args.query": (QueryConfig,),
        "data.init_args": (SCPDataModule, InstructDataModule, QADataModule, CorpusDataModule),
        **{name: (callback,) for name, callback in CALLBACKS.items()},
    }
    known = {
        path: sorted({name for owner in owners for name in inspect.signature(owner).parameters})
        for path, owners in groups.items()
    }
    return known | {"": ["model", "data", "trainer", "ckpt_path", "seed_everything", *CALLBACKS]}


def _keep_adapters_exact(settings: Any) -> None:
    """Take ``trainer.precision bf16-true`` for what it means here: of the frozen backbone.

    Lightning would round the adapters too, and in bfloat16 a weight of 0.02 cannot take an update below 1e-4.
    """
    dtype = {"bf16-true": "bfloat16", "16-true": "float16"}.get(str(settings.trainer.precision))
    if dtype is None:
        return
    backbone = settings.model.init_args.backbone
    if backbone.dtype not in ("auto", dtype):
        raise ClaraError(
            f"trainer.precision {settings.trainer.precision} and model.init_args.backbone.dtype {backbone.dtype} "
            "contradict each other"
        )
    log.info(
        "trainer.precision %s: the frozen backbone is %s; adapters and optimizer states stay float32",
        *(settings.trainer.precision, dtype),
    )
    backbone.dtype, settings.trainer.precision = dtype, "32-true"


def _run_folder(settings: Any) -> Path:
    return Path(settings.trainer.default_root_dir or f"runs/{settings.model.class_path.split('.')[-1]}")


def _checkpoint_folder(settings: Any) -> Path:
    return Path(settings.checkpoint.dirpath or _run_folder(settings) / "checkpoints")


def _checkpoints(folder: Path) -> list[Path]:
    """What a run can go on from, newest first; the best step is kept for its weights, and may be none of these."""
    found = [path for path in folder.glob("*.ckpt") if path.name != CHECKPOINT]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _newest_checkpoint(folder: Path) -> Path | None:
    """The newest readable checkpoint: where the temporary folder is on another disk, a kill can cut one short."""
    for path in _checkpoints(folder):
        try:
            _open_checkpoint(path)
        except ClaraError as error:
            log.warning("%s; going back to an earlier one", error)
        else:
            return path
    return None


def _open_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint, its tensors left on disk."""
    if not path.is_file():
        raise ClaraError(f"--ckpt_path: no such file: {path}")
    try:
        return torch.load(path, weights_only=True, map_location="cpu", mmap=True)  # type: ignore[no-any-return]
    except Exception as error:  # torch raises what unpickling and the zip reader raise
        raise ClaraError(f"--ckpt_path: {path} is no checkpoint: {' '.join(str(error).split())[:200]}") from error


def _calm() -> None:
    """Silence advice that does not apply here; what does apply is said by our own lines."""
    quiet = ("pytorch.utilities.rank_zero", "fabric.utilities.seed", "fabric.utilities.distributed")
    for name in (f"lightning.{module}" for module in quiet):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*LightningCLI's args parameter is intended.*",
        ".*does not have many workers.*",  # batches are lists of records: there is nothing to parallelise
        ".*is smaller than the logging interval.*",
        ".*`is_gradient_checkpointing` is deprecated.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*treespec, LeafSpec.*",
        ".*overridden `transfer_batch_to_device`.*",
        ".*`IterableDataset` has `__len__` defined.*",  # one process reads: the length is exact
        ".*Total length of `(DataLoader|list)` across ranks is zero.*",  # a finished store; no validation file
    ):
        warnings.filterwarnings("ignore", message)
