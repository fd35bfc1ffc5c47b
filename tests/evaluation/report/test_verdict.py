"""The verdict's rules: which figures make which words."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from clara_lightning.evaluation.report.rules import Finding, compare, compare_answers
from clara_lightning.evaluation.report.verdict import verdict
from clara_lightning.evaluation.results import ConditionInfo, Costs, Figure

NAN = (math.nan,) * 3


def finding(evaluated: Any, start: str) -> Finding:
    (found,) = [each for each in verdict(evaluated.results, evaluated.costs) if each.question.startswith(start)]
    return found


def questions(evaluated: Any) -> list[str]:
    return [each.question for each in verdict(evaluated.results, evaluated.costs)]


@pytest.mark.parametrize(
    ("low", "high", "says", "turned"),
    [
        (0.01, 0.8, "better", "worse"),
        (0.0, 0.8, "not shown", "not shown"),
        (-0.1, 0.4, "not shown", "not shown"),
        (-0.3, -0.1, "worse", "better"),
        (*NAN[1:], "not shown", "not shown"),
    ],
)
def test_a_difference_decides_only_where_its_interval_leaves_out_0(
    low: float, high: float, says: str, turned: str
) -> None:
    difference = Figure((low + high) / 2, low, high)
    assert (compare(difference), compare(difference, lower_is_better=True)) == (says, turned)


@pytest.mark.parametrize(
    ("f1", "entropy", "says"),
    [
        ("above", "below", "better"),
        ("above", "same", "better"),
        ("same", "below", "better"),
        ("same", "above", "worse"),
        ("below", "same", "worse"),
        ("above", "above", "not shown"),
        ("same", "same", "not shown"),
        ("unknown", "below", "better"),
        ("unknown", "unknown", "not shown"),
    ],
)
def test_f1_and_cross_entropy_decide_together(f1: str, entropy: str, says: str) -> None:
    differences = {
        "above": Figure(0.3, 0.1, 0.5),
        "same": Figure(0.1, -0.1, 0.3),
        "below": Figure(-0.3, -0.5, -0.1),
        "unknown": Figure(*NAN),
    }
    assert compare_answers({"f1": differences[f1], "cross_entropy": differences[entropy]}) == says


def test_memory_is_used_where_the_right_one_beats_another_one(evaluated: Any) -> None:
    found = finding(evaluated, "Is the memory used?")
    assert (found.mark, found.answer[:4]) == ("yes", "Yes:")
    assert "gold memory 0.410 [0.350, 0.470], another document's memory 0.050" in found.evidence
    assert "no memory 0.060" in found.evidence


def test_memory_is_not_shown_to_be_used_where_the_intervals_touch(evaluated: Any) -> None:
    same = evaluated.answering("another", f1=(0.36, 0.3, 0.42), cross_entropy=(2.0, 1.8, 2.2))
    found = finding(same, "Is the memory used?")
    assert (found.mark, found.answer[:10]) == ("unsure", "Not shown:")


def test_memory_that_misleads_is_told(evaluated: Any) -> None:
    better = evaluated.answering("another", f1=(0.8, 0.7, 0.9), cross_entropy=(1.0, 0.9, 1.1))
    assert finding(better, "Is the memory used?").mark == "no"


@pytest.mark.parametrize(
    ("retained", "mark", "says"),
    [
        ((0.42, 0.31, 0.52), "yes", "About 42 % of what the text tells about the answers (31 to 52 %)."),
        ((0.02, -0.1, 0.14), "unsure", "About 2 % of what the text tells about the answers (-10 to 14 %)."),
        ((-0.3, -0.4, -0.2), "no", "About -30 % of what the text tells about the answers (-40 to -20 %)."),
        (NAN, "unsure", "Not measured."),
    ],
)
def test_information_retained_is_told_with_its_interval(
    evaluated: Any, retained: tuple[float, float, float], mark: str, says: str
) -> None:
    found = finding(evaluated.answering("gold_memory", information_retained=retained), "How much of the text")
    assert (found.mark, found.answer) == (mark, says)


def test_search_is_compared_with_the_best_baseline_at_the_documents_that_a_question_gets(evaluated: Any) -> None:
    clear = evaluated.ranking("bm25", recall_at_5=(0.9, 0.85, 0.95)).ranking("clara", recall_at_5=(0.5, 0.4, 0.6))
    found = finding(clear, "Does search find the documents (whole corpus)")
    assert (found.mark, found.answer) == ("no", "It finds 50 % of them among the first 5: fewer than BM25.")
    assert found.evidence == "Recall@5: CLaRa 0.500 [0.400, 0.600], BM25 0.900 [0.850, 0.950]."
    beaten = clear.ranking("clara", recall_at_5=(0.99, 0.98, 1.0))
    assert finding(beaten, "Does search find the documents (candidates)").mark == "yes"
    close = clear.ranking("clara", recall_at_5=(0.89, 0.8, 0.96))
    assert finding(close, "Does search find the documents (candidates)").answer.endswith(
        "no difference to BM25 is shown."
    )


def test_recall_is_taken_at_the_largest_number_where_top_k_was_not_measured(evaluated: Any) -> None:
    other = evaluated.with_results(settings={"top_k": 3})
    assert "among the first 5" in finding(other, "Does search find the documents (whole corpus)").answer


def test_search_without_a_baseline_is_told_without_judgement(evaluated: Any) -> None:
    retrieval = {"corpus": {"clara": evaluated.results.retrieval["corpus"]["clara"]}}
    alone = evaluated.with_results(retrieval=retrieval)
    found = finding(alone, "Does search find")
    assert (found.mark, found.answer) == ("fact", "It finds 72 % of them among the first 5.")


def with_hybrid(evaluated: Any, recall: tuple[float, float, float]) -> Any:
    """The same evaluation with the hybrid retriever, at both scales."""
    retrieval = {
        scale: systems | {"hybrid": systems["bm25"] | {"recall@5": Figure(*recall)}}
        for scale, systems in evaluated.results.retrieval.items()
    }
    retrievers = evaluated.results.retrievers | {"hybrid": "CLaRa + BM25"}
    return evaluated.with_results(retrieval=retrieval, retrievers=retrievers)


@pytest.mark.parametrize(
    ("recall", "mark", "start"),
    [
        ((0.95, 0.93, 0.97), "yes", "Yes: with words beside it, the trained score finds more of them."),
        ((0.75, 0.7, 0.8), "unsure", "Not shown: with words beside it or without"),
        ((0.3, 0.2, 0.4), "no", "No: with words beside it, the trained score finds fewer of them."),
    ],
)
def test_search_with_words_is_compared_with_the_trained_score_alone(
    recall: tuple[float, float, float], mark: str, start: str, evaluated: Any
) -> None:
    found = finding(with_hybrid(evaluated, recall), "Do words help search (whole corpus)")
    assert found.mark == mark and found.answer.startswith(start)
    assert found.evidence.startswith("Recall@5: CLaRa 0.720 [0.660, 0.780], BM25 0.640 [0.580, 0.700], ")
    assert f"CLaRa + BM25 {recall[0]:.3f}" in found.evidence


def test_search_with_words_is_no_baseline_of_the_trained_score(evaluated: Any) -> None:
    best = with_hybrid(evaluated, (0.95, 0.93, 0.97))
    assert "dense" in finding(best, "Does search find the documents (whole corpus)").answer
    info = ConditionInfo("backbone alone, text of what both find", "backbone", "retrieved", "text", "hybrid")
    figures = best.results.answers["backbone_bm25_text"] | {"f1": Figure(0.9, 0.8, 1.0)}
    also = best.with_results(
        conditions=best.results.conditions | {"backbone_hybrid_text": info},
        answers=best.results.answers | {"backbone_hybrid_text": figures},
    )
    assert "what BM25 finds" in finding(also, "Is retrieved memory better").answer


def test_collapse_is_warned_of_below_half_of_the_best_baseline(evaluated: Any) -> None:
    data = evaluated.ranking("bm25", distinct_share=(0.5, 0.4, 0.6)).ranking("dense", distinct_share=(0.3, 0.2, 0.4))
    warned = finding(
        data.ranking("clara", distinct_share=(0.24, 0.2, 0.3)), "Does search tell the questions apart (whole"
    )
    assert warned.mark == "no" and warned.answer.startswith("Warning: collapse.")
    assert "BM25 0.500" in warned.evidence and "Below 0.250" in warned.evidence
    fine = finding(data.ranking("clara", distinct_share=(0.25, 0.2, 0.3)), "Does search tell the questions apart")
    assert fine.mark == "yes"


def test_collapse_without_a_baseline_is_judged_by_what_the_corpus_allows(evaluated: Any) -> None:
    # 40 questions with 5 documents each are 200 places: of 20 documents at most a tenth can be distinct.
    retrieval = {"corpus": {"clara": {"distinct_share": Figure(0.011, 0.01, 0.02)}}}
    small = evaluated.with_results(retrieval=retrieval, documents=20)
    assert finding(small, "Does search tell").mark == "yes"
    large = small.with_results(documents=256)
    assert finding(large, "Does search tell").mark == "no"


def test_retrieved_memory_is_compared_with_the_best_text_of_another_retriever(evaluated: Any) -> None:
    # Its cross-entropy is far lower in any case: the trained reader knows how answers look.
    assert finding(evaluated, "Is retrieved memory better").mark == "unsure"
    worse = evaluated.answering("backbone_bm25_text", f1=(0.6, 0.55, 0.65), cover_em=(0.5, 0.4, 0.6))
    found = finding(worse, "Is retrieved memory better")
    assert (found.mark, found.answer[:3]) == ("no", "No:")
    assert "0.600 [0.550, 0.650]" in found.evidence and "81 beside 831" in found.evidence


def test_a_reader_that_writes_more_is_not_called_worse_for_its_f1_alone(evaluated: Any) -> None:
    wordy = evaluated.answering("backbone_bm25_text", f1=(0.1, 0.05, 0.15), cover_em=(0.4, 0.34, 0.46))
    assert finding(wordy, "Is retrieved memory better").mark == "unsure"
    bad = evaluated.answering("backbone_bm25_text", f1=(0.1, 0.05, 0.15), cover_em=(0.2, 0.14, 0.26))
    assert finding(bad, "Is retrieved memory better").mark == "yes"


def test_cost_is_told_beside_text(evaluated: Any) -> None:
    found = finding(evaluated, "What does it cost?")
    assert found.answer == "The memory of a question's documents takes 10 positions of the prompt, their text 160."
    assert (
        "41 beside 191 positions; an answer 131 beside 281 ms on cpu; a stored document 5,760 beside 812"
        in found.evidence
    )
    untimed = replace(evaluated, costs=Costs("cpu", 1, 1.0, {}, {}))
    assert finding(untimed, "What does it cost?").evidence == (
        "Memory beside text: a whole prompt 41 beside 191 positions."
    )


def test_certainty_names_the_questions_and_half_of_the_interval(evaluated: Any) -> None:
    found = finding(evaluated.answering("gold_memory", f1=(0.4, 0.25, 0.55)), "How sure")
    assert found.answer == "They rest on 40 questions: F1 of gold memory is known to within 0.15."


def test_what_was_not_evaluated_is_not_judged(evaluated: Any) -> None:
    assert questions(evaluated.without_search()) == [
        "Is the memory used?",
        "How much of the text does the memory keep?",
        "What does it cost?",
        "How sure are the numbers?",
    ]
    assert finding(evaluated.without("another"), "Is the memory used?").answer == "Not measured."
