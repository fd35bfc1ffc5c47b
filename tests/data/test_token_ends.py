"""Counting tokens as the compressor does, and where they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from transformers import ByT5Tokenizer

from clara_lightning.data.prompts import document_ids
from clara_lightning.data.token_ends import TokenRuler

TEXTS = ["", "Oslo.", " Paris\n\n is </s> the capital <|im_end|>  ", "漢字 😀😀 é\tÉ", "river " * 400]


@pytest.fixture(params=["special tokens", "none", "slow"])
def tokenizer(request: pytest.FixtureRequest, tiny_tokenizer: Callable[..., Any]) -> Any:
    return ByT5Tokenizer() if request.param == "slow" else tiny_tokenizer(bos=request.param != "none")


def test_texts_are_counted_as_the_compressor_reads_them(tokenizer: Any) -> None:
    assert TokenRuler(tokenizer).count(TEXTS) == [len(ids) for ids in document_ids(tokenizer, TEXTS)]
    assert TokenRuler(tokenizer).count([]) == []


def test_ends_never_fall_and_the_last_is_the_texts(tokenizer: Any) -> None:
    ruler = TokenRuler(tokenizer)
    for measured in ruler.measure([text.strip() for text in TEXTS if text]):
        ends = ruler.ends(measured)
        assert np.all(np.diff(ends) >= 0)
        assert ends[-1] == len(measured.text)


def test_fast_tokenizers_say_where_each_token_ends(tiny_tokenizer: Callable[..., Any]) -> None:
    tokenizer = tiny_tokenizer(bos=False)
    text = "Rome lies on the river Tiber."
    (measured,) = TokenRuler(tokenizer).measure([text])
    tokens = [tokenizer.decode([number]) for number in document_ids(tokenizer, [text])[0]]

    assert TokenRuler(tokenizer).ends(measured).tolist() == (np.cumsum([len(token) for token in tokens]) - 1).tolist()


def test_of_other_tokenizers_ends_are_worked_out_word_by_word() -> None:
    ruler = TokenRuler(ByT5Tokenizer())  # a token is a byte
    (measured,) = ruler.measure(["ab  é c"])

    assert ruler.ends(measured).tolist() == [1, 2, 2, 3, 4, 5, 5, 6, 7]  # " ab", "  é" of four bytes, " c"
