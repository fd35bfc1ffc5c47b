"""What a validation watches beside scores: whether the memory is used, and whether retrieval has collapsed.

Metrics over batches and processes, as in ``metrics.py``.

Shapes: B questions, K selected documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from clara_lightning.objectives.losses import information_retained
from clara_lightning.objectives.metrics import collapse_statistics


class ConditionLosses(Metric):
    """Mean cross-entropy of the answers under each of several backgrounds, and the information retained.

    Every state is a sum, so that a reduction over processes gives what one process would have given.

    Args:
        conditions: names of the backgrounds; ``none``, ``memory`` and ``text`` are among them. ``memory_16`` and the
            like are memories of other lengths.
        kwargs: of :class:`torchmetrics.Metric`.

    Example:
        >>> metric = ConditionLosses(("none", "memory", "text"))
        >>> for name, loss in (("none", 9.0), ("memory", 6.0), ("text", 3.0)):
        ...     metric.update(name, torch.tensor([loss]), torch.tensor([3]))
        >>> metric.compute()
        {'ce_none': 3.0, 'ce_memory': 2.0, 'ce_text': 1.0, 'information_retained': 0.5}
    """

    is_differentiable = False
    full_state_update = False

    sums: Tensor
    tokens: Tensor

    def __init__(self, conditions: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conditions = tuple(conditions)
        self.add_state("sums", default=torch.zeros(len(self.conditions)), dist_reduce_fx="sum")
        self.add_state("tokens", default=torch.zeros(len(self.conditions), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, condition: str, sum_B: Tensor, tokens_B: Tensor) -> None:
        """Add a batch under one condition.

        Args:
            condition: its name.
            sum_B: negative log-likelihood of each answer, in nats.
            tokens_B: tokens of each answer.
        """
        index = self.conditions.index(condition)
        self.sums[index] += sum_B.sum()
        self.tokens[index] += tokens_B.sum()

    def compute(self) -> dict[str, float]:
        """``ce_CONDITION`` for each, nats a token, and ``information_retained``; nan where nothing was added.

        For ``memory_16`` and the like also ``information_retained_16``.
        """
        means = (self.sums / self.tokens).tolist()
        ce = {f"ce_{name}": mean for name, mean in zip(self.conditions, means, strict=True)}
        retained = {
            f"information_retained{name.removeprefix('memory')}": information_retained(
                ce_none=ce["ce_none"], ce_memory=ce[f"ce_{name}"], ce_text=ce["ce_text"]
            )
            for name in self.conditions
            if name.startswith("memory")
        }
        return ce | retained


class SelectionCollapse(Metric):
    """:func:`~clara_lightning.objectives.metrics.collapse_statistics` over all batches and processes.

    Which documents are the same is known only when all are together, so the state is a list of numbers and no sum.

    Args:
        kwargs: of :class:`torchmetrics.Metric`.

    Example:
        >>> metric = SelectionCollapse()
        >>> metric.update(torch.tensor([[7, 8]]))
        >>> metric.update(torch.tensor([[7, 9]]))
        >>> metric.compute()["distinct_share"]
        0.75
    """

    is_differentiable = False
    full_state_update = False

    selected: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("selected", default=[], dist_reduce_fx="cat")

    def update(self, document_ids_BK: Tensor) -> None:
        """Add a batch; see :func:`~clara_lightning.objectives.metrics.collapse_statistics`."""
        self.selected.append(document_ids_BK)

    def compute(self) -> dict[str, float]:
        """``distinct_share``, ``top_share`` and ``entropy``."""
        return collapse_statistics(dim_zero_cat(self.selected))
