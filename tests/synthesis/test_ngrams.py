"""Words are compared without what does not matter, and equal runs, and only they, have equal hashes."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara_lightning.synthesis.ngrams import hashes, length_in_words, num_unspaced, run_hashes, words


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("The NILE, (long)!", "the nile long"),
        ("état-major", "e\u0301tat major"),
        ("Straße", "STRASSE"),
        ("\uff21\uff22\uff23 \uff11\uff12\uff13", "abc 123"),
        ("co\u00adoperate", "cooperate"),
        ("尼罗河很长。", "尼 罗 河 很 长"),
        ("Nile尼罗河Nile", "nile 尼 罗 河 nile"),
        ("हिन्दी भाषा", "हिन्दी  भाषा।"),
        ("من أين؟", "من أين"),
        ("a\u00a0b\u3000c\td", "a b c d"),
        ("🙂 yes 🙂", "yes"),
    ],
)
def test_two_ways_to_write_a_text_have_the_same_words(text: str, same: str) -> None:
    assert words(text) == words(same) == words(same.upper())


def test_marks_stay_with_their_letters() -> None:
    assert words("हिन्दी भाषा") == ["हिन्दी", "भाषा"]


def test_punctuation_alone_is_no_word() -> None:
    assert words("... --- !!! \u2026 $$$ \n") == []


def test_a_length_counts_characters_of_a_script_without_spaces_as_less_than_a_word() -> None:
    assert length_in_words(words("ภาษาไทย")) == len("ภาษาไทย") / 1.5
    assert length_in_words(words("尼罗河 Nile river")) == 4
    assert num_unspaced(words("尼罗河 Nile river")) == 3


def test_a_hash_depends_on_the_word_alone() -> None:
    assert [int(value) for value in hashes(["nile", "河"])] == [
        int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest()) for word in ("nile", "河")
    ]


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 6))
def test_equal_runs_and_only_they_have_equal_hashes(text: list[str], length: int) -> None:
    runs = [tuple(text[start : start + length]) for start in range(len(text) - length + 1)]

    of_runs = run_hashes(hashes(text), length).tolist()

    assert len(of_runs) == len(runs)
    assert len(set(zip(runs, of_runs, strict=True))) == len(set(runs)) == len(set(of_runs))


def test_a_run_has_the_same_hash_in_every_text() -> None:
    long = [str(number) for number in range(5000)]

    assert run_hashes(hashes(long), 3)[4000] == run_hashes(hashes(long[4000:4003]), 3)[0]
