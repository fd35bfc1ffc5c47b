"""Which part of a text is read, in which writing it is, and what of it is markup."""

from __future__ import annotations

import pytest

from clara_lightning.synthesis.teachers.from_rules.text import READ, has_markup, readable, without_markup, writing_of


@pytest.mark.parametrize(
    ("text", "writing"),
    [
        ("The capital of Kenya is Nairobi.", "english"),
        ("Capital: Nairobi", "english"),
        ("Die Hauptstadt von Kenia ist Nairobi und sie liegt im Süden des Landes.", "latin"),
        ("La capitale du Kenya est Nairobi et le pays est situé dans la région de l'Est.", "latin"),
        ("Столица Кении — Найроби.", "spaced"),
        ("عاصمتها نيروبي.", "spaced"),
        ("서울은 대한민국의 수도이다.", "spaced"),
        ("首都はナイロビ。", "unspaced"),
        ("เมืองหลวงคือไนโรบี", "unspaced"),
    ],
)
def test_writing_follows_from_letters_and_small_words(text: str, writing: str) -> None:
    assert writing_of(text) == writing


def test_a_short_text_is_read_whole_and_a_long_one_up_to_a_space() -> None:
    long = "word " * READ
    assert readable("a few words") == "a few words"
    assert len(readable(long)) <= READ
    assert readable(long).endswith("word ")


def test_a_long_text_without_spaces_is_cut_somewhere() -> None:
    assert readable("x" * (2 * READ)) == "x" * READ


@pytest.mark.parametrize(
    "markup",
    [
        "<b>bold</b>",
        "[[Link|text]]",
        "{{cite web}}",
        "```x = 1```",
        "https://a.b/c?d=e",
        "[text](http://a.b)",
        "<!-- no -->",
    ],
)
def test_markup_is_left_out_with_the_words_that_touch_it(markup: str) -> None:
    pieces = [piece.strip() for piece in without_markup(f"before it{markup}self after")]
    assert [piece for piece in pieces if piece][:: len(pieces) - 1 or 1] == ["before", "after"]
    assert has_markup(markup)


def test_a_row_of_a_table_is_left_out() -> None:
    assert "".join(without_markup("above\n| a | b |\nbelow")).split() == ["above", "below"]


def test_signs_alone_are_no_markup() -> None:
    assert list(without_markup("a < b, [1] and {x}")) == ["a < b, [1] and {x}"]
    assert not has_markup("a < b")
