"""What stands in the background of a question under each condition."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from clara_lightning.data.prompts import MEMORY
from clara_lightning.errors import ClaraError
from clara_lightning.evaluation.conditions import CONDITIONS, fill


class Shelf:
    """Question number -> keys of its gold documents; the text of a key is the key without its apostrophe."""

    def __init__(self, *gold: Sequence[str]) -> None:
        self._gold = gold

    def gold(self, number: int) -> list[object]:
        return list(self._gold[number])

    def text(self, key: object) -> str:
        return str(key).rstrip("'")

    def memory(self, keys: Sequence[object]) -> Tensor:
        return torch.zeros(len(keys), 1, 1)


SHELF = Shelf(["a"], ["a", "b"], ["c", "d"], ["a'"])


def another(number: int, shelf: Shelf, *, total: int) -> tuple[object, ...]:
    return fill("another", number, library=shelf, total=total, retrieved=()).keys


def test_the_conditions_are_none_another_gold_memory_gold_text_and_what_was_retrieved() -> None:
    assert CONDITIONS == ("none", "another", "gold_memory", "gold_text", "retrieved_memory")


def test_without_memory_the_background_is_empty() -> None:
    filled = fill("none", 0, library=SHELF, total=4, retrieved=("x",))

    assert (filled.background, filled.keys) == ((), ())


def test_gold_memory_and_gold_text_are_of_the_same_documents() -> None:
    memory = fill("gold_memory", 2, library=SHELF, total=4, retrieved=())
    text = fill("gold_text", 2, library=SHELF, total=4, retrieved=())

    assert (memory.background, memory.keys) == ((MEMORY, MEMORY), ("c", "d"))
    assert (text.background, text.keys) == (("c", "d"), ())


def test_retrieved_memory_is_what_retrieval_found_best_first() -> None:
    filled = fill("retrieved_memory", 0, library=SHELF, total=4, retrieved=("z", "a", "y"))

    assert (filled.background, filled.keys) == ((MEMORY,) * 3, ("z", "a", "y"))


@pytest.mark.parametrize("number", range(4))
def test_another_documents_memory_is_as_much_and_never_gold(number: int) -> None:
    gold = {SHELF.text(key) for key in SHELF.gold(number)}

    keys = another(number, SHELF, total=4)

    assert len(keys) == len(SHELF.gold(number))
    assert not gold & {SHELF.text(key) for key in keys}
    assert len({SHELF.text(key) for key in keys}) == len(keys)


def test_a_copy_of_a_gold_document_is_no_other_document() -> None:
    assert another(0, Shelf(["a"], ["a'"], ["b"]), total=3) == ("b",)


def test_where_there_is_no_other_document_the_evaluation_is_refused() -> None:
    with pytest.raises(ClaraError, match="every question has the same gold documents"):
        another(0, Shelf(["a"], ["a'"]), total=2)
