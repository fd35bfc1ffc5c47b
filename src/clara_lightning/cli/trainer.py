"""``clara fit | validate | test | predict``: LightningCLI with the traps closed."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from clara_lightning.corpus.encoder import CorpusEncoder
from clara_lightning.errors import ClaraError
from clara_lightning.modules.base import STAGE_KEY, ClaraModule, check_stage
from clara_lightning.modules.exporter import AdapterExporter

VERBS = ("fit", "validate", "test", "predict")


class ClaraCLI(LightningCLI):
    """The trainer verbs.

    - A checkpoint given with ``--ckpt_path`` never changes the configuration: of another stage, it is refused.
    - ``fit`` writes one run folder (``trainer.default_root_dir``): config, checkpoints, adapters, metrics. A folder
      that holds a run is only touched to resume it.
    - Callbacks that every run needs are groups of their own (``checkpoint``, ``exporter``, ``encoder``), so that a
      list of callbacks in a configuration does not replace them.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callback groups."""
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults({"checkpoint.save_last": True, "checkpoint.every_n_train_steps": 50})
        parser.set_defaults({"trainer.enable_model_summary": False})  # our own line says what is trained
        parser.add_lightning_class_args(AdapterExporter, "exporter")
        parser.add_lightning_class_args(CorpusEncoder, "encoder")

    def before_instantiate_classes(self) -> None:
        """Refuse what would overwrite a run, before anything is touched."""
        settings = self.config[self.subcommand]
        self.run_folder = Path(settings.trainer.default_root_dir or f"runs/{settings.model.class_path.split('.')[-1]}")
        settings.trainer.default_root_dir = str(self.run_folder)
        holds_run = (self.run_folder / "checkpoints").exists()
        if self.subcommand == "fit" and holds_run and not settings.ckpt_path:
            raise ClaraError(
                f"trainer.default_root_dir: {self.run_folder} already holds a run: "
                "resume it with --ckpt_path last, or choose another folder"
            )
        if self.subcommand == "fit" and settings.checkpoint.dirpath is None:
            settings.checkpoint.dirpath = str(self.run_folder / "checkpoints")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that logs into the run folder, where the configuration does not say otherwise."""
        logger = self._get(self.config, "trainer.logger")
        if logger is None or logger is True:
            kwargs["logger"] = self._loggers() if self.subcommand == "fit" else False
        return super().instantiate_trainer(**kwargs)

    def _loggers(self) -> list[Any]:
        folder = str(self.run_folder)
        return [TensorBoardLogger(folder, name="", version=""), CSVLogger(folder, name="", version="")]

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
            path = Path(settings.trainer.default_root_dir or "") / "checkpoints" / "last.ckpt"
            if not path.is_file():
                return  # nothing to resume yet: the run starts
            settings.ckpt_path = str(path)
        if not Path(path).is_file():
            raise ClaraError(f"--ckpt_path: no such file: {path}")
        try:
            checkpoint = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
        except Exception as error:  # torch raises what unpickling and the zip reader raise
            raise ClaraError(f"--ckpt_path: {path} is no checkpoint: {' '.join(str(error).split())[:200]}") from error
        check_stage(checkpoint.get(STAGE_KEY), settings.model.class_path.split(".")[-1])


def run_trainer(args: ArgsType) -> ClaraCLI:
    """Run one trainer verb.

    Args:
        args: as on the command line, the verb first.

    Raises:
        ClaraError: a mistake in the configuration or the data.
    """
    _calm()
    is_fit = bool(args) and args[0] == "fit"  # type: ignore[index]
    return ClaraCLI(
        ClaraModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        auto_configure_optimizers=False,
        load_from_checkpoint_support=False,
        save_config_callback=SaveConfigCallback if is_fit else None,
        save_config_kwargs={"overwrite": True},
        seed_everything_default=0,
        parser_kwargs={"parser_mode": "omegaconf", "exit_on_error": False},
        args=args,
    )


def _calm() -> None:
    """Silence advice that does not apply here; what does apply is said by our own lines."""
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
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
        ".*Total length of `DataLoader` across ranks is zero.*",  # a store that is finished already
    ):
        warnings.filterwarnings("ignore", message)
