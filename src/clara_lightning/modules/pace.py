"""How fast a training runs, and whether its data keeps up."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import Any, NamedTuple

from lightning.pytorch import Callback, LightningModule, Trainer

from clara_lightning.data.loading import BatchLoader
from clara_lightning.errors import ClaraError
from clara_lightning.modules.metrics_file import is_due

STRETCH = 50  # steps over which a wait is judged: the first batches of an epoch always take a moment

log = logging.getLogger(__name__)


class Mark(NamedTuple):
    """How far a training is.

    Attributes:
        steps: optimizer steps done.
        seconds: on a clock that stands still during validations.
        waited: seconds spent waiting for batches.
    """

    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    def since(self, other: Mark) -> Mark:
        """What lies between an earlier mark and this one."""
        return Mark(self.steps - other.steps, self.seconds - other.seconds, self.waited - other.waited)

    @property
    def share(self) -> float:
        """Share of the time spent waiting."""
        return self.waited / self.seconds if self.seconds else 0.0


class Pace(Callback):
    """Logs ``train/step_seconds`` and ``train/data_wait`` over the steps since the last log, and warns of a long wait.

    ``data_wait`` is the share of the time, 0 to 1, in which the next batch was not there yet. It is measured in a
    :class:`~clara_lightning.data.loading.BatchLoader`, and left out with any other loader. Time is all that passes in
    training but for validations. Each process measures its own; loggers get the first one's.

    Figures of time differ from run to run. They go to the loggers and not into ``metrics.csv``, which is the same
    however often a run was killed and resumed. A checkpoint holds the seconds up to it, so that a resumed run knows
    how long the steps took that it stands on; what a kill threw away is not counted.

    Args:
        max_wait: warn, once, where more than this share of 50 steps' time was spent waiting; 1 never warns.
    """

    def __init__(self, max_wait: float = 0.2) -> None:
        if not 0 <= max_wait <= 1:
            raise ClaraError(f"pace.max_wait must be between 0 and 1, got {max_wait}")
        self.max_wait = max_wait
        self._validations = 0.0  # seconds of those that are over
        self._stopped_at: float | None = None  # while a validation runs, and after the end
        self._waited = 0.0
        self._seconds_before = 0.0  # of the parts that this run goes on from
        self._runs = False
        self._start = self._logged = self._judged = Mark()
        self._warned = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin."""
        self._stopped_at, self._runs = None, True
        self._start = self._logged = self._judged = self._now(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """The batch is there."""
        loader = trainer.train_dataloader
        self._waited += loader.seconds_waited if isinstance(loader, BatchLoader) else 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log after a step that is logged; judge after a stretch of steps."""
        done = trainer.global_step
        if done > self._logged.steps and is_due(trainer, done):
            now = self._now(trainer)
            self._log(trainer, now.since(self._logged))
            self._logged = now
        if done - self._judged.steps >= STRETCH:
            now = self._now(trainer)
            self._judge(trainer, now.since(self._judged))
            self._judged = now

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._stopped_at = perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let it go on."""
        if self._stopped_at is not None:
            self._validations += perf_counter() - self._stopped_at
            self._stopped_at = None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how it went."""
        self._stopped_at = perf_counter()
        whole = self._now(trainer).since(self._start)
        if whole.steps and trainer.is_global_zero:
            text = "%d steps of %.3g seconds each, validations apart; %.0f%% of the time was spent waiting for batches"
            log.info(text, whole.steps, whole.seconds / whole.steps, 100 * whole.share)

    @property
    def seconds(self) -> float:
        """Seconds of training so far, validations apart, over all parts of a resumed run."""
        return self._seconds_before + (self._clock() - self._start.seconds if self._runs else 0.0)

    def state_dict(self) -> dict[str, Any]:
        """The seconds up to a checkpoint."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The seconds of the parts before this one."""
        self._seconds_before = state_dict["seconds"]

    def _clock(self) -> float:
        return (perf_counter() if self._stopped_at is None else self._stopped_at) - self._validations

    def _now(self, trainer: Trainer) -> Mark:
        return Mark(trainer.global_step, self._clock(), self._waited)

    def _log(self, trainer: Trainer, part: Mark) -> None:
        figures = {"train/step_seconds": part.seconds / part.steps}
        if isinstance(trainer.train_dataloader, BatchLoader):
            figures["train/data_wait"] = part.share
        for logger in trainer.loggers:
            logger.log_metrics(figures, step=trainer.global_step - 1)

    def _judge(self, trainer: Trainer, part: Mark) -> None:
        if part.share <= self.max_wait or self._warned:
            return
        self._warned = True
        log.warning(
            "%.0f%% of the time of %d steps was spent waiting for batches: raise data.init_args.num_workers, so that "
            "more of them are made while steps run",
            *(100 * part.share, part.steps),
        )
