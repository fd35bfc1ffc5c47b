"""Findings about search: whether it finds the documents, and whether it has collapsed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from clara_lightning.evaluation.conditions import CLARA, HYBRID
from clara_lightning.evaluation.report.rules import Finding, best_other, compare, worded
from clara_lightning.evaluation.report.tables import retriever_label, show
from clara_lightning.evaluation.report.words import SCALES, figure_label
from clara_lightning.evaluation.results import Figures, Results

BESIDE_OTHERS = 0.5  # a distinct share below this part of the best baseline's is a collapse
ALONE = 0.1  # without a baseline: below this part of what questions and corpus allow


def search(results: Results) -> Iterator[Finding]:
    """The trained retriever's recall beside the best baseline's, at each scale."""
    for scale, systems in results.retrieval.items():
        name = _recall_name(results, systems.get(CLARA, {}))
        if name is None:
            continue
        question = f"Does search find the documents ({SCALES[scale].label})?"
        ours, rival = systems[CLARA][name], best_other(systems, name)
        found = f"It finds {100 * ours.value:.0f} % of them among the first {name.partition('@')[2]}"
        evidence = f"{figure_label(name)}: {retriever_label(results, CLARA)} {show(ours)}"
        if rival is None:
            yield Finding(question, "fact", f"{found}.", f"{evidence}. No other retriever was evaluated.")
            yield from _with_words(results, scale, name)
            continue
        label = retriever_label(results, rival)
        mark, compared = worded(
            compare(results.differences[f"{scale}/{CLARA}"][f"{scale}/{rival}"][name]),
            better=f"more than {label}",
            worse=f"fewer than {label}",
            unsure=f"no difference to {label} is shown",
        )
        yield Finding(question, mark, f"{found}: {compared}.", f"{evidence}, {label} {show(systems[rival][name])}.")
        yield from _with_words(results, scale, name)


def _with_words(results: Results, scale: str, name: str) -> Iterator[Finding]:
    """The hybrid retriever's recall beside the trained score's alone, where it was evaluated."""
    systems = results.retrieval[scale]
    if HYBRID not in systems:
        return
    mark, answer = worded(
        compare(results.differences[f"{scale}/{CLARA}"][f"{scale}/{HYBRID}"][name], lower_is_better=True),
        better="Yes: with words beside it, the trained score finds more of them",
        worse="No: with words beside it, the trained score finds fewer of them",
        unsure="Not shown: with words beside it or without, the trained score finds about as many of them",
    )
    shown = [f"{retriever_label(results, each)} {show(figures[name])}" for each, figures in systems.items()]
    question = f"Do words help search ({SCALES[scale].label})?"
    yield Finding(question, mark, f"{answer}.", f"{figure_label(name)}: {', '.join(shown)}.")


def collapse(results: Results) -> list[Finding]:
    """Whether the trained retriever finds different documents for different questions: all warnings, or one all-clear.

    Few documents may be right for many questions; the best baseline's share says what the data allows.
    """
    found = list(_collapse(results))
    return [finding for finding in found if finding.mark == "no"] or found[:1]


def _collapse(results: Results) -> Iterator[Finding]:
    for scale, systems in results.retrieval.items():
        ours = systems.get(CLARA, {}).get("distinct_share")
        if ours is None or not math.isfinite(ours.value):
            continue
        question = f"Does search tell the questions apart ({SCALES[scale].label})?"
        rival = best_other(systems, "distinct_share")
        evidence = f"Distinct share: {retriever_label(results, CLARA)} {show(ours)}"
        if rival is None:
            limit = ALONE * min(1.0, results.documents / (results.questions * (results.settings.get("top_k") or 1)))
        else:
            limit = BESIDE_OTHERS * systems[rival]["distinct_share"].value
            evidence += f", {retriever_label(results, rival)} {show(systems[rival]['distinct_share'])}"
        evidence += f". Below {limit:.3f} it counts as collapsed."
        if ours.value < limit:
            yield Finding(
                question, "no", "Warning: collapse. The same few documents come up again and again.", evidence
            )
        else:
            yield Finding(question, "yes", "Yes, there is no sign of a collapse.", evidence)


def _recall_name(results: Results, figures: Figures) -> str | None:
    """Recall at the number of documents that a question gets; where that was not measured, at the largest number."""
    cutoffs = [int(name.removeprefix("recall@")) for name in figures if name.startswith("recall@")]
    if not cutoffs:
        return None
    top_k = results.settings.get("top_k")
    return f"recall@{top_k if top_k in cutoffs else max(cutoffs)}"
