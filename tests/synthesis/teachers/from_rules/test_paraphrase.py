"""Other order, other clauses, and nothing lost."""

from __future__ import annotations

import pytest

from clara_lightning.synthesis.teacher import BadReplyError
from clara_lightning.synthesis.teachers.from_rules.compare import differences
from clara_lightning.synthesis.teachers.from_rules.paraphrase import paraphrase
from clara_lightning.synthesis.teachers.from_rules.rewording import reword


@pytest.mark.parametrize(
    ("sentence", "reworded"),
    [
        ("In 1990, the club moved to Leeds.", "The club moved to Leeds in 1990."),
        ("The club moved to Leeds in 1990.", "In 1990, the club moved to Leeds."),
        ("The capital of Kenya is Nairobi.", "Nairobi is the capital of Kenya."),
        ("Nairobi is the capital of Kenya.", "The capital of Kenya is Nairobi."),
        ("The coast is dry, while the hills are wet.", "The hills are wet, while the coast is dry."),
        ("The tower fell because the wind blew.", "Because the wind blew, the tower fell."),
        ("The coast is very dry; the northern hills are wet.", "The northern hills are wet; the coast is very dry."),
        ("Ohm is a film directed by Ann Lee.", "Directed by Ann Lee, Ohm is a film."),
        ("Ann Lee (born 4 May 1901) is a singer.", "Ann Lee is a singer (born 4 May 1901)."),
    ],
)
def test_clauses_change_places(sentence: str, reworded: str) -> None:
    assert reword(sentence) == reworded


@pytest.mark.parametrize(
    "sentence",
    [
        "It rains.",
        "In 1990, the club that moved to Leeds, a city, won.",
        "The coast is dry, while it rains in the hills.",
        'In "1990", the club moved.',
        "In <b>1990</b>, the club moved.",
    ],
)
def test_a_sentence_that_no_safe_rule_fits_stays(sentence: str) -> None:
    assert reword(sentence) == sentence


def test_it_is_named_where_its_sentence_comes_first() -> None:
    texts = {paraphrase("Kenya", f"Kenya is a country. It has {n} airports.", plain=False) for n in range(10, 20)}
    assert any(text.startswith("Kenya has ") for text in texts)
    assert not any(text.startswith("It ") for text in texts)


def test_a_sentence_that_leans_on_another_stays_behind_it() -> None:
    text = "The club won. However, this was not enough. The town is small. Its mayor left."
    assert "The club won. However, this was not enough." in paraphrase("", text, plain=True)


def test_a_quotation_over_two_sentences_stays_whole() -> None:
    text = 'He said, "We go. We stay." The town is small. The road is long.'
    assert 'He said, "We go. We stay."' in paraphrase("", text, plain=True)


def test_numbers_of_the_title_come_back() -> None:
    text = paraphrase("2008 earthquake", "The town fell. The hills shook.", plain=False)
    assert text.startswith("2008 earthquake: ")


def test_lines_of_a_list_stay_lines() -> None:
    text = paraphrase("", "Capital: Nairobi\nPopulation: 47 million", plain=False)
    assert sorted(text.splitlines()) == ["Capital: Nairobi", "Population: 47 million"]


@pytest.mark.parametrize(
    ("text", "reason"), [("It rains.", "nothing that can be moved"), ("", "nothing"), ("A.\n```\nx\n```\nB.", "markup")]
)
def test_what_cannot_be_moved_is_a_bad_reply(text: str, reason: str) -> None:
    with pytest.raises(BadReplyError, match=reason):
        paraphrase("", text, plain=False)


def test_words_count_as_often_as_they_stand() -> None:
    assert differences("Leeds met Leeds in 1990.", "Leeds met York in 1991.", names="") == (
        ["leeds", "1990"],
        ["york", "1991"],
    )


def test_names_may_come_more_often_and_function_words_and_capitals_do_not_matter() -> None:
    assert differences("It is the largest club.", "The Largest club is Leeds, and Leeds it is.", names="Leeds") == (
        [],
        [],
    )


def test_scripts_without_spaces_are_compared_by_letters() -> None:
    assert differences("首都は東京。", "東京は首都。", names="") == ([], [])
    assert differences("首都は東京。", "首都は京都。", names="") == (["東"], ["都"])
