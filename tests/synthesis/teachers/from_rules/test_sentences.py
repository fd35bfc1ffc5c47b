"""Where sentences end."""

from __future__ import annotations

import pytest

from clara_lightning.synthesis.teachers.from_rules.sentences import split_sentences


@pytest.mark.parametrize(
    "sentence",
    [
        "Dr. J. R. Smith lives on St. John Street in the U.S. state of Ohio.",
        "It weighs 3.5 kg, e.g. as much as no. 7 of vol. 2, i.e. a lot.",
        "See www.example.com for more.",
        "Yahoo! was founded by two students.",
        "It was sold by Acme Inc. Boston in May.",
        "В 1990 г. он переехал в Москву.",  # noqa: RUF001
    ],
)
def test_abbreviations_numbers_and_addresses_end_nothing(sentence: str) -> None:
    assert split_sentences(sentence) == [sentence]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ('He said "no." She left.', ['He said "no."', "She left."]),
        ("He moved to the U.S. The year was 1990.", ["He moved to the U.S.", "The year was 1990."]),
        ("It ends.[12] It goes on.", ["It ends.", "[12] It goes on."]),
        ("in economics.In mathematics", ["in economics.", "In mathematics"]),
        ("一つ。「二つ。」三つ\uff01", ["一つ。", "「二つ。」", "三つ\uff01"]),
        ("एक है। दो है।", ["एक है।", "दो है।"]),
        ("كم؟ واحد.", ["كم؟", "واحد."]),
        ("Столица — Найроби. Она большая.", ["Столица — Найроби.", "Она большая."]),
        ("Πού; Εδώ. Εκεί.", ["Πού; Εδώ.", "Εκεί."]),
    ],
)
def test_sentences_end_at_their_marks_in_any_script(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


def test_a_line_ends_a_sentence_unless_it_merely_wraps() -> None:
    wrapped = "This line is so long that it goes on in the next one because of\nKenya and its\nneighbours."
    assert split_sentences("Heading\n\nText one\nText two") == ["Heading", "Text one", "Text two"]
    assert split_sentences(wrapped) == [" ".join(wrapped.split())]


@pytest.mark.parametrize("text", ["", " \n ", "\x1c\x1d"])
def test_nothing_has_no_sentences(text: str) -> None:
    assert split_sentences(text) == []


def test_marks_alone_do_not_fail() -> None:
    assert "".join(split_sentences("...!!!???。。")) == "...!!!???。。"
