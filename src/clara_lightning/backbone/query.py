"""What is learned of a question's vectors beside its adapter: where they point, and how much each counts.

Shapes: N questions, L query vectors, D hidden size, R rank.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from clara_lightning.backbone.memory import MemoryConfig, MemoryHead
from clara_lightning.errors import ClaraError

_FURTHEST = 4.0  # a vector counts at most e^4 times as much as its rarity says, and at least e^-4 times


@dataclass(frozen=True)
class QueryConfig:
    """What is learned of a question's vectors beside its adapter; at first it changes nothing.

    Documents' memory stays as it is, and with it a store and its indexes.

    Args:
        projection: rank of a learned map of the vectors that is added to them; 0: none.
        importance: whether it is learned how much each vector counts in late interaction (``maxsim``). Without it
            that is the rarity of the word it stands on, and vectors that stand on none, where an adapter may put words
            that the question lacks, count nothing.

    Raises:
        ClaraError: the rank is negative.
    """

    projection: int = 0
    importance: bool = False

    def __post_init__(self) -> None:
        if self.projection < 0:
            raise ClaraError(f"model.init_args.query.projection must be >= 0, got {self.projection}")


class QueryHead(MemoryHead):
    """The head of a query reasoner: memory tokens and calibration as a compressor's, and what is learned beside them.

    Args:
        config: kind and sizes of the memory.
        query: what is learned.
        embedding_mean_D: mean of the backbone's input embeddings.
        embedding_std_D: their spread.
        vocab_size: V.
    """

    def __init__(
        self,
        config: MemoryConfig,
        *,
        query: QueryConfig,
        embedding_mean_D: Tensor,
        embedding_std_D: Tensor,
        vocab_size: int,
    ) -> None:
        super().__init__(
            config, embedding_mean_D=embedding_mean_D, embedding_std_D=embedding_std_D, vocab_size=vocab_size
        )
        dim = len(embedding_mean_D)
        self.projection = _low_rank(dim, query.projection) if query.projection else None
        self.importance = _zeros(nn.Linear(dim, 2)) if query.importance else None

    @property
    def learned(self) -> list[str]:
        """Names of what is learned beside, in the state of the head."""
        return [name for name in self.state_dict() if name.startswith(("projection.", "importance."))]

    def memory(self, hidden_NLD: Tensor, anchor_NLD: Tensor | None) -> Tensor:
        """As :meth:`MemoryHead.memory`, and the projection."""
        query_NLD = super().memory(hidden_NLD, anchor_NLD)
        return query_NLD if self.projection is None else query_NLD + self.projection(query_NLD)

    def weights(self, hidden_NLD: Tensor, weights_NL: Tensor) -> Tensor:
        """As :meth:`MemoryHead.weights`, times what is learned, and more for vectors that seem worth it.

        What is added is a part of the question's mean weight, so that a vector without a word can count too.
        """
        if self.importance is None:
            return weights_NL
        hidden_NLD = layer_norm(hidden_NLD.float(), hidden_NLD.shape[-1:])
        factor_NL, added_NL = self.importance(hidden_NLD).unbind(-1)
        factor_NL = factor_NL.clamp(-_FURTHEST, _FURTHEST).exp()
        counted_N1 = (weights_NL > 0).sum(1, keepdim=True).clamp_min(1)
        mean_N1 = weights_NL.sum(1, keepdim=True) / counted_N1
        learned_NL: Tensor = weights_NL * factor_NL + mean_N1 * added_NL.clamp_min(0)
        return learned_NL


def _low_rank(dim: int, rank: int) -> nn.Sequential:
    """Two maps ``(D, R)`` and ``(R, D)``; the second begins with zeros, so that at first nothing is added."""
    first = nn.Linear(dim, rank, bias=False)
    nn.init.normal_(first.weight, std=dim**-0.5, generator=torch.Generator().manual_seed(2))
    return nn.Sequential(first, _zeros(nn.Linear(rank, dim, bias=False)))


def _zeros(layer: nn.Linear) -> nn.Linear:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
