"""Documents by row, candidates, and whose document is lent to whom."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import chain
from typing import Any

import pytest
import torch

from clara_lightning.data.records import Document, Passage, Question
from clara_lightning.errors import ClaraError
from clara_lightning.evaluation.corpus import (
    Asked,
    PassageCorpus,
    StoreCorpus,
    ask_passages,
    ask_store,
    draw_questions,
    others_gold,
)


def question(name: str, *gold: str, others: Sequence[str] = ()) -> Question:
    passages = [Passage(text, True) for text in gold] + [Passage(text, False) for text in others]
    return Question(name, f"{name}?", ("yes",), tuple(passages))


QUESTIONS = [question("q0", "a", others=["x", "b"]), question("q1", "b", "c"), question("q2", "d", others=["d", "a"])]


def nothing(questions: Sequence[str], depth: int) -> Sequence[Sequence[int]]:
    raise AssertionError("nothing is to be mined")


def test_each_distinct_passage_has_one_row() -> None:
    corpus = PassageCorpus(QUESTIONS)

    assert [document.text for document in corpus.documents(range(len(corpus)))] == ["a", "x", "b", "c", "d"]
    assert [corpus.rows_of(each) for each in QUESTIONS] == [(0, 1, 2), (2, 3), (4, 0)]
    assert [corpus.rows_of(each, gold=True) for each in QUESTIONS] == [(0,), (2, 3), (4,)]


def test_candidates_are_a_questions_own_passages_where_no_more_are_wanted() -> None:
    corpus = PassageCorpus(QUESTIONS)

    asked = ask_passages(QUESTIONS, corpus, num_candidates=0, mine=nothing, source="f")

    assert [one.candidates for one in asked] == [(0, 1, 2), (2, 3), (0, 4)]
    assert [one.gold for one in asked] == [(0,), (2, 3), (4,)]


def test_mined_documents_fill_candidates_up_and_gold_ones_are_always_among_them() -> None:
    corpus = PassageCorpus(QUESTIONS)
    mined = [(3, 4), (0, 1, 2, 4), (1, 3)]

    asked = ask_passages(QUESTIONS, corpus, num_candidates=4, mine=lambda questions, depth: mined, source="f")

    assert [one.candidates for one in asked] == [(0, 1, 2, 3), (0, 1, 2, 3), (0, 1, 3, 4)]


def test_a_question_without_a_gold_passage_is_named() -> None:
    rows = [*QUESTIONS, question("q3", others=["x"])]

    with pytest.raises(ClaraError, match=r"^f: question 'q3': passages: none is gold"):
        ask_passages(rows, PassageCorpus(rows), num_candidates=0, mine=nothing, source="f")


def test_a_sample_depends_on_ids_and_seed_and_not_on_the_order() -> None:
    rows = [question(f"q{number}", "a") for number in range(30)]
    shuffled = random.Random(1).sample(rows, len(rows))

    drawn = draw_questions(rows, limit=10, seed=0)

    assert len(drawn) == 10 and drawn == [row for row in rows if row in drawn]
    assert {row.id for row in draw_questions(shuffled, limit=10, seed=0)} == {row.id for row in drawn}
    assert draw_questions(rows, limit=10, seed=1) != drawn
    assert draw_questions(rows, limit=None, seed=0) == draw_questions(rows, limit=99, seed=0) == rows


def test_a_gold_document_that_the_store_holds_in_chunks_is_all_of_them(make_store: Any) -> None:
    store = make_store(torch.ones(6, 1, 2), ids=["a#1", "b", "a#2", "c", "d#1", "d#2"], chunk_tokens=32)
    rows = [Question("q0", "?", ("yes",), gold_ids=("c", "a", "c")), Question("q1", "?", ("yes",), gold_ids=("d#2",))]

    asked = ask_store(rows, store, num_candidates=4, mine=lambda questions, depth: [(0, 4, 5, 1)] * 2, source="f")

    assert [one.gold for one in asked] == [(3, 0, 2), (5,)]
    assert [one.candidates for one in asked] == [(0, 2, 3, 4), (0, 1, 4, 5)]
    assert asked[0].gold_documents(StoreCorpus(store)) == [("c", (3,)), ("a", (0, 2))]
    assert asked[1].gold_documents(StoreCorpus(store)) == [("d#2", (5,))]


def asked_of(rows: Sequence[Question], corpus: PassageCorpus) -> list[Asked]:
    return ask_passages(rows, corpus, num_candidates=0, mine=nothing, source="f")


def test_another_documents_are_as_many_and_gold_for_another_question_alone() -> None:
    corpus = PassageCorpus(QUESTIONS)
    asked = asked_of(QUESTIONS, corpus)

    for seed in range(5):
        for one, lent in zip(asked, others_gold(asked, corpus, seed=seed), strict=True):
            assert len(lent) == len(set(lent)) == len(one.gold)
            assert not set(lent) & set(one.gold)
            assert set(lent) <= {row for other in asked for row in other.gold}


def test_who_lends_to_whom_does_not_depend_on_the_order_of_the_questions() -> None:
    rows = [question(f"q{number}", f"text {number}") for number in range(12)]
    orders = [rows, random.Random(1).sample(rows, 12)]
    lent = []
    for order in orders:
        corpus = PassageCorpus(order)
        found = others_gold(asked_of(order, corpus), corpus, seed=0)
        lent.append({row.id: corpus.documents(keys)[0].text for row, keys in zip(order, found, strict=True)})

    assert lent[0] == lent[1]


def test_a_copy_of_a_gold_document_is_no_other_document() -> None:
    class Copies(PassageCorpus):
        def __init__(self) -> None:
            super().__init__([])
            self._documents = [Document("one", "a"), Document("two", "a"), Document("three", "b")]

    asked = [Asked(question("q0"), (0,)), Asked(question("q1"), (1,)), Asked(question("q2"), (2,))]

    assert others_gold(asked, Copies(), seed=0)[:2] == [(2,), (2,)]


def test_where_too_few_documents_can_be_lent_the_question_is_named() -> None:
    rows = [question("q0", "a"), question("q1", "a")]
    corpus = PassageCorpus(rows)

    with pytest.raises(ClaraError, match=r"--data: question 'q0': the other questions' gold documents are too few"):
        others_gold(asked_of(rows, corpus), corpus, seed=0)


def test_a_stores_documents_are_read_by_row_and_once(make_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(torch.ones(11, 1, 2))
    read: list[int] = []
    documents = store.documents
    monkeypatch.setattr(store, "documents", lambda rows: read.extend(rows) or documents(rows))
    corpus = StoreCorpus(store)

    found = [corpus.documents(rows) for rows in ([7, 2, 7], [2, 9], [])]

    assert [[document.id for document in each] for each in found] == [["d7", "d2", "d7"], ["d2", "d9"], []]
    assert sorted(read) == [2, 7, 9]
    assert len(corpus) == 11


def test_all_contents_of_a_store_are_given_in_order_and_not_held(make_store: Any) -> None:
    store = make_store(torch.ones(11, 1, 2))
    corpus = StoreCorpus(store)

    contents = list(chain.from_iterable(corpus.contents()))

    assert contents == [document.content for document in store.documents(range(11))]
    assert not corpus._documents


def test_all_contents_of_passages_are_those_of_their_rows() -> None:
    corpus = PassageCorpus(QUESTIONS)

    assert list(chain.from_iterable(corpus.contents())) == ["a", "x", "b", "c", "d"]
