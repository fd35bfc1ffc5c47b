"""Questions over two sentences."""

from __future__ import annotations

import pytest

from clara_lightning.synthesis.teachers.from_rules.complex import Complex
from clara_lightning.synthesis.teachers.from_rules.derive import derive
from clara_lightning.synthesis.teachers.from_rules.quantities import amount_of, date_of


def found(text: str, title: str = "") -> dict[str, Complex]:
    """By type, the first of each."""
    by_type: dict[str, Complex] = {}
    for one in derive(title, text).complex_questions:
        by_type.setdefault(one.type, one)
    return by_type


def test_a_bridge_describes_the_topic_by_its_first_sentence() -> None:
    one = found("Acme is a rock band from Leeds. It was founded in 1980.", "Acme")["bridge"]
    assert (one.question, one.answer) == ("In which year was the rock band from Leeds founded?", "1980")
    assert one.sentences == (0, 1)


def test_a_bridge_describes_a_country_by_another_fact() -> None:
    one = found("The capital of Kenya is Nairobi. It has 109 airports.", "Kenya")["bridge"]
    assert (one.question, one.answer) == ("How many airports does the country whose capital is Nairobi have?", "109")


def test_the_earlier_of_two_dates_is_found() -> None:
    one = found("Acme was founded in 1990. Orr was founded in 1880.")["temporal"]
    assert one.answer == "1880"
    assert "In which year was Acme founded?" in one.question


def test_the_larger_of_two_numbers_of_a_kind_is_found() -> None:
    one = found("Kenya has 1,109 airports. Chad has 44 airports. Its 12 lakes are deep.")["comparison"]
    assert one.answer == "1,109"


def test_numbers_of_different_things_are_not_compared() -> None:
    assert "comparison" not in found("Kenya has 109 airports. Chad has 44 lakes.")


def test_two_facts_are_asked_for_together() -> None:
    one = found("The capital of Kenya is Nairobi. The currency of Chad is the franc.")["aggregation"]
    assert one.question == "What is the capital of Kenya, and what is the currency of Chad?"
    assert one.answer == "Nairobi and the franc"


def test_one_sentence_has_no_complex_questions() -> None:
    assert found("The capital of Kenya is Nairobi and the currency is the shilling of 1966.") == {}


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1,234", 1234.0), ("4.5 million", 4.5e6), ("three", 3.0), ("12%", 12.0), ("20\u201350%", None)],
)
def test_amounts_are_read(text: str, amount: float | None) -> None:
    assert amount_of(text) == amount


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("4 May 1990", (1990, 5, 4)),
        ("June 7, 2001", (2001, 6, 7)),
        ("1990", (1990, 0, 0)),
        ("44 BC", None),
        ("May", None),
    ],
)
def test_dates_are_read(text: str, date: tuple[int, int, int] | None) -> None:
    assert date_of(text) == date
