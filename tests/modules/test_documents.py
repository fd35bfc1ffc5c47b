"""What is lent and what is ranked in the validations of stages 1 and 2, against the plain way of doing it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from clara_lightning.backbone.backbone import Compressed
from clara_lightning.data.examples import ReadingExample
from clara_lightning.errors import ClaraError
from clara_lightning.modules.documents import ValidationDocuments, others_documents
from clara_lightning.objectives.scores import maxsim

CPU = torch.device("cpu")
COUNTS = (1, 2, 1, 3, 1, 2)  # documents of each of six questions; the last document is gold


def examples() -> list[ReadingExample]:
    found: list[ReadingExample] = []
    for count in COUNTS:
        texts = tuple(f"text {len(found)}.{place}" for place in range(count))
        gold = tuple(place == count - 1 for place in range(count))
        found.append(ReadingExample(texts, "question", "yes", f"{len(found)}?", gold=gold))
    return found


def memories() -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(count, 2, 8, generator=draw).to(torch.bfloat16).float() for count in COUNTS]


def read(vectors: Sequence[Tensor]) -> Compressed:
    query_NLD = torch.stack(list(vectors))
    nothing = torch.zeros(len(query_NLD), 8)
    return Compressed(query_NLD, nothing, nothing, torch.ones(len(query_NLD), 2), 0)


def queries() -> list[Tensor]:
    """Between the gold document and noise, so that some questions find it and others do not."""
    draw = torch.Generator().manual_seed(1)
    return [memory[-1] + 1.5 * torch.randn(2, 8, generator=draw) for memory in memories()]


def run(documents: ValidationDocuments, cuts: Sequence[int] = (0, 2, 4, 6)) -> list[Tensor]:
    rows, memory, asked = examples(), memories(), queries()
    lent: list[Tensor] = []
    for start, end in pairwise(cuts):
        part = slice(start, end)
        lent += documents.add(rows[part], memory[part], read(asked[part]), real=end - start)
    return lent


def test_all_documents_are_candidates_of_every_question() -> None:
    documents = ValidationDocuments(ranked=100)
    run(documents)
    scores_BN = maxsim(torch.stack(queries()), torch.cat(memories()), torch.ones(6, 2))
    gold = [sum(COUNTS[: row + 1]) - 1 for row in range(len(COUNTS))]
    ranks = [int((row > row[place]).sum()) + 1 for row, place in zip(scores_BN, gold, strict=True)]

    found = documents.figures("maxsim", device=CPU)

    assert {1} < {min(rank, 6) for rank in ranks}  # neither all found nor none
    assert float(found["recall@1"]) == pytest.approx(sum(rank == 1 for rank in ranks) / 6)
    assert float(found["recall@5"]) == pytest.approx(sum(rank <= 5 for rank in ranks) / 6)
    assert float(found["mrr"]) == pytest.approx(sum(1 / rank for rank in ranks) / 6)
    assert (found["ranked_documents"], found["unranked_questions"]) == (10, 0)


def test_a_document_of_two_questions_counts_once() -> None:
    documents = ValidationDocuments(ranked=100)
    run(documents)
    once = documents.figures("maxsim", device=CPU)
    run(documents)

    assert documents.figures("maxsim", device=CPU) == once


def test_no_more_than_the_limit_is_kept_and_the_others_are_counted() -> None:
    documents = ValidationDocuments(ranked=5)
    run(documents)

    found = documents.figures("maxsim", device=CPU)

    assert (found["ranked_documents"], found["unranked_questions"]) == (4, 3)  # 1 + 2 + 1, and no room for 3


def test_without_a_limit_above_zero_nothing_is_ranked() -> None:
    documents = ValidationDocuments(ranked=0)
    documents.add(examples()[:2], memories()[:2], None, real=2)
    assert documents.figures("maxsim", device=CPU) == {}


def test_without_known_gold_recall_is_unknown() -> None:
    documents = ValidationDocuments(ranked=10)
    row = ReadingExample(("text",), "question", "yes", "?")
    documents.add([row], memories()[:1], read(queries()[:1]), real=1)
    found = documents.figures("maxsim", device=CPU)
    assert all(math.isnan(found[name]) for name in ("recall@1", "recall@5", "mrr"))
    assert (found["ranked_documents"], found["unranked_questions"]) == (1, 0)


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(ClaraError, match=r"model\.init_args\.ranked_documents must be >= 0, got -1"):
        ValidationDocuments(ranked=-1)


def test_neither_what_is_lent_nor_what_is_ranked_depends_on_the_batches() -> None:
    together, apart = ValidationDocuments(ranked=100), ValidationDocuments(ranked=100)

    for one, other in zip(run(together, cuts=(0, 6)), run(apart, cuts=(0, 3, 4, 6)), strict=True):
        assert torch.equal(one, other)
    assert together.figures("maxsim", device=CPU) == apart.figures("maxsim", device=CPU)


def test_a_repeated_row_borrows_nothing_and_counts_nowhere() -> None:
    documents = ValidationDocuments(ranked=100)
    rows, memory, asked = examples(), memories(), queries()

    lent = documents.add(rows[:3], memory[:3], read(asked[:3]), real=2)

    assert [len(each) for each in lent] == [1, 2, 0]
    assert documents.figures("maxsim", device=CPU)["ranked_documents"] == 3


@pytest.mark.parametrize("counts", [(1, 1), (1, 3), (3, 1), (2, 2, 5), (1, 2, 1, 4)])
def test_a_question_is_never_lent_its_own_documents(counts: tuple[int, ...]) -> None:
    owner = [question for question, count in enumerate(counts) for _ in range(count)]
    keys = [[place for place, own in enumerate(owner) if own == question] for question in range(len(counts))]

    lent = others_documents(keys)

    assert [len(line) for line in lent] == list(counts)
    assert all(owner[place] != question for question, line in enumerate(lent) for place in line)


def test_the_nearest_before_are_lent_before_those_behind() -> None:
    assert others_documents([[1], [2], [3]], before=[8, 9]) == [[1], [2], [3]]
    assert others_documents([[1], [2], [3]]) == [[1], [0], [1]]


def test_a_document_that_is_ones_own_too_is_not_lent() -> None:
    assert others_documents([[1], [2, 1], [1]], before=[2]) == [[0], [], [2]]
