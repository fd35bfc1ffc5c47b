"""Stage 3 from its first figures on: what to expect of a training, and an end where its retrieval collapses."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from clara_lightning.backbone.folder import IN_RUN, replace_folder
from clara_lightning.errors import ClaraError
from clara_lightning.modules.best import FOLDER
from clara_lightning.modules.joint import JointRAGModule
from clara_lightning.modules.metrics_file import validated
from clara_lightning.modules.overview import validates

WEAK = 0.7
"""Recall, or share of questions that their documents help, under which the answer's loss alone is a risk.

In a toy of 20 candidates it sharpened retrievers that began at 0.79, and spoilt one that began at 0.52. On real
questions, of which two documents were read, it took Recall@1/5 from 0.17/0.53 to 0.13/0.43 in 20 steps, from 0.52/0.79
to 0.09/0.52, and left 0.60/0.85 (at 2 0.74) as it was (docs/joint-training.md)."""

log = logging.getLogger(__name__)


class Watch(Callback):
    """Measures stage 3 before its first step, and ends it where retrieval collapses; does nothing in other stages.

    A run that ends so has the adapters of its best validation (``best.monitor``) in ``RUN/adapters``, which may be
    those of its start, and the command fails.

    Args:
        start: validate before the first step. The figures stand in front of those of the first step; where it is the
            best, the start is what ``best`` keeps.
        min_recall: the run ends where recall of the documents that are read falls under this share of its first
            figure; ``None`` never ends it. Questions without gold documents have no recall.
        max_top_share: the run ends where more than this share of all questions takes the same document, and twice as
            many as at first; ``None`` never ends it.

    Raises:
        ClaraError: a share is out of range.
    """

    def __init__(self, start: bool = False, min_recall: float | None = 0.5, max_top_share: float | None = 0.5) -> None:
        for name, value in (("min_recall", min_recall), ("max_top_share", max_top_share)):
            if value is not None and not 0 < value <= 1:
                raise ClaraError(f"watch.{name} must be above 0 and at most 1, got {value}")
        self.start = start
        self.min_recall = min_recall
        self.max_top_share = max_top_share
        self.collapse: str | None = None
        self._first: dict[str, float] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure a new run, and say what to expect of it."""
        begins = trainer.global_step == 0 and not self._first
        if not self.start or not begins or not isinstance(pl_module, JointRAGModule) or not validates(trainer):
            return
        validate(trainer)
        if trainer.is_global_zero:
            level, text = expectation(self._first, pl_module)
            log.log(level, "%s", text)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the run if its retrieval has collapsed."""
        if trainer.state.fn != "fit" or trainer.sanity_checking or not isinstance(pl_module, JointRAGModule):
            return
        figures = validated(trainer)
        if not self._first:
            self._first = figures
            return
        self.collapse = trainer.strategy.broadcast(self._collapse(figures, top_k=pl_module.top_k))
        if self.collapse is not None:
            trainer.should_stop = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the last good adapters in the place of collapsed ones."""
        best = Path(trainer.default_root_dir) / FOLDER / IN_RUN
        if self.collapse is None or not trainer.is_global_zero or not best.is_dir():
            return
        target = Path(trainer.default_root_dir) / IN_RUN
        working = target.with_name(f".{IN_RUN}-last-good")
        shutil.rmtree(working, ignore_errors=True)
        shutil.copytree(best, working)
        replace_folder(working, target)

    def state_dict(self) -> dict[str, Any]:
        """The first figures; nothing before there are any."""
        return {"first": self._first} if self._first else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The first figures of the run that is resumed."""
        self._first = state_dict["first"]

    def without_effect(self, trainer: Trainer) -> list[str]:
        """One line for each setting that changes nothing."""
        if not self.start:
            return []
        if not isinstance(trainer.lightning_module, JointRAGModule):
            return ["watch.start: this stage is not JointRAGModule"]
        return [] if validates(trainer) else ["watch.start: there is no data.init_args.val to measure on"]

    def _collapse(self, figures: Mapping[str, float], *, top_k: int) -> str | None:
        """What shows that retrieval has collapsed."""
        recall, top = f"val/recall@{top_k}", "val/top_share"
        lost = _falls(figures, self._first, recall, self.min_recall)
        share, at_first = figures.get(top, math.nan), self._first.get(top, math.nan)
        alike = self.max_top_share is not None and share > self.max_top_share and share > 2 * at_first
        if not lost and not alike:
            return None
        names = (recall, "val/mrr", top, "val/distinct_share", "val/ce_retrieved")
        known = [name for name in names if not math.isnan(figures.get(name, math.nan))]
        return ", ".join(f"{name} {self._first.get(name, math.nan):.3f} -> {figures[name]:.3f}" for name in known)


def _falls(figures: Mapping[str, float], first: Mapping[str, float], name: str, share: float | None) -> bool:
    """Whether a figure is under a share of its first value; nan is under nothing."""
    return share is not None and figures.get(name, math.nan) < share * first.get(name, math.nan)


def expectation(figures: Mapping[str, float], module: JointRAGModule) -> tuple[int, str]:
    """What a training will probably make of its start, as a level of logging and one line.

    Args:
        figures: of the validation before the first step.
        module: how it is trained.
    """
    recall = figures.get(f"val/recall@{module.top_k}", math.nan)
    helped = figures.get("val/success_rate", math.nan)
    known = not math.isnan(recall)
    found = f"recall@{module.top_k} {recall:.2f}" if known else "recall is unknown"
    text = f"before training: {found}; what was taken makes {helped:.0%} of the answers likelier"
    if not module.select.only_rows or (recall if known else helped) >= WEAK:
        return logging.INFO, text
    return logging.WARNING, (
        f"{text}. The answer's loss sharpens a retriever that finds the documents, and may spoil one that does not: "
        "warm it up first (configs/retrieval.yaml), or add Contrastive or Distill to model.init_args.estimators"
    )


def validate(trainer: Trainer) -> None:
    """Run a validation before the first step, with all that belongs to one: hooks, loggers, callbacks.

    Lightning has no call for it: ``Trainer.validate`` is another run. These are the lines of its training loop
    (``_TrainingEpochLoop.on_advance_end``).
    """
    connector = trainer._logger_connector
    trainer.validating, first_loop_iter = True, connector._first_loop_iter
    trainer.fit_loop.epoch_loop.val_loop.run()
    trainer.training, connector._first_loop_iter = True, first_loop_iter
