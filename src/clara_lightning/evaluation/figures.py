"""From records of single questions to figures with intervals.

Shapes: Q questions, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from clara_lightning.evaluation.conditions import BACKBONE, GENERATOR
from clara_lightning.evaluation.results import Figure, Figures, Paraphrased, Prediction, RankedQuestion
from clara_lightning.objectives.bootstrap import Array, Bootstrap
from clara_lightning.objectives.metrics import collapse_statistics
from clara_lightning.objectives.ranking import average_precision, ndcg_at, precision_at, recall_at, reciprocal_rank

SCORE_TEMPERATURE = 0.02
"""At which the entropy of a question's scores is taken: that of the selection in the reference's code."""

Samples = dict[str, Array]
BASES = {GENERATOR: ("none", "gold_text"), BACKBONE: ("backbone_none", "backbone_gold_text")}
"""Conditions without a document and with its text, by reader: between them information retained is measured."""


def answer_samples(
    predictions: Mapping[str, Sequence[Prediction]], bootstrap: Bootstrap, *, readers: Mapping[str, str]
) -> dict[str, Samples]:
    """Samples of every figure of every condition.

    Args:
        predictions: by condition, the same questions in the same order under each.
        bootstrap: over these questions.
        readers: who reads, by condition. Information retained is measured against the same reader's own cross-entropy
            without a document and with the text; ``nan`` where these were not measured.
    """
    ce = {
        name: bootstrap.ratio([row.nll for row in rows], [row.answer_tokens for row in rows])
        for name, rows in predictions.items()
    }
    unknown = np.full_like(next(iter(ce.values())), np.nan)
    samples: dict[str, Samples] = {}
    for name, rows in predictions.items():
        ce_none, ce_text = (ce.get(base, unknown) for base in BASES[readers[name]])
        samples[name] = {
            "em": bootstrap.ratio([row.em for row in rows]),
            "f1": bootstrap.ratio([row.f1 for row in rows]),
            "cover_em": bootstrap.ratio([row.cover_em for row in rows]),
            "cross_entropy": ce[name],
            "information_retained": _retained(ce_none, ce[name], ce_text),
            "words": bootstrap.ratio([row.words for row in rows]),
            "input_positions": bootstrap.ratio([row.input_positions for row in rows]),
            "background_positions": bootstrap.ratio([row.background_positions for row in rows]),
            "compression_rate": bootstrap.ratio(
                [row.document_tokens for row in rows], [row.background_positions for row in rows]
            ),
        }
    return samples


def _retained(ce_none: Array, ce_memory: Array, ce_text: Array) -> Array:
    """:func:`clara_lightning.objectives.losses.information_retained` of samples; ``nan`` where the text is no help."""
    gain = ce_none - ce_text
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(gain > 0, (ce_none - ce_memory) / gain, np.nan)


def ranking_samples(ranked: Sequence[RankedQuestion], bootstrap: Bootstrap, *, cutoffs: Sequence[int]) -> Samples:
    """Samples of the figures that are means over questions."""
    figures: dict[str, Callable[[Sequence[int | None]], float]] = {}
    for k in cutoffs:
        figures[f"recall@{k}"] = lambda ranks, k=k: recall_at(k, ranks)  # type: ignore[misc]
        figures[f"precision@{k}"] = lambda ranks, k=k: precision_at(k, ranks)  # type: ignore[misc]
        figures[f"ndcg@{k}"] = lambda ranks, k=k: ndcg_at(k, ranks)  # type: ignore[misc]
    figures |= {"mrr": reciprocal_rank, "map": average_precision}
    return {name: bootstrap.ratio([figure(row.gold_ranks) for row in ranked]) for name, figure in figures.items()}


def collapse_figures(
    taken_BK: Sequence[tuple[int, ...]], cosines: Sequence[tuple[float, ...]] | None, bootstrap: Bootstrap
) -> Figures:
    """Whether everybody gets the same documents, and how sure the scores are of them.

    ``distinct_share``, ``top_share`` and ``selection_entropy`` are of all questions together
    (:func:`clara_lightning.objectives.metrics.collapse_statistics`) and have no interval: a resample repeats
    questions, and so documents. ``score_entropy``, of cosines alone, is the mean over questions of
    :math:`H(softmax(s / 0.02)) / \\log N`: 0 where one document is far ahead, 1 where all are alike.
    """
    shortest = min(len(rows) for rows in taken_BK)
    statistics = collapse_statistics(torch.tensor([rows[:shortest] for rows in taken_BK]))
    statistics["selection_entropy"] = statistics.pop("entropy")
    figures = {name: Figure(value, math.nan, math.nan) for name, value in statistics.items()}
    if cosines is not None:
        entropies = [_score_entropy(scores) for scores in cosines]
        figures["score_entropy"] = figure(bootstrap.ratio(entropies))
    return figures


def _score_entropy(scores_N: Sequence[float]) -> float:
    if len(scores_N) < 2:
        return 0.0
    logits_N = np.asarray(scores_N, dtype=np.float64) / SCORE_TEMPERATURE
    shares_N = np.exp(logits_N - logits_N.max())
    shares_N /= shares_N.sum()
    kept_N = shares_N[shares_N > 0]
    return float(-(kept_N * np.log(kept_N)).sum() / math.log(len(scores_N)))


def recall_curve(ranked: Sequence[RankedQuestion], *, depth: int) -> list[float]:
    """Recall@k for k = 1 to ``depth``."""
    return [sum(recall_at(k, row.gold_ranks) for row in ranked) / len(ranked) for k in range(1, depth + 1)]


def loss_shares(predictions: Sequence[Prediction]) -> dict[str, float]:
    """Shares of the questions by what was retrieved (all gold documents, or not) and whether the answer covers a right
    one: ``retrieved_answered``, ``retrieved_wrong``, ``missed_answered``, ``missed_wrong``."""
    shares = {f"{found}_{result}": 0.0 for found in ("retrieved", "missed") for result in ("answered", "wrong")}
    for row in predictions:
        found = "retrieved" if row.gold_found == set(row.gold) else "missed"
        shares[f"{found}_{'answered' if row.cover_em else 'wrong'}"] += 1 / len(predictions)
    return shares


def paraphrase_samples(rows: Sequence[Paraphrased], bootstrap: Bootstrap) -> Samples:
    """Samples of ROUGE-L and of the paraphrases' length."""
    return {
        "rouge_l": bootstrap.ratio([row.rouge_l for row in rows]),
        "words": bootstrap.ratio([float(row.words) for row in rows]),
    }


def differences_to(ours: Samples, others: Mapping[str, Samples], *, names: Sequence[str]) -> dict[str, Figures]:
    """Paired differences of one system to others: its figure less theirs, in every resample."""
    return {
        other: {name: figure(ours[name] - samples[name]) for name in names if name in ours and name in samples}
        for other, samples in others.items()
    }


def figures_of(samples: Samples) -> Figures:
    """Figures with their intervals."""
    return {name: figure(sample) for name, sample in samples.items()}


def figure(sample: Array) -> Figure:
    """A figure with its interval."""
    return Figure(*Bootstrap.interval(sample))
