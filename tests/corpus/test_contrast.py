"""What a question is told apart from: the documents of its batch, each once."""

from __future__ import annotations

import torch

from clara_lightning.corpus.candidates import Candidates, GoldDocuments, other_candidates
from clara_lightning.corpus.contrast import has_gold, pool_documents
from clara_lightning.data.records import Passage, Question

KEYS = [[7, 8, 9], [8, 5, -1]]  # 8 is a candidate of both; the second question has two candidates
GOLD = [(7,), (8, 3)]  # 8 is gold for the second question alone; 3 was not found


def memory(key: int) -> torch.Tensor:
    return torch.full((2, 4), float(key))


def candidates() -> Candidates:
    keys_BN = torch.tensor(KEYS)
    memory_BNLD = torch.stack([torch.stack([memory(max(key, 0)) for key in row]) for row in KEYS])
    gold_BN = torch.tensor([[key in own for key in row] for row, own in zip(KEYS, GOLD, strict=True)])
    return Candidates(memory_BNLD, keys_BN >= 0, gold_BN, torch.tensor([1, 2]), keys_BN)


def gold_documents() -> list[GoldDocuments]:
    return [GoldDocuments(torch.stack([memory(key) for key in keys]), keys) for keys in GOLD]


def question(name: str, *, gold: bool, gold_ids: tuple[str, ...] = ()) -> Question:
    return Question(name, "?", ("yes",), (Passage("text", gold=gold),), gold_ids)


def test_the_pool_holds_every_document_once() -> None:
    pool = pool_documents(candidates(), gold_documents())

    assert pool.memory_XLD[:, 0, 0].tolist() == [7, 8, 9, 5, 3]


def test_a_document_is_gold_for_whom_it_is_gold_and_a_negative_for_others() -> None:
    pool = pool_documents(candidates(), gold_documents())

    assert pool.gold_BX.int().tolist() == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 1]]
    assert pool.own_BX.int().tolist() == [[1, 1, 1, 0, 0], [0, 1, 0, 1, 1]]


def test_another_questions_candidate_that_is_gold_is_no_negative() -> None:
    found, gold = candidates(), gold_documents()
    gold[0] = GoldDocuments(torch.stack([memory(7), memory(5)]), (7, 5))

    assert pool_documents(found, gold).gold_BX[0].int().tolist() == [1, 0, 0, 1, 0]


def test_some_candidates_keep_what_they_are_and_gold_documents_join_them_again() -> None:
    some = candidates().only(torch.tensor([[2, 1], [1, 2]]))

    assert some.keys_BN.tolist() == [[9, 8], [5, -1]] and some.mask_BN.tolist() == [[True, True], [True, False]]
    assert some.memory_BNLD[0, 0, 0, 0] == 9 and not some.gold_BN.any() and some.num_gold_B.tolist() == [1, 2]
    pool = pool_documents(some, gold_documents())
    assert pool.memory_XLD[:, 0, 0].tolist() == [9, 8, 5, 7, 3]
    assert pool.own_BX.int().tolist() == [[1, 1, 0, 1, 0], [0, 1, 1, 0, 1]]


def test_other_candidates_are_the_first_that_are_not_gold_over_and_over() -> None:
    first, second = other_candidates(candidates(), gold_documents())

    assert first[:, 0, 0].tolist() == [8]
    assert second[:, 0, 0].tolist() == [5, 5]


def test_gold_alone_has_no_other() -> None:
    everything = [GoldDocuments(gold.memory_NLD, (5, 7, 8, 9)) for gold in gold_documents()]

    assert [len(other) for other in other_candidates(candidates(), everything)] == [0, 0]


def test_a_gold_document_is_one_of_a_store_or_one_of_the_passages() -> None:
    assert has_gold(question("q1", gold=True), searched=False)
    named = question("q2", gold=False, gold_ids=("d1",))
    assert has_gold(named, searched=True) and not has_gold(named, searched=False)
