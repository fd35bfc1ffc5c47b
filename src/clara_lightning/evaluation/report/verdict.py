"""What an evaluation says, in a few findings that a reader understands without the tables."""

from __future__ import annotations

import math
from collections.abc import Iterator

from clara_lightning.evaluation.conditions import CLARA, HYBRID
from clara_lightning.evaluation.report.rules import (
    Finding,
    Mark,
    compare_answers,
    compare_readers,
    difference_in_words,
    figures_of,
    find_condition,
    worded,
)
from clara_lightning.evaluation.report.tables import condition_label, show
from clara_lightning.evaluation.report.verdict_search import collapse, search
from clara_lightning.evaluation.results import Costs, Figure, Results


def verdict(results: Results, costs: Costs) -> list[Finding]:
    """All findings, the most important first; what rests on a baseline that was not evaluated is left out."""
    return [
        _memory_used(results),
        _retained(results),
        *search(results),
        *collapse(results),
        *_beside_text(results),
        *_cost(results, costs),
        _certainty(results),
    ]


def _memory_used(results: Results) -> Finding:
    """The right document's memory beside another document's: the same length and form, another content."""
    question = "Is the memory used?"
    gold, other = _gold_memory(results), find_condition(results, reader="generator", documents="another", form="memory")
    if gold is None or other is None:
        return Finding(question, "unsure", "Not measured.", "It takes gold memory and another document's memory.")
    mark, answer = worded(
        compare_answers(results.differences[gold][other]),
        better="Yes: the right document's memory answers better than another document's.",
        worse="No: the right document's memory answers worse than another document's.",
        unsure="Not shown: the right document's memory may answer no better than another's; their difference may be 0.",
    )
    none = find_condition(results, reader="generator", documents="none", form="none")
    evidence = [figures_of(results, gold, other, none, figure=figure) for figure in ("f1", "cross_entropy")]
    difference = difference_in_words(results.differences[gold][other], "f1", "cross_entropy")
    return Finding(question, mark, answer, " ".join([difference, *evidence]))


def _retained(results: Results) -> Finding:
    """Information retained by gold memory."""
    question = "How much of the text does the memory keep?"
    gold = _gold_memory(results)
    figure = results.answers[gold]["information_retained"] if gold else None
    if figure is None or not math.isfinite(figure.value):
        return Finding(question, "unsure", "Not measured.", "It takes gold memory, and a text that helps to answer.")
    mark: Mark = "yes" if figure.low > 0 else "no" if figure.high <= 0 else "unsure"
    between = f" ({100 * figure.low:.0f} to {100 * figure.high:.0f} %)" if math.isfinite(figure.low) else ""
    return Finding(
        question,
        mark,
        f"About {100 * figure.value:.0f} % of what the text tells about the answers{between}.",
        f"Information retained {show(figure)}, by cross-entropy: 0 is no documents, 1 is the gold text.",
    )


def _beside_text(results: Results) -> Iterator[Finding]:
    """Retrieved memory beside the ordinary way: the best of the baselines that read what another retriever found.

    By F1 and cover-EM: cross-entropies of two readers do not compare, for the trained one has learned how answers look.
    """
    ours = find_condition(results, reader="generator", documents="retrieved", form="memory", retriever=CLARA)
    texts = [
        name
        for name, info in results.conditions.items()
        if info.documents == "retrieved" and info.form == "text" and info.retriever not in (CLARA, HYBRID)
    ]
    if ours is None or not texts:
        return
    rival = max(texts, key=lambda name: results.answers[name]["f1"].value)
    label = condition_label(results, rival)
    mark, answer = worded(
        compare_readers(results.differences[ours][rival]),
        better=f"Yes: retrieved memory answers better than “{label}”.",
        worse=f"No: retrieved memory answers worse than “{label}”.",
        unsure=f"Not shown: F1 and cover-EM do not both say which of retrieved memory and “{label}” answers better.",
    )
    lengths = [f"{results.answers[name]['input_positions'].value:.0f}" for name in (ours, rival)]
    told = [difference_in_words(results.differences[ours][rival], "f1", "cover_em")]
    told += [figures_of(results, ours, rival, figure=figure) for figure in ("f1", "cover_em")]
    evidence = f"{' '.join(told)} Positions of the prompt: {' beside '.join(lengths)}."
    yield Finding("Is retrieved memory better than ordinary search with text?", mark, answer, evidence)


def _cost(results: Results, costs: Costs) -> Iterator[Finding]:
    """Gold memory beside gold text for the same reader."""
    memory, text = _gold_memory(results), find_condition(results, reader="generator", documents="gold", form="text")
    if memory is None or text is None:
        return
    ours, theirs = results.answers[memory], results.answers[text]
    answer = (
        f"The memory of a question's documents takes {ours['background_positions'].value:.0f} positions of the prompt, "
        f"their text {theirs['background_positions'].value:.0f}."
    )
    positions = [figures["input_positions"].value for figures in (ours, theirs)]
    parts = [f"a whole prompt {positions[0]:.0f} beside {positions[1]:.0f} positions"]
    steps = [costs.steps.get(f"answer:{name}") for name in (memory, text)]
    times = [step.milliseconds for step in steps if step is not None]
    if len(times) == 2:
        parts.append(f"an answer {times[0]:.0f} beside {times[1]:.0f} ms on {costs.device}")
    if {"memory", "text"} <= costs.bytes_per_document.keys():
        sizes = [costs.bytes_per_document[form] for form in ("memory", "text")]
        parts.append(f"a stored document {sizes[0]:,.0f} beside {sizes[1]:,.0f} bytes")
    yield Finding("What does it cost?", "fact", answer, f"Memory beside text: {'; '.join(parts)}.")


def _certainty(results: Results) -> Finding:
    """How many questions, and what the intervals do not tell."""
    gold = _gold_memory(results)
    figure = results.answers[gold]["f1"] if gold else Figure(math.nan, math.nan, math.nan)
    width = (figure.high - figure.low) / 2
    known = f": F1 of gold memory is known to within {width:.2f}" if math.isfinite(width) else ""
    return Finding(
        "How sure are the numbers?",
        "fact",
        f"They rest on {results.questions} questions{known}.",
        "The intervals tell how a figure would move with other questions of the same kind, not how it would move with "
        "another training: that takes runs with other seeds.",
    )


def _gold_memory(results: Results) -> str | None:
    return find_condition(results, reader="generator", documents="gold", form="memory")
