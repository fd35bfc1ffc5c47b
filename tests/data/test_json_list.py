"""A JSON list is cut between its elements, wherever its bytes are cut."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara_lightning.data.json_list import split_list
from clara_lightning.errors import ClaraError

texts = st.text(st.sampled_from('"\\[]{},: \na€'), max_size=8)
scalars = st.none() | st.booleans() | st.integers() | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


@given(st.lists(values, max_size=4), st.integers(1, 9), st.sampled_from([None, 1]), st.booleans())
def test_elements_are_those_of_the_parsed_list(elements: list[Any], size: int, indent: Any, escaped: bool) -> None:
    content = json.dumps(elements, indent=indent, ensure_ascii=escaped).encode()
    chunks = (content[start : start + size] for start in range(0, len(content), size))

    assert [json.loads(element) for element in split_list(chunks, name="file")] == elements


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "expected a JSON list"),
        (b'{"a": [1]}', "expected a JSON list"),
        (b'[{"a": 1}', "the JSON list is not closed"),
        (b'["a]', "the JSON list is not closed"),
        (b"[}", "the JSON list is not closed"),
        (b"[1] [2]", "something follows the JSON list"),
    ],
)
def test_what_is_no_list_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(ClaraError, match=re.escape(f"file: {problem}") + "$"):
        list(split_list([content], name="file"))


def test_no_more_than_an_element_is_taken_at_a_time() -> None:
    taken: list[int] = []

    def chunks() -> Any:
        for number in range(100):
            taken.append(number)
            yield b"[1" if number == 0 else b", 1"

    elements = split_list(chunks(), name="file")
    assert [next(elements), next(elements)] == [b"1", b"1"] and len(taken) <= 4
