"""Numbers, dates, quotations, names and rare words."""

from __future__ import annotations

import pytest

from clara_lightning.synthesis.teachers.from_rules.gazetteer import sort_of
from clara_lightning.synthesis.teachers.from_rules.lexicon import Lexicon, rare_words
from clara_lightning.synthesis.teachers.from_rules.listed_names import join_names
from clara_lightning.synthesis.teachers.from_rules.names import name_spans
from clara_lightning.synthesis.teachers.from_rules.spans import Span, numeric_spans, quote_spans, tokens_of
from clara_lightning.synthesis.teachers.from_rules.unspaced import unspaced_spans


def names(sentence: str) -> list[Span]:
    tokens = tokens_of(sentence)
    return join_names(sentence, name_spans(sentence, tokens, Lexicon.of([tokens], "")))


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("It opened on 4 May 1990 and closed on June 7, 2001.", [("date", "4 May 1990"), ("date", "June 7, 2001")]),
        ("In 1990, a 1961 film ran.", [("year", "1990"), ("year", "1961")]),
        ("From 1990\u201395 it had 1990 people.", [("year", "1990\u201395"), ("number", "1990")]),
        ("It cost $5 million, or €3.2 million.", [("money", "$5 million"), ("money", "€3.2 million")]),
        ("About 12.5% and 3 percent.", [("percent", "12.5%"), ("percent", "3 percent")]),
        ("It has 1,234,567 people and 4.5 million cows.", [("number", "1,234,567"), ("number", "4.5 million")]),
        ("The 1990s and the 19th century.", [("decade", "1990s"), ("century", "19th century")]),
        ("He has three sons.", [("number", "three")]),
        ("The B-52 has a 15-pin port at 46°57\u2032.", []),
    ],
)
def test_numbers_are_told_apart(sentence: str, found: list[tuple[str, str]]) -> None:
    spans = numeric_spans(sentence, tokens_of(sentence))
    assert [(span.kind, span.text) for span in spans] == found
    assert all(sentence[span.start : span.end] == span.text for span in spans)


def test_quotations_come_without_their_marks() -> None:
    assert [span.text for span in quote_spans('He wrote "The Sea," “Ice” and «La Mer».')] == [
        "The Sea",
        "Ice",
        "La Mer",
    ]


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("The club met Ann Lee at the University of Leeds.", ["Ann Lee", "University of Leeds"]),
        ("In it, J. R. Smith from the U.S. won.", ["J. R. Smith", "U.S."]),
        ("He met Ann, Bo and Cy there.", ["Ann, Bo and Cy"]),
        ("He met Ann, Bo, Cy and Dee there.", ["Ann", "Bo", "Cy", "Dee"]),
        ("It is from Doylestown, Pennsylvania.", ["Doylestown, Pennsylvania"]),
        ("It is the Jewish Week's and Ann's book.", ["Jewish Week", "Ann"]),
        ("Many people saw World War II on Monday.", ["World War II"]),
        ("Houses are tall.", []),
        ("She is an American singer.", []),
        ("Столица — Найроби.", ["Найроби"]),
    ],
)
def test_names_are_capitalized_words_that_belong_together(sentence: str, found: list[str]) -> None:
    assert [span.text for span in names(sentence)] == found


def test_the_first_word_is_a_name_if_it_has_a_capital_elsewhere() -> None:
    sentences = [tokens_of("Fox made it."), tokens_of("It was sold to Fox.")]
    lexicon = Lexicon.of(sentences, "")
    assert [span.text for span in name_spans("Fox made it.", sentences[0], lexicon)] == ["Fox"]


def test_one_of_a_long_list_is_marked() -> None:
    assert [span.members for span in names("He met Ann, Bo, Cy and Dee.")] == [0, 0, 0, 0]
    assert [span.members for span in names("He met Ann and Bo.")] == [2]


@pytest.mark.parametrize(
    ("name", "sort"),
    [
        ("Kenya", "country"),
        ("New York City", "city"),
        ("Nile River", "river"),
        ("University of Leeds", "university"),
        ("World War II", "war"),
        ("Lake Victoria", "lake"),
        ("Dr. Lee", ""),
        ("President Lee", "person"),
        ("David Goyer", "person"),
        ("Gaumont", ""),
    ],
)
def test_a_name_tells_what_it_stands_for(name: str, sort: str) -> None:
    assert sort_of(name.split()) == sort


def test_rare_words_are_long_and_the_noun_at_the_end_comes_first() -> None:
    sentence = "They really reduced the glaring lights of the lantern."
    tokens = tokens_of(sentence)
    found = [span.text for span in rare_words(sentence, tokens, Lexicon.of([tokens], ""))]
    assert found[0] == "lantern"
    assert set(found) == {"lantern", "lights", "glaring", "reduced"}


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("1963年に「ナイロビ」で。", ["1963年", "ナイロビ"]),
        ("首都は東京である。", ["首都", "東京"]),
        ("首都为内罗毕\uff0c人口约4760万。", ["4760万", "内罗毕"]),
        ("ใช้ Linux 12 เครื่อง", ["12", "Linux"]),
        ("你好世界。", []),
    ],
)
def test_scripts_without_spaces_have_spans_too(sentence: str, found: list[str]) -> None:
    assert [span.text for span in unspaced_spans(sentence)] == found
