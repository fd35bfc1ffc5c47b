"""Which conditions there are, and what stands in the background under each."""

from __future__ import annotations

import pytest

from clara_lightning.data.records import Question
from clara_lightning.errors import ClaraError
from clara_lightning.evaluation.conditions import ALWAYS, Given, choose_conditions, give, possible_conditions
from clara_lightning.evaluation.corpus import Asked
from clara_lightning.evaluation.retrievers import Ranking

RETRIEVERS = {"clara": "CLaRa", "bm25": "BM25"}
ASKED = [Asked(Question("q0", "?", ("y",)), (3,), (1, 2, 3)), Asked(Question("q1", "?", ("y",)), (1, 4), (1, 4, 5))]
NORMAL = {"clara": [Ranking((7, 8, 3), (0.9, 0.5, 0.1)), Ranking((1, 9, 4), (0.8, 0.7, 0.6))]}
ORACLE = {"clara": [Ranking((3, 1, 2), (0.3, 0.2, 0.1)), Ranking((4, 5, 1), (0.3, 0.2, 0.1))]}
LENT = [(1,), (3, 9)]


def given(name: str, *, top_k: int = 2) -> list[Given]:
    info = possible_conditions(RETRIEVERS, whole_corpus=True)[name]
    return give(info, ASKED, lent=LENT, normal=NORMAL, oracle=ORACLE, top_k=top_k)


def test_the_four_conditions_come_first_and_can_always_be_measured() -> None:
    for retrievers in ({}, RETRIEVERS):
        assert tuple(possible_conditions(retrievers, whole_corpus=False))[:4] == ALWAYS


def test_every_retriever_gives_its_documents_memory_and_text() -> None:
    possible = possible_conditions(RETRIEVERS, whole_corpus=True)

    assert {"bm25_memory", "backbone_bm25_text", "retrieved_memory", "retrieved_text", "oracle_memory"} <= set(possible)
    assert {info.reader for name, info in possible.items() if name.startswith("backbone_")} == {"backbone"}


def test_where_nothing_is_retrieved_no_condition_needs_it() -> None:
    assert all(info.retriever is None for info in possible_conditions({}, whole_corpus=False).values())


def test_candidates_that_hold_the_gold_documents_need_none_injected() -> None:
    assert "oracle_memory" not in possible_conditions(RETRIEVERS, whole_corpus=False)


def test_what_is_chosen_is_added_to_the_four() -> None:
    possible = possible_conditions(RETRIEVERS, whole_corpus=True)

    assert tuple(choose_conditions(["bm25_memory"], possible)) == (*ALWAYS, "bm25_memory")
    assert tuple(choose_conditions([], possible)) == ALWAYS
    assert choose_conditions(None, possible) == possible


def test_an_unknown_condition_is_answered_with_the_names() -> None:
    with pytest.raises(ClaraError, match=r"--conditions: no condition 'golden', there are none, another, gold_memory"):
        choose_conditions(["golden"], possible_conditions(RETRIEVERS, whole_corpus=True))


@pytest.mark.parametrize(
    ("name", "needed"), [("retrieved_memory", "--store or --candidates"), ("oracle_memory", "a search of --store")]
)
def test_a_condition_that_the_data_do_not_allow_is_answered_with_what_it_needs(name: str, needed: str) -> None:
    with pytest.raises(ClaraError, match=f"{name} cannot be measured on this data without {needed}$"):
        choose_conditions([name], possible_conditions({}, whole_corpus=False))


def test_without_memory_there_is_no_document() -> None:
    assert given("none") == given("backbone_none") == [Given(), Given()]


def test_gold_memory_text_and_tokens_are_of_the_same_documents() -> None:
    for name in ("gold_memory", "gold_text", "backbone_gold_text", "backbone_gold_tokens"):
        assert [one.rows for one in given(name)] == [(3,), (1, 4)]


def test_another_documents_memory_is_what_is_lent() -> None:
    assert [one.rows for one in given("another")] == LENT


def test_what_is_retrieved_is_the_corpuss_best_in_their_order_with_scores() -> None:
    assert given("retrieved_memory") == [Given((7, 8), (0.9, 0.5)), Given((1, 9), (0.8, 0.7))]
    assert given("retrieved_text") == given("retrieved_memory") == given("backbone_retrieved_text")


def test_with_gold_injected_the_candidates_best_are_taken() -> None:
    assert given("oracle_memory", top_k=1) == [Given((3,), (0.3,)), Given((4,), (0.3,))]
