"""What stands in the background of a question, and who reads it: the conditions that an evaluation compares.

Every condition asks the same questions in the same words; only the background and the reader differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clara_lightning.errors import ClaraError
from clara_lightning.evaluation.corpus import Asked
from clara_lightning.evaluation.results import ConditionInfo
from clara_lightning.evaluation.retrievers import Ranking

CLARA, HYBRID = "clara", "hybrid"
ALWAYS = ("none", "another", "gold_memory", "gold_text")

GENERATOR, BACKBONE = "generator", "backbone"

_FIXED = {
    "none": ConditionInfo("no memory", GENERATOR, "none", "none"),
    "another": ConditionInfo("another document's memory", GENERATOR, "another", "memory"),
    "gold_memory": ConditionInfo("gold memory", GENERATOR, "gold", "memory"),
    "gold_text": ConditionInfo("gold text", GENERATOR, "gold", "text"),
    "retrieved_memory": ConditionInfo("retrieved memory", GENERATOR, "retrieved", "memory", CLARA),
    "oracle_memory": ConditionInfo("retrieved memory, gold injected", GENERATOR, "oracle", "memory", CLARA),
    "retrieved_text": ConditionInfo("retrieved text", GENERATOR, "retrieved", "text", CLARA),
    "backbone_none": ConditionInfo("backbone alone, closed book", BACKBONE, "none", "none"),
    "backbone_gold_text": ConditionInfo("backbone alone, gold text", BACKBONE, "gold", "text"),
    "backbone_gold_tokens": ConditionInfo("backbone alone, chosen gold tokens", BACKBONE, "gold", "tokens"),
    "backbone_retrieved_text": ConditionInfo("backbone alone, retrieved text", BACKBONE, "retrieved", "text", CLARA),
}


@dataclass(frozen=True)
class Given:
    """The documents of one question under one condition.

    Attributes:
        rows: of the corpus, in the order in which they are read.
        scores: of the retriever; ``None`` where nothing was retrieved.
    """

    rows: tuple[int, ...] = ()
    scores: tuple[float, ...] | None = None


def possible_conditions(retrievers: Mapping[str, str], *, whole_corpus: bool) -> dict[str, ConditionInfo]:
    """All conditions that can be measured, in the order of the table.

    Args:
        retrievers: labels by name; without ``clara`` nothing is retrieved. Every other one gives two conditions more:
            its documents' memory for the generator, and their text for the backbone alone.
        whole_corpus: whether the whole corpus is searched. Else retrieval chooses among candidates that hold the gold
            documents, so that injecting them changes nothing.
    """
    possible = {
        name: info
        for name, info in _FIXED.items()
        if (info.retriever is None or info.retriever in retrievers) and (whole_corpus or info.documents != "oracle")
    }
    for name, label in retrievers.items():
        if name != CLARA:
            possible[f"{name}_memory"] = ConditionInfo(
                f"memory of what {label} finds", GENERATOR, "retrieved", "memory", name
            )
            possible[f"backbone_{name}_text"] = ConditionInfo(
                f"backbone alone, text of what {label} finds", BACKBONE, "retrieved", "text", name
            )
    order = sorted(possible, key=lambda name: (name not in ALWAYS, possible[name].reader == BACKBONE))
    return {name: possible[name] for name in order}


def choose_conditions(wanted: Iterable[str] | None, possible: Mapping[str, ConditionInfo]) -> dict[str, ConditionInfo]:
    """The four that are always measured, and those wanted, in the order of the table.

    Args:
        wanted: names; ``None`` for all.
        possible: see :func:`possible_conditions`.

    Raises:
        ClaraError: a name is unknown, or cannot be measured on this data.
    """
    names = list(possible) if wanted is None else list(wanted)
    for name in names:
        if name in _FIXED and name not in possible:
            needed = "a search of --store" if _FIXED[name].documents == "oracle" else "--store or --candidates"
            raise ClaraError(f"--conditions: {name} cannot be measured on this data without {needed}")
        if name not in possible:
            raise ClaraError(f"--conditions: no condition {name!r}, there are {', '.join(possible)}")
    return {name: info for name, info in possible.items() if name in {*ALWAYS, *names}}


def give(
    info: ConditionInfo,
    asked: Sequence[Asked],
    *,
    lent: Sequence[tuple[int, ...]],
    normal: Mapping[str, Sequence[Ranking]],
    oracle: Mapping[str, Sequence[Ranking]],
    top_k: int,
) -> list[Given]:
    """The documents of each question under a condition.

    Args:
        info: the condition.
        asked: the questions.
        lent: another question's gold documents for each question.
        normal: rankings by retriever, of the whole corpus where there is a store, else of the candidates.
        oracle: rankings of the candidates, which hold the gold documents.
        top_k: documents that a retriever gives.
    """
    if info.documents == "none":
        return [Given()] * len(asked)
    if info.documents == "another":
        return [Given(rows) for rows in lent]
    if info.documents == "gold":
        return [Given(one.gold) for one in asked]
    rankings = oracle if info.documents == "oracle" else normal
    best = [ranking.top(top_k) for ranking in rankings[str(info.retriever)]]
    return [Given(ranking.rows, ranking.scores) for ranking in best]
