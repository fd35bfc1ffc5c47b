"""Keys: short vectors of memory and of queries whose inner products stand in for a score.

A key is a vector of the memory, centred and turned onto the directions in which a sample of the store differs most
(principal components). Which vector that is, the score says:

- ``mean``: the direction of the mean memory vector, one for each document. Without reduction it is the score itself.
- ``flat``: the whole memory laid flat, one for each document.
- ``maxsim``: every memory token, L for each document; a query's key meets whichever of them is nearest.

Taking off the centre changes a query's inner products with all documents by the same number, so no order.

Shapes: B queries, N documents, L memory tokens, D hidden size, P keys a document, Q keys a query, K numbers of a key,
V numbers of the vector that it is made from, S vectors of a sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from clara_lightning.errors import ClaraError
from clara_lightning.objectives.scores import EPS, ScoreName

DEFAULT_DIM: dict[ScoreName, int] = {"maxsim": 128, "flat": 512, "mean": 512}
MAX_DIM = 1024
KEYS_FILE = "keys.safetensors"
SAMPLE_VECTORS: dict[ScoreName, int] = {"maxsim": 32_768, "flat": 4096, "mean": 16_384}
"""Vectors that principal components are found from; a flattened memory is long, so of those there are fewer."""


@dataclass(frozen=True)
class Keys:
    """Makes keys for one score.

    Attributes:
        score: which.
        centre_V: mean of the sample.
        basis_VK: the directions kept, of length 1 and at right angles.
    """

    score: ScoreName
    centre_V: Tensor
    basis_VK: Tensor

    @property
    def dim(self) -> int:
        """K."""
        return self.basis_VK.shape[1]

    def of_documents(self, memory_NLD: Tensor) -> Tensor:
        """Keys ``(N, P, K)`` of documents, float32."""
        return (_vectors(self.score, memory_NLD) - self.centre_V) @ self.basis_VK

    def of_queries(self, query_BLD: Tensor, weights_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Keys of queries, and what each key counts.

        Args:
            query_BLD: the queries' vectors.
            weights_BL: their importance, as in :func:`clara_lightning.objectives.scores.maxsim`.

        Returns:
            ``(B, Q, K)`` keys and ``(B, Q)`` weights that add up to 1 for each query, both float32. A score is about
            the weighted sum, over the query's keys, of the best inner product with a key of the document.
        """
        keys_BQK = _vectors(self.score, query_BLD) @ self.basis_VK
        if self.score != "maxsim":
            return keys_BQK, keys_BQK.new_ones(keys_BQK.shape[:2])
        weights_BL = weights_BL.float()
        empty_B1 = weights_BL.sum(dim=1, keepdim=True) <= 0
        weights_BL = torch.where(empty_B1, torch.ones_like(weights_BL), weights_BL)
        return keys_BQK, weights_BL / weights_BL.sum(dim=1, keepdim=True)

    def save(self, path: Path) -> None:
        """Write centre and basis to a safetensors file."""
        tensors = {"centre": self.centre_V.contiguous(), "basis": self.basis_VK.contiguous()}
        save_file(tensors, str(path), metadata={"score": self.score})

    @classmethod
    def load(cls, path: Path, *, score: ScoreName) -> Keys:
        """Read what :meth:`save` wrote.

        Raises:
            ClaraError: the file cannot be read.
        """
        try:
            with safe_open(str(path), framework="pt") as file:
                return cls(score, file.get_tensor("centre"), file.get_tensor("basis"))
        except (OSError, SafetensorError) as error:
            raise ClaraError(f"{path}: cannot be read: {error}") from error


def keys_a_document(score: ScoreName, memory_shape: tuple[int, int]) -> int:
    """P: the number of keys of a document whose memory is ``(L, D)``."""
    return memory_shape[0] if score == "maxsim" else 1


def vector_size(score: ScoreName, memory_shape: tuple[int, int]) -> int:
    """V: the numbers of the vector that a key is made from."""
    return math.prod(memory_shape) if score == "flat" else memory_shape[1]


def train_keys(memory_NLD: Tensor, *, score: ScoreName, dim: int) -> Keys:
    """Find the principal directions of a sample of documents.

    Args:
        memory_NLD: the sample.
        score: what the keys are for.
        dim: numbers of a key, at most; there are never more than the sample or the vector has.
    """
    vectors_SV = _vectors(score, memory_NLD).flatten(0, 1)
    centre_V = vectors_SV.mean(dim=0)
    basis_VK = _principal(vectors_SV - centre_V, dim=min(dim, *vectors_SV.shape))
    return Keys(score, centre_V, basis_VK)


def _vectors(score: ScoreName, memory_NLD: Tensor) -> Tensor:
    """What a score compares, of length 1: ``(N, P, V)`` in float32."""
    memory_NLD = memory_NLD.float()
    if score == "maxsim":
        return F.normalize(memory_NLD, dim=-1, eps=EPS)
    whole_NV = memory_NLD.flatten(1) if score == "flat" else memory_NLD.mean(dim=1)
    return F.normalize(whole_NV, dim=-1, eps=EPS).unsqueeze(1)


def _principal(centred_SV: Tensor, *, dim: int) -> Tensor:
    """Principal directions ``(V, K)``, the strongest first, from whichever of the two product matrices is smaller."""
    samples, size = centred_SV.shape
    if size <= samples:
        vectors_VV: Tensor = torch.linalg.eigh(centred_SV.T @ centred_SV).eigenvectors
        return vectors_VV.flip(1)[:, :dim]
    values_S, vectors_SS = torch.linalg.eigh(centred_SV @ centred_SV.T)
    values_S, vectors_SS = values_S.flip(0)[:dim], vectors_SS.flip(1)[:, :dim]
    kept = values_S > values_S[0] * 1e-7  # the mean was taken off, so the last direction is nothing but rounding
    return F.normalize(centred_SV.T @ vectors_SS[:, kept], dim=0)
