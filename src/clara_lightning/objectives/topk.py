"""Straight-through top-k: hard documents forward, their soft mixture backward.

Shapes: B questions, N candidate documents, K slots (documents that the generator reads), L memory tokens, D hidden
size.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from clara_lightning.errors import ClaraError

Estimator = Literal["straight_through", "published"]
Noise = Literal["none", "gumbel"]

PUBLISHED_LEAK = 1e-8
"""What the published estimator adds to its mask of documents not yet taken, before the logarithm."""


class TopKSelection(NamedTuple):
    """Which document each slot took.

    Attributes:
        selection_BKN: exactly one-hot rows that carry the gradient of the soft choice.
        indices_BK: the same choice as candidate numbers, best first.
    """

    selection_BKN: Tensor
    indices_BK: Tensor


def straight_through_top_k(
    scores_BN: Tensor,
    candidate_mask_BN: Tensor | None = None,
    *,
    k: int,
    temperature: float,
    estimator: Estimator = "straight_through",
) -> TopKSelection:
    r"""Fill k slots with the best documents, differentiably (paper arXiv 2511.18659, stage 3 and appendix A).

    Slot :math:`j` takes the best document that no earlier slot took, and

    .. math:: p_j = \mathrm{softmax}(s / \tau + \log m_j), \quad Z_j = \mathrm{onehot}_j + (p_j - \mathrm{sg}(p_j))

    where :math:`m_j` is 0 for a masked or taken document and 1 for the others. The bracket is exactly 0 forward, so
    :math:`Z_j` is the one-hot row to the last bit. For k = 1 the backward pass of :math:`r = \sum_d Z_d z_d` is the
    paper's :math:`\partial r / \partial s_d = \frac{1}{\tau} \pi_d (z_d - r)`, with the soft mixture as :math:`r`.

    Args:
        scores_BN: finite scores; half precision is raised to fp32.
        candidate_mask_BN: True where a candidate exists; None means everywhere.
        k: slots to fill.
        temperature: tau of the soft choice; the hard choice does not depend on it.
        estimator: ``straight_through`` gives masked and taken documents exactly no mass. ``published`` masks taken ones
            with ``log(m_j + 1e-8)``, through which they keep most of it at a small temperature; for comparison only.

    Returns:
        The selection (fp32 or wider) and its indices. Ties go to the lowest index.

    Raises:
        ClaraError: k exceeds the candidates of a question.

    Example:
        >>> straight_through_top_k(torch.tensor([[0.1, 0.9, 0.5]]), k=2, temperature=0.02)
        TopKSelection(selection_BKN=tensor([[[0., 1., 0.],
                 [0., 0., 1.]]]), indices_BK=tensor([[1, 2]]))
    """
    soft_BKN, order_BN = _choose(scores_BN, candidate_mask_BN, k=k, temperature=temperature, estimator=estimator)
    indices_BK = order_BN[:, :k]
    hard_BKN = torch.zeros_like(soft_BKN).scatter_(-1, indices_BK.unsqueeze(-1), 1.0)
    return TopKSelection(hard_BKN + (soft_BKN - soft_BKN.detach()), indices_BK)


def slot_probabilities(
    scores_BN: Tensor,
    candidate_mask_BN: Tensor | None = None,
    *,
    k: int,
    temperature: float,
    estimator: Estimator = "straight_through",
) -> Tensor:
    """The soft choice behind :func:`straight_through_top_k`: what each slot's probability goes to.

    Args:
        scores_BN: as there.
        candidate_mask_BN: as there.
        k: as there.
        temperature: as there.
        estimator: as there.

    Returns:
        ``(B, K, N)``; each slot sums to 1.

    Raises:
        ClaraError: k exceeds the candidates of a question.

    Example:
        >>> slot_probabilities(torch.tensor([[0.0, 1.0, 0.0]]), k=2, temperature=0.5)
        tensor([[[0.1065, 0.7870, 0.1065],
                 [0.5000, 0.0000, 0.5000]]])
    """
    return _choose(scores_BN, candidate_mask_BN, k=k, temperature=temperature, estimator=estimator)[0]


def selection_entropy(soft_BKN: Tensor) -> Tensor:
    r"""Mean entropy of the slots' soft choices, :math:`-\sum_i p_{ji} \log p_{ji}`, in nats.

    0 is a choice that is certain, through which no gradient flows; log N one among N candidates that are all alike.

    Args:
        soft_BKN: from :func:`slot_probabilities`.

    Example:
        >>> selection_entropy(torch.tensor([[[0.5, 0.5], [1.0, 0.0]]]))
        tensor(0.3466)
    """
    entropies_BK: Tensor = torch.special.entr(soft_BKN).sum(dim=-1)
    return entropies_BK.mean()


def gumbel_perturb(scores_BN: Tensor, *, scale: float, generator: torch.Generator | None = None) -> Tensor:
    """Add Gumbel(0, 1) noise times ``scale``: the top k are then a sample without replacement from softmax(s / scale).

    Source: Kool et al. 2019, "Stochastic Beams and Where to Find Them" (arXiv 1903.06059).

    Args:
        scores_BN: scores; half precision is raised to fp32.
        scale: of the noise, in the unit of the scores.
        generator: source of the noise, on the scores' device; None is torch's own.

    Returns:
        ``(B, N)`` perturbed scores.

    Example:
        >>> gumbel_perturb(torch.zeros(1, 3), scale=0.02, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([1, 3])
    """
    scores_BN = _at_least_fp32(scores_BN)
    return scores_BN + scale * gumbel_noise(scores_BN, generator=generator)


def gumbel_noise(like: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Gumbel(0, 1) noise of a tensor's shape and dtype, always finite.

    Args:
        like: in fp32 or wider.
        generator: source of the noise, on its device; None is torch's own.
    """
    waiting = torch.empty_like(like).exponential_(generator=generator)
    return -waiting.clamp_min(torch.finfo(like.dtype).tiny).log()  # an exact zero would be infinite noise


def mix(selection_BKN: Tensor, memory_BNLD: Tensor) -> Tensor:
    """Read each slot's memory, ``Z M`` (paper, stage 3): forward the taken document, backward the soft mixture.

    Args:
        selection_BKN: from :func:`straight_through_top_k`.
        memory_BNLD: memory of the candidates; finite, also where a candidate is masked.

    Returns:
        ``(B, K, L, D)`` in the memory's dtype, also under autocast.

    Example:
        >>> memory_BNLD = torch.arange(6.0).view(1, 3, 1, 2)
        >>> mix(torch.tensor([[[0.0, 0.0, 1.0]]]), memory_BNLD)
        tensor([[[[4., 5.]]]])
    """
    with torch.autocast(memory_BNLD.device.type, enabled=False):
        return torch.einsum("bkn,bnld->bkld", selection_BKN.to(memory_BNLD.dtype), memory_BNLD)


class StraightThroughTopK(nn.Module):
    """The layer between scores and generator; see :func:`straight_through_top_k`.

    Args:
        k: documents that the generator reads.
        temperature: tau; the reference code uses 0.02, the paper names none.
        noise: ``gumbel`` samples the documents in training mode (and takes the best ones in evaluation mode).
        estimator: ``straight_through``, or ``published`` to compare with the reference's leaking mask.

    Raises:
        ClaraError: a setting is out of range.
    """

    def __init__(
        self,
        *,
        k: int,
        temperature: float = 0.02,
        noise: Noise = "none",
        estimator: Estimator = "straight_through",
    ) -> None:
        super().__init__()
        if k < 1:
            raise ClaraError(f"top_k must be >= 1, got {k}")
        if not temperature > 0:
            raise ClaraError(f"temperature must be > 0, got {temperature}")
        _check_choice("noise", noise, choices=get_args(Noise))
        _check_choice("estimator", estimator, choices=get_args(Estimator))
        self.k, self.temperature = k, temperature
        self.noise, self.estimator = noise, estimator

    def forward(
        self,
        scores_BN: Tensor,
        candidate_mask_BN: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> TopKSelection:
        """Select k documents for each question.

        Args:
            scores_BN: scores of the candidates.
            candidate_mask_BN: True where a candidate exists; None means everywhere.
            generator: source of the Gumbel noise.

        Returns:
            The selection and its indices.

        Raises:
            ClaraError: k exceeds the candidates of a question.
        """
        if self.noise == "gumbel" and self.training:
            scores_BN = gumbel_perturb(scores_BN, scale=self.temperature, generator=generator)
        return straight_through_top_k(
            scores_BN, candidate_mask_BN, k=self.k, temperature=self.temperature, estimator=self.estimator
        )

    def extra_repr(self) -> str:
        """Name the settings in ``print(module)``."""
        return f"k={self.k}, temperature={self.temperature}, noise={self.noise}, estimator={self.estimator}"


def _choose(
    scores_BN: Tensor, candidate_mask_BN: Tensor | None, *, k: int, temperature: float, estimator: Estimator
) -> tuple[Tensor, Tensor]:
    """``(B, K, N)`` soft choice of each slot, and ``(B, N)`` candidates in their order, best first."""
    check_enough_candidates(scores_BN, candidate_mask_BN, k=k)
    scores_BN = _at_least_fp32(scores_BN)
    if candidate_mask_BN is not None:
        scores_BN = scores_BN.masked_fill(~candidate_mask_BN, -torch.inf)
    order_BN = best_first(scores_BN)
    leak = PUBLISHED_LEAK if estimator == "published" else 0.0
    return slot_rows(scores_BN / temperature, order_BN, k=k, leak=leak), order_BN


def best_first(scores_BN: Tensor) -> Tensor:
    """Candidates by their scores ``(B, N)``; ties go to the lowest index, which torch.topk does not promise."""
    return scores_BN.detach().sort(dim=-1, descending=True, stable=True).indices


def slot_rows(logits_BN: Tensor, order_BN: Tensor, *, k: int, leak: float = 0.0) -> Tensor:
    """Soft choice of each slot among the documents that earlier slots left ``(B, K, N)``.

    Args:
        logits_BN: scores over the temperature; minus infinity where there is no candidate.
        order_BN: candidates in the order in which slots take them.
        k: slots.
        leak: what is added to the mask of documents not yet taken, before its logarithm.
    """
    rank_BN = order_BN.argsort(dim=-1)
    slots_K = torch.arange(k, device=logits_BN.device)
    taken_BKN = rank_BN.unsqueeze(1) < slots_K.view(1, -1, 1)
    logits_BKN = logits_BN.unsqueeze(1).expand(-1, k, -1)
    if leak:
        logits_BKN = logits_BKN + ((~taken_BKN).to(logits_BN.dtype) + leak).log()
    else:
        logits_BKN = logits_BKN.masked_fill(taken_BKN, -torch.inf)
    return logits_BKN.softmax(dim=-1)


def check_enough_candidates(scores_BN: Tensor, candidate_mask_BN: Tensor | None, *, k: int) -> None:
    """Refuse k slots where a question has fewer candidates.

    Raises:
        ClaraError: k exceeds the candidates of a question.
    """
    num_candidates = scores_BN.shape[-1]
    if candidate_mask_BN is not None and len(candidate_mask_BN):
        num_candidates = int(candidate_mask_BN.sum(dim=-1).min())
    if k > num_candidates:
        raise ClaraError(f"top_k must be <= {num_candidates}, the fewest candidates of a question, got {k}")


def _check_choice(setting: str, value: str, *, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ClaraError(f"{setting} must be one of {', '.join(choices)}, got {value!r}")


def _at_least_fp32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
