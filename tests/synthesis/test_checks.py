"""What is found without a teacher."""

from __future__ import annotations

import pytest

from clara_lightning.synthesis import checks

TEXT = "The Halvorsen Bridge crosses the river Tana at Elvik. It was designed by Marit Holm and opened in 1936, 212 m."


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("marit  HOLM", True),
        ("Holm", True),
        ("Hol", False),
        ("Holm Marit", False),
        ("opened in 1936", True),
        ("…", False),
    ],
)
def test_words_are_found_whole_and_in_order(part: str, found: bool) -> None:
    assert checks.stands_in(part, TEXT) is found


def test_text_without_spaces_is_found_by_its_letters() -> None:
    assert checks.stands_in("東京", "日本の首都は東京です。")
    assert not checks.stands_in("京東", "日本の首都は東京です。")


@pytest.mark.parametrize(
    ("question", "fault"),
    [
        ("When was the Halvorsen Bridge opened?", None),
        ("When?", "too short"),
        ("What does the passage say about Elvik?", "speaks of the document"),
        ("Who, according to the author, built it?", "speaks of the document"),
        ("In the text on the Halvorsen Bridge, who is named?", None),
    ],
)
def test_a_question_stands_by_itself(question: str, fault: str | None) -> None:
    assert checks.question_fault(question) == fault


@pytest.mark.parametrize(
    ("answer", "may_repeat", "fault"),
    [
        ("1936", False, None),
        ("the Halvorsen Bridge", False, "answer in the question"),
        ("the Halvorsen Bridge", True, None),
        ("?!", False, "no words in the answer"),
        ("a " * 41, False, "long answer"),
    ],
)
def test_an_answer_is_short_and_not_given_away(answer: str, may_repeat: bool, fault: str | None) -> None:
    assert checks.answer_fault("When was the Halvorsen Bridge opened?", answer, may_repeat=may_repeat) == fault


def test_a_question_in_another_order_of_words_is_repeated() -> None:
    asked = checks.Asked()
    assert asked.is_new("When was the bridge opened?")
    assert not asked.is_new("When was opened the bridge")
    assert asked.is_new("When was the bridge closed?")


def test_questions_with_one_answer_and_most_words_overlap() -> None:
    asked = checks.Asked()
    assert not asked.overlaps("In what year was the Halvorsen Bridge opened?", "1936")
    assert asked.overlaps("When was the Halvorsen Bridge opened in a year?", "1936")
    assert not asked.overlaps("In what year was the Halvorsen Bridge opened?", "May 1936")


@pytest.mark.parametrize(
    ("evidence", "fault"),
    [
        (["designed by Marit Holm", "crosses the river Tana"], None),
        (["designed by Marit Holm", "crosses the river Rhine"], "evidence not in the document"),
        (["designed by Marit Holm"], "one piece of evidence"),
        (["designed by Marit Holm", "by Marit Holm"], "one piece of evidence"),
        ([], "one piece of evidence"),
    ],
)
def test_evidence_is_two_quotes(evidence: list[str], fault: str | None) -> None:
    assert checks.evidence_fault(evidence, TEXT) == fault


def test_a_good_paraphrase_has_no_fault() -> None:
    text = "Opened in 1936, Marit Holm's bridge at Elvik, the Halvorsen Bridge, spans the Tana over 212 m."
    assert checks.paraphrase_faults(TEXT, text) == []


@pytest.mark.parametrize(
    ("paraphrase", "fault"),
    [
        (TEXT, "copied"),
        (TEXT.replace("Elvik", "Elvik, in the north"), "copied"),
        ("A bridge from 1936, 212 m.", "length: 6 words"),
        (
            "In 1936 Marit Holm's Halvorsen Bridge over the Tana was opened at Elvik, and it is long.",
            "leaves out: 212",
        ),
        ("In 1936 the 212 m long bridge of Marit Holm at Elvik cost 5 crowns, and spans the Tana.", "adds: 5"),
    ],
)
def test_a_fault_of_a_paraphrase_is_said(paraphrase: str, fault: str) -> None:
    faults = checks.paraphrase_faults(TEXT, paraphrase)
    assert len(faults) == 1 and faults[0].startswith(fault)


def test_sentences_in_another_order_are_no_copy() -> None:
    first, second = TEXT.split(". ")
    assert checks.paraphrase_faults(TEXT, f"{second} {first}.") == []
