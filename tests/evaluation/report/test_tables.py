"""Tables as rows of text: every figure where it belongs, and nothing invented where there is none."""

from __future__ import annotations

import math
from dataclasses import replace
from io import StringIO
from typing import Any

from rich.console import Console

from clara_lightning.evaluation.report import tables
from clara_lightning.evaluation.results import Costs, StepCost


def test_a_row_of_the_answers_holds_a_condition_s_figures_in_the_header_s_order(evaluated: Any) -> None:
    changed = evaluated.answering(
        "gold_memory",
        em=(0.1, 0.05, 0.15),
        f1=(0.45, 0.3, 0.6),
        cover_em=(0.3, 0.2, 0.4),
        cross_entropy=(1.9, 1.8, 2.0),
        information_retained=(math.nan, math.nan, math.nan),
    )
    head, *body = tables.answer_rows(changed.results)
    assert head == ["condition", "EM", "F1", "cover-EM", "cross-entropy", "information retained"]
    assert body[2] == [
        "gold memory",
        "0.100 [0.050, 0.150]",
        "0.450 [0.300, 0.600]",
        "0.300 [0.200, 0.400]",
        "1.900 [1.800, 2.000]",
        "-",
    ]


def test_lengths_have_one_digit_and_no_compression_without_documents(evaluated: Any) -> None:
    head, first, *_ = tables.length_rows(evaluated.results)
    assert head == ["condition", "words", "input positions", "background positions", "compression"]
    assert first == ["no memory", "3.2 [2.8, 3.6]", "31.0 [27.0, 35.0]", "0.0 [-3.0, 3.0]", "-"]


def test_every_condition_has_a_row_in_the_order_of_the_evaluation(evaluated: Any) -> None:
    labels = [info.label for info in evaluated.results.conditions.values()]
    for rows in (tables.answer_rows(evaluated.results), tables.length_rows(evaluated.results)):
        assert [row[0] for row in rows[1:]] == labels


def test_ranking_and_collapse_figures_are_parted(evaluated: Any) -> None:
    changed = evaluated.ranking("bm25", recall_at_5=(0.5, 0.4, 0.6), top_share=(0.2, 0.1, 0.3))
    head, *body = tables.retrieval_rows(changed.results, "corpus")
    assert head == ["retriever", "Recall@1", "Recall@5", "Precision@1", "Precision@5", "nDCG@5", "MRR", "MAP"]
    assert body[1][0] == "BM25" and body[1][2] == "0.500 [0.400, 0.600]"
    head, *body = tables.collapse_rows(changed.results)
    assert head == ["retriever", "distinct share", "top share", "selection entropy", "score entropy"]
    assert [row[0] for row in body][:2] == ["CLaRa, whole corpus", "BM25, whole corpus"]
    assert len(body) == 6 and body[1][2] == "0.200 [0.100, 0.300]" and body[1][4] == "-"


def test_losses_are_shares_of_the_questions(evaluated: Any) -> None:
    head, first, *_ = tables.loss_rows(evaluated.results)
    assert head[1:] == ["found, answered", "found, wrong", "missed, answered", "missed, wrong"]
    assert first == ["retrieved memory (Normal)", "0.300", "0.400", "0.030", "0.270"]


def test_costs_name_the_work_in_words(evaluated: Any) -> None:
    steps = {
        "compress": StepCost(256, 41.25, 3 * 2**20),
        "search:bm25": StepCost(40, 0.5, None),
        "answer:gold_text": StepCost(40, 250.0, 2048 * 2**20),
    }
    rows = tables.cost_rows(evaluated.results, Costs("cpu", 1, 3.0, steps, {}))
    assert rows == [
        ["work", "items", "milliseconds each", "peak memory, MiB"],
        ["compress", "256", "41.2", "3"],
        ["search: BM25", "40", "0.5", "-"],
        ["answer: gold text", "40", "250.0", "2,048"],
    ]


def test_what_was_not_measured_has_no_table(evaluated: Any) -> None:
    results = evaluated.without_search().results
    assert tables.retrieval_rows(results, "corpus") == tables.collapse_rows(results) == []
    assert tables.loss_rows(results) == tables.paraphrase_rows(results) == []
    assert tables.cost_rows(results, replace(evaluated.costs, steps={})) == []


def test_paraphrases_have_digits_of_their_own(evaluated: Any) -> None:
    assert tables.paraphrase_rows(evaluated.results)[1] == ["gold memory", "0.410 [0.350, 0.470]", "60.0 [52.0, 68.0]"]


def test_the_terminal_shows_brackets_as_they_are_and_no_escape_sequence() -> None:
    console = Console(file=StringIO(), width=200, color_system=None)
    console.print(
        tables.screen_table([["name", "F1"], ["[red]x[/red]\x1b[2J", "0.450 [0.300, 0.600]"]], title="Answers")
    )
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[red]x[/red]\N{REPLACEMENT CHARACTER}[2J" in shown and "0.450 [0.300, 0.600]" in shown
