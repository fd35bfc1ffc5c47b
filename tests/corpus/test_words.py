"""Which words BM25 counts: those of bm25s, and pairs of letters where a script writes no spaces."""

from __future__ import annotations

import bm25s
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara_lightning.corpus.words import words_of

SPACED = st.characters(max_codepoint=0x0DFF)  # Latin, Greek, Cyrillic, Hebrew, Arabic, the scripts of India; all signs


@given(st.text(SPACED))
def test_words_of_spaced_scripts_are_those_of_bm25s(text: str) -> None:
    assert words_of(text) == bm25s.tokenize([text], stopwords="en", return_ids=False, show_progress=False)[0]


@pytest.mark.parametrize(
    ("document", "question"),
    [
        ("北京是中国的首都。也是政治中心。", "中国的首都是哪里。"),
        ("東京都は日本の首都である。", "日本の首都はどこですか"),
        ("กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย", "เมืองหลวงของไทยคืออะไร"),
    ],
    ids=["Chinese", "Japanese", "Thai"],
)
def test_a_question_in_a_script_without_spaces_has_words_of_its_document(document: str, question: str) -> None:
    tokenized = bm25s.tokenize([document, question], stopwords="en", return_ids=False, show_progress=False)

    assert not set(tokenized[0]) & set(tokenized[1])  # what bm25s alone would find
    assert len(set(words_of(document)) & set(words_of(question))) >= 3


def test_scripts_that_stand_side_by_side_are_parted() -> None:
    assert words_of("用Python写的第12版API文档") == ["用", "python", "写的", "的第", "12", "版", "api", "文档"]


def test_punctuation_parts_pairs_of_letters() -> None:
    assert words_of("首都、北京。「東京」・コピー") == ["首都", "北京", "東京", "コピ", "ピー"]


def test_english_stop_words_and_single_letters_are_left_out() -> None:
    assert words_of("The end of a 中 B c d and The Who") == ["end", "中", "who"]
