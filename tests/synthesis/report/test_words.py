"""What is said of figures: the headline, the warnings with their figures, and the lines of a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

import pytest

from clara_lightning.synthesis.outcome import Dropped, Outcome, Pair, Reason, Round
from clara_lightning.synthesis.report.figures import Figures, Tally
from clara_lightning.synthesis.report.words import REASON_WORDS, Finding, findings, headline, summary_lines

NOTHING = "Nothing stands out."


def good(number: int) -> Outcome:
    """A document that no one complains about."""
    simple = [
        Pair(f"What is fact {fact} of {number}?", "a fact", "simple", "exact" if fact else "teacher", 1)
        for fact in range(8)
    ]
    bridges = [Pair(f"Which bridge {fact} has {number}?", "none", "bridge", "teacher", 1) for fact in range(4)]
    return Outcome(
        key=str(number),
        id=str(number),
        document="one two three four five",
        pairs=(*simple, *bridges),
        paraphrase="five four three two one",
        rounds=(Round(8, 6, 0.75), Round(2, 2, 0.96)),
        word_coverage=0.625,
    )


GOOD = [good(number) for number in range(40)]


def figures(outcomes: Sequence[Outcome]) -> Figures:
    tally = Tally()
    for outcome in outcomes:
        tally.add(outcome)
    return tally.result()


def changed(count: int, change: Callable[[Outcome], Outcome]) -> list[Outcome]:
    """The good documents, so many of them changed."""
    return [change(one) if number < count else one for number, one in enumerate(GOOD)]


def rejected(reason: Reason) -> Callable[[Outcome], Outcome]:
    return lambda outcome: replace(outcome, reason=reason)


def only(outcomes: Sequence[Outcome]) -> Finding:
    (found,) = findings(figures(outcomes))
    return found


def test_the_headline_tells_what_came_out() -> None:
    assert headline(figures(changed(4, rejected("coverage")))) == [
        "36 of 40 documents gave supervision: on average 8.0 simple and 4.0 complex questions.",
        "96 % of their facts are asked about by the teacher's count after 2.0 rounds; "
        "62 % of their content words stand in a question or an answer.",
    ]


def test_where_nothing_stands_out_it_says_so() -> None:
    assert (only(GOOD).mark, only(GOOD).text) == ("yes", NOTHING)


def test_no_documents() -> None:
    nothing = figures([])
    assert headline(nothing) == summary_lines(nothing) == ["No documents: there was nothing to ask about."]
    assert findings(nothing) == []


def test_all_rejected() -> None:
    found = figures(changed(40, rejected("no pairs")))
    assert headline(found) == ["None of 40 documents gave supervision."]
    assert [one.mark for one in findings(found)] == ["no"]
    assert 3 <= len(summary_lines(found)) <= 6


def test_most_documents_rejected() -> None:
    found = only(changed(21, rejected("coverage")))
    assert found.mark == "no"
    assert found.text == "Most documents were rejected (52 %): the teacher is not good enough for this."
    assert found.evidence == "Why: too few of its facts are asked about (21)."


def test_a_model_that_refuses_is_no_bad_teacher() -> None:
    assert only(changed(30, rejected("refused"))).text == "Most documents were rejected (75 %): the model refuses them."


def test_many_documents_rejected() -> None:
    found = only(changed(20, rejected("bad reply")))
    assert (found.mark, found.text) == ("unsure", "Many documents were rejected (50 %).")
    assert only(changed(8, rejected("bad reply"))).text == NOTHING


def test_every_reason_has_words() -> None:
    assert set(REASON_WORDS) == set(get_args(Reason))


def test_few_answers_in_the_document() -> None:
    teacher = [replace(one, pairs=tuple(replace(pair, found="teacher") for pair in one.pairs)) for one in GOOD]
    assert only(teacher).text == "Only 0 % of the answers to simple questions stand in their document."
    assert "320 of 320" in only(teacher).evidence


def test_few_complex_questions() -> None:
    found = only([replace(one, pairs=one.pairs[:9]) for one in GOOD])
    assert found.text == "Few complex questions: 1.0 a document." and "4.6" in found.evidence


def test_no_complex_questions() -> None:
    assert only([replace(one, pairs=one.pairs[:8]) for one in GOOD]).text == "No complex questions."


def test_few_simple_questions() -> None:
    found = only([replace(one, pairs=one.pairs[5:]) for one in GOOD])
    assert found.text == "Few simple questions: 3.0 a document." and "7.8" in found.evidence


def test_many_dropped_questions() -> None:
    dropped = tuple(Dropped(f"Why {number}?", "", "simple", "unanswerable", "", 1) for number in range(36))
    found = only([replace(one, dropped=dropped) for one in GOOD])
    assert found.text == "75 % of the questions were dropped."
    assert found.evidence == "1,440 of 1,920, most often: unanswerable (1,440)."


def test_failed_paraphrases() -> None:
    found = only(changed(30, lambda one: replace(one, paraphrase=None, paraphrase_faults=("adds: a sea",))))
    assert (found.mark, found.text) == ("no", "Paraphrases mostly failed: 25 % passed.")
    assert found.evidence == "30 of 40 failed, most often: adds."


@pytest.mark.parametrize(("words", "how"), [(2, "short: on average 40 %"), (10, "long: on average 200 %")])
def test_paraphrases_of_another_length(words: int, how: str) -> None:
    found = only([replace(one, paraphrase="word " * words) for one in GOOD])
    assert found.text == f"Paraphrases are {how} of the document's words."


def test_questions_that_many_documents_share() -> None:
    vague = Pair("Who rules?", "a king", "simple", "exact", 1)
    found = only([replace(one, pairs=(vague, replace(vague, question="Where?"), *one.pairs)) for one in GOOD])
    assert found.text == "14 % of the questions are asked of several documents in the same words."
    assert "(40 documents)" in found.evidence


def test_a_count_of_facts_that_the_words_do_not_bear_out() -> None:
    found = only([replace(one, word_coverage=0.2) for one in GOOD])
    assert found.text == "Only 20 % of the content words stand in a question or an answer."
    assert "96 % of the facts" in found.evidence


def test_few_documents() -> None:
    assert only(GOOD[:1]).text == "The figures rest on 1 document only."


def test_the_bad_comes_first() -> None:
    bad = [replace(one, reason="coverage", paraphrase=None, paraphrase_faults=("short",)) for one in GOOD[:20]]
    marks = [one.mark for one in findings(figures([*bad, GOOD[0]]))]
    assert marks == sorted(marks) and {"no", "unsure"} == set(marks)


def test_the_terminal_shows_the_same_in_few_lines() -> None:
    assert summary_lines(figures(GOOD)) == [
        *headline(figures(GOOD)),
        "480 questions in all, 0 dropped (0 %); 58 % of the kept answers stand in their document word for word.",
        "40 of 40 paraphrases passed (100 %).",
        "✓ Nothing stands out.",
    ]


def test_warnings_beyond_the_last_line_are_counted() -> None:
    bad = [replace(one, pairs=one.pairs[7:8], word_coverage=0.1, paraphrase="word") for one in GOOD[:20]]
    found = figures(bad)
    lines = summary_lines(found)
    assert len(findings(found)) == 5 and len(lines) == 6
    assert lines[-1].endswith(" 3 more warnings in the report.")


def test_no_character_steers_the_terminal() -> None:
    assert all(line.isprintable() for line in summary_lines(figures([replace(GOOD[0], id="\x1b[2J")])))
