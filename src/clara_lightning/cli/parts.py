"""The stage and the data of a configuration, as ``clara fit`` would build them, without a trainer or weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import LightningDataModule

from clara_lightning.cli.trainer import ParsedCLI, command_line
from clara_lightning.data.examples import ExamplesDataModule
from clara_lightning.errors import ClaraError
from clara_lightning.modules.base import ClaraModule


def stage_and_data(args: Sequence[str]) -> tuple[ClaraModule, ExamplesDataModule[Any, Any]]:
    """The module and the DataModule of ``clara fit``; files are read and looked at, no backbone is loaded.

    Args:
        args: configuration files and options, without the verb.

    Raises:
        ClaraError: as ``clara fit`` would raise before it loads weights; or the data is not to be trained on.
    """
    built = command_line(_Built, ["fit", *args], save_config_callback=None)
    module, data = built.stage, built.data
    if not isinstance(data, ExamplesDataModule):
        raise ClaraError(
            f"data.class_path: {type(data).__name__} has no examples to train on; "
            "there are SCPDataModule, InstructDataModule and QADataModule"
        )
    data.setup("fit")
    module.take_data(data, speaks=True)
    return module, data


class _Built(ParsedCLI):
    """Stage and data alone."""

    stage: ClaraModule
    data: LightningDataModule

    def instantiate_classes(self) -> None:
        """Build both; loggers and callbacks, which may write or connect, are not built."""
        trainer = self.config[self.subcommand].trainer
        trainer.logger, trainer.callbacks, trainer.plugins, trainer.profiler = False, None, None, None
        built = self.parser.instantiate_classes(self.config)
        self.stage, self.data = self._get(built, "model"), self._get(built, "data")
