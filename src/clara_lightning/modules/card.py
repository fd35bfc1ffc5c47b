"""The model card beside the adapters of a run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer

from clara_lightning.backbone.folder import AdapterFolder
from clara_lightning.data.examples import ExamplesDataModule
from clara_lightning.errors import ClaraError
from clara_lightning.modules.metrics_file import MetricsFile, read_rows
from clara_lightning.modules.overview import IN_EFFECT, validates
from clara_lightning.modules.pace import Pace
from clara_lightning.publishing.card import FILE, model_card
from clara_lightning.publishing.training import DataFile, Training

if TYPE_CHECKING:
    from clara_lightning.modules.base import ClaraModule

TOLD = (
    *("compressor", "generator", "query_reasoner", "LoRA", "objective", "optimizer", "batch", "precision", "devices"),
    *("activation checkpointing", "seed", "versions"),
)
"""Settings in effect that a card repeats: none of them names a file or a folder."""

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


class ModelCard(Callback):
    """Puts ``README.md`` into every adapter folder that ``clara fit`` writes; without it there is none.

    All that it says is read where it lies already: header, settings in effect, ``metrics.csv``, the clock of
    :class:`~clara_lightning.modules.pace.Pace`. So a run that was killed and resumed has the card of an undisturbed
    one, but for the seconds.

    Args:
        license: of the adapters, an identifier of the Hub (``apache-2.0``, ``other``).
        data_license: words on the licence of the training data.
    """

    def __init__(self, license: str | None = None, data_license: str | None = None) -> None:
        if license is not None and not _LICENSE.fullmatch(license):
            raise ClaraError(f"card.license must be an identifier of the Hub, as apache-2.0 or other, got {license!r}")
        self.license = license
        self.data_license = data_license
        self._hashes: dict[str, str | None] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the checksums of the data, before the run is timed."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if trainer.is_global_zero and isinstance(data, ExamplesDataModule):
            paths = {path for path in (data.train_path, data.val_path) if path}
            self._hashes = {path: _sha256(path) for path in sorted(paths)}

    def write(self, folder: Path, *, module: ClaraModule) -> None:
        """Write the card into a finished adapter folder; one process calls this."""
        card = model_card(AdapterFolder.open(folder), training=self.training(module))
        (folder / FILE).write_text(card, encoding="utf-8")

    def training(self, module: ClaraModule) -> Training:
        """What is known of the training that ``module`` is in."""
        trainer = module.trainer
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        known = data if isinstance(data, ExamplesDataModule) else None
        validation = (
            self._file(known.val_path, _rows_validated(trainer, known)) if known and validates(trainer) else None
        )
        return Training(
            settings=_settings(trainer),
            steps=trainer.global_step,
            rows_seen=_rows_seen(trainer, known) if known else None,
            seconds=next((found.seconds for found in _callbacks(trainer, Pace)), None),
            train=self._file(known.train_path, len(known.train_rows)) if known else None,
            validation=validation,
            answered_rows=min(module.answers.rows, validation.rows) if validation else 0,
            metrics=_metrics(trainer),
            monitor=_monitor(trainer),
            license=self.license,
            data_license=self.data_license,
        )

    def _file(self, path: str | None, rows: int) -> DataFile | None:
        if path is None:
            return None
        return DataFile(path if path.startswith("hf:/") else Path(path).name, rows, self._hashes.get(path))


def card_writer(module: ClaraModule) -> Callable[[Path], None] | None:
    """What puts the card of a run into an adapter folder; None where the run writes none."""
    for card in _callbacks(module._trainer, ModelCard):
        return partial(card.write, module=module)
    return None


def _callbacks(trainer: Trainer | None, kind: type[Any]) -> list[Any]:
    return [callback for callback in getattr(trainer, "callbacks", []) if isinstance(callback, kind)]


def _settings(trainer: Trainer) -> dict[str, str]:
    path = Path(trainer.default_root_dir) / IN_EFFECT
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    weights = settings["backbone"].rpartition(": ")[2]  # without its name
    return {"backbone": weights, **{name: settings[name] for name in TOLD if name in settings}}


def _metrics(trainer: Trainer) -> list[dict[str, float]]:
    """Rows of ``metrics.csv`` of the steps that are done."""
    for file in _callbacks(trainer, MetricsFile):
        path = file.path(trainer)
        rows = read_rows(path) if path.is_file() else []
        figures = ({name: float(value) for name, value in row.items()} for row in rows)
        return [row for row in figures if row["step"] < trainer.global_step]
    return []


def _monitor(trainer: Trainer) -> tuple[str, str] | None:
    from clara_lightning.modules.best import BestCheckpoint  # which imports the module that imports this one

    for best in _callbacks(trainer, BestCheckpoint):
        if best.monitor is not None:
            return best.monitor, best.mode
    return None


def _rows_validated(trainer: Trainer, data: ExamplesDataModule[Any, Any]) -> int:
    """Fewer than the file has, with ``trainer.limit_val_batches``: a number of batches, or a share of them."""
    rows, size, limit = len(data.val_rows), data.batch_size * trainer.world_size, trainer.limit_val_batches
    batches = limit if isinstance(limit, int) else int(limit * -(-rows // size))
    return min(rows, batches * size)


def _rows_seen(trainer: Trainer, data: ExamplesDataModule[Any, Any]) -> int:
    """Rows that the steps so far have read; a function of their number, so that a resume changes nothing."""
    batches = int(trainer.num_training_batches)  # of an epoch, on each process
    parts, rows = trainer.accumulate_grad_batches, data.batch_size * trainer.world_size
    epochs, steps = divmod(trainer.global_step, -(-batches // parts))
    return (epochs * batches + min(steps * parts, batches)) * rows


def _sha256(path: str) -> str | None:
    """Of a file; of a folder, over names and contents; None on the hub."""
    place = Path(path)
    if place.is_dir():
        digest = hashlib.sha256()
        for file in sorted(each for each in place.rglob("*") if each.is_file()):
            digest.update(f"{file.relative_to(place).as_posix()}\0{_sha256(str(file))}\n".encode())
        return digest.hexdigest()
    if path.startswith("hf:/") or not place.is_file():
        return None
    with place.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
