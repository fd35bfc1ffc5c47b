"""The glossary explains what the report shows, and nothing else."""

from __future__ import annotations

from typing import Any

from clara_lightning.evaluation.report import tables
from clara_lightning.evaluation.report.words import SCALES, condition_meaning, glossary
from clara_lightning.evaluation.results import ConditionInfo


def test_every_condition_and_every_column_is_explained(evaluated: Any) -> None:
    results = evaluated.results
    explained = {word.label for word in glossary(results)}
    shown = [info.label for info in results.conditions.values()]
    rows = [tables.answer_rows(results), tables.length_rows(results), tables.collapse_rows(results)]
    rows += [tables.retrieval_rows(results, scale) for scale in SCALES] + [tables.paraphrase_rows(results)]
    for head, *_ in rows:
        shown += [name.partition("@")[0] + ("@k" if "@" in name else "") for name in head[1:]]
    assert set(shown) <= explained


def test_what_was_not_evaluated_is_not_explained(evaluated: Any) -> None:
    explained = {word.label for word in glossary(evaluated.without_search().results)}
    assert "gold memory" in explained
    assert not explained & {"Recall@k", "distinct share", "ROUGE-L", "candidates", "retrieved memory (Normal)"}


def test_each_condition_reads_as_a_sentence_of_its_own(evaluated: Any) -> None:
    results = evaluated.results
    told = [condition_meaning(info, retriever=info.retriever) for info in results.conditions.values()]
    assert len(set(told)) == len(told)
    assert condition_meaning(ConditionInfo("x", "backbone", "gold", "tokens"), retriever=None) == (
        "the language model without adapters reads the chosen tokens of the gold documents, as many as the memory has "
        "positions"
    )
