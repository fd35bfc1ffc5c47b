"""Where a text is cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara_lightning.data.convert.passages import cut

texts = st.lists(st.sampled_from(["word", "end.", "what?", " ", "\n", "\n\n", "  \n \n", "e.g."]), max_size=40).map(
    " ".join
)


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        ("a b\n\nc\n\nd e f g", ["a b\n\nc", "d e f g"]),
        ("a b\nc d", ["a b\nc d"]),
        ("a b c. d e. f. g h i j.", ["a b c.", "d e. f.", "g h i j."]),
        ("a b c d e f g h i", ["a b c d", "e f g h", "i"]),
        ("a. b c d e f.\n\ng", ["a.", "b c d e", "f.", "g"]),
        (" \n\n ", []),
    ],
    ids=["paragraphs", "lines", "sentences", "words", "mixed", "nothing"],
)
def test_a_text_is_cut_at_the_coarsest_boundary_that_will_do(text: str, passages: list[str]) -> None:
    assert list(cut(text, max_words=4)) == passages


@given(texts, st.integers(1, 7))
def test_passages_are_pieces_of_the_text_in_order_and_nothing_is_lost(text: str, max_words: int) -> None:
    passages = list(cut(text, max_words=max_words))

    assert [word for passage in passages for word in passage.split()] == text.split()
    assert all(passage in text and 1 <= len(passage.split()) <= max_words for passage in passages)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(5, 12))
def test_paragraphs_are_put_together_while_they_fit(sizes: list[int], max_words: int) -> None:
    text = "\n\n".join(" ".join(["word."] * size) for size in sizes)

    expected: list[int] = []
    for size in sizes:
        if expected and expected[-1] + size <= max_words:
            expected[-1] += size
        else:
            expected.append(size)
    assert [len(passage.split()) for passage in cut(text, max_words=max_words)] == expected


def test_a_text_can_be_cut_at_other_places_by_another_length() -> None:
    boundaries = (re.compile(";"), re.compile(","))

    assert list(cut("aa,b;c;ddd,eeeee", max_words=3, boundaries=boundaries, count=len)) == ["aa,b", "c", "ddd", "eeeee"]
