"""Figures beside small cases that were counted by hand, and in any order."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from clara_lightning.synthesis.outcome import Dropped, Outcome, Pair, Round
from clara_lightning.synthesis.report.counting import Mean, Share, Spread
from clara_lightning.synthesis.report.figures import Figures, Tally
from clara_lightning.synthesis.report.questions import DroppedExample
from clara_lightning.synthesis.teacher import Usage

KENYA = Outcome(
    key="1",
    id="kenya",
    document="Kenya lies in the east of Africa",
    pairs=(
        Pair("Where does Kenya lie?", "Africa", "simple", "exact", 1),
        Pair("Where in it?", "in the east", "simple", "teacher", 2),
        Pair("How many seas?", "one", "aggregation", "teacher", 1),
    ),
    paraphrase="In the east of Africa lies Kenya, a land",
    rounds=(Round(4, 1, 0.5), Round(2, 1, 0.9)),
    word_coverage=0.75,
    dropped=(Dropped("Who rules?", "", "simple", "unanswerable", "not told", 1),),
    usage=Usage(10, 900, 100),
)
UGANDA = Outcome(
    key="2",
    id="uganda",
    document="Uganda has lakes",
    pairs=(Pair("where does kenya lie", "Africa", "simple", "exact", 1),),
    paraphrase_faults=("adds: a sea", "too short"),
    rounds=(Round(3, 1, 1.0),),
    word_coverage=0.25,
    usage=Usage(5, 300, 50),
)
MALI = replace(
    UGANDA,
    key="3",
    id="mali",
    document="Mali",
    paraphrase_faults=(),
    rounds=(Round(3, 1, 0.1),),
    reason="coverage",
    dropped=(Dropped("Who?", "Mali", "bridge", "unanswerable", "", 1), Dropped("Why?", "", "simple", "asked", "", 1)),
)
CHAD = Outcome(key="4", id="chad", document="Chad is " + "very " * 8 + "dry", reason="refused", usage=Usage(1, 0, 0))


def figures(outcomes: Iterable[Outcome]) -> Figures:
    tally = Tally()
    for outcome in outcomes:
        tally.add(outcome)
    return tally.result()


@pytest.fixture(scope="module")
def counted() -> Figures:
    return figures([KENYA, UGANDA, MALI, CHAD])


def test_documents_by_what_became_of_them(counted: Figures) -> None:
    assert (counted.documents, counted.accepted) == (4, Share(2, 4, 0.5))
    assert counted.rejected == {
        "coverage": Share(1, 4, 0.25),
        "no pairs": Share(0, 4, 0.0),
        "bad reply": Share(0, 4, 0.0),
        "refused": Share(1, 4, 0.25),
    }


def test_coverage_round_by_round(counted: Figures) -> None:
    first, second = counted.coverage.rounds
    assert (first.round, first.documents, first.asked, first.kept) == (1, 3, 10, 3)
    assert first.coverage.mean == pytest.approx(1.6 / 3)
    assert (second.round, second.documents, second.asked, second.kept) == (2, 1, 2, 1)
    assert second.coverage == Mean(0.9, 1) and counted.coverage.rounds_each == Mean(1.5, 2)


def test_final_coverage_in_tenths(counted: Figures) -> None:
    assert counted.coverage.accepted.tenths == (0, 0, 0, 0, 0, 0, 0, 0, 0, 2)
    assert counted.coverage.accepted.mean == Mean(0.95, 2)
    assert counted.coverage.rejected.tenths == (0, 1, 0, 0, 0, 0, 0, 0, 0, 0)
    assert counted.coverage.accepted_words.tenths == (0, 0, 1, 0, 0, 0, 0, 1, 0, 0)
    assert counted.coverage.rejected_words.mean == Mean(0.25, 1)


@pytest.mark.parametrize("tenth", range(11))
def test_a_whole_tenth_belongs_to_those_above_it(tenth: int) -> None:
    tenths = figures([replace(UGANDA, rounds=(Round(1, 1, tenth / 10),))]).coverage.accepted.tenths
    assert tenths.index(1) == min(tenth, 9)


def test_types_are_of_accepted_documents(counted: Figures) -> None:
    questions = counted.questions
    assert (questions.simple, questions.complex) == (Mean(1.5, 2), Mean(0.5, 2))
    assert questions.types["simple"].count == 3 and questions.types["simple"].share == 0.75
    assert questions.types["aggregation"].each == Mean(0.5, 2)
    assert questions.published == {"simple": 7.8, "complex": 4.6}


def test_answers_are_counted_in_every_document(counted: Figures) -> None:
    types = counted.questions.types
    assert types["simple"].found == {"exact": 3, "teacher": 1, "dropped": 2}
    assert types["aggregation"].found == {"exact": 0, "teacher": 1, "dropped": 0}
    assert types["bridge"].found == {"exact": 0, "teacher": 0, "dropped": 1}


def test_dropped_questions_by_reason_with_examples(counted: Figures) -> None:
    assert counted.questions.dropped == Share(3, 8, 0.375)
    assert {reason: (each.count, each.share) for reason, each in counted.questions.reasons.items()} == {
        "unanswerable": (2, 2 / 3),
        "asked": (1, 1 / 3),
    }
    assert set(counted.questions.reasons["unanswerable"].examples) == {
        DroppedExample("kenya", "Who rules?", "", "simple", "not told"),
        DroppedExample("mali", "Who?", "Mali", "bridge", ""),
    }


def test_five_examples_are_kept_of_many() -> None:
    dropped = tuple(Dropped(f"Who is {number}?", "", "simple", "asked", "", 1) for number in range(20))
    reason = figures([replace(KENYA, dropped=dropped)]).questions.reasons["asked"]
    assert reason.count == 20 and len(set(reason.examples)) == 5


def test_lengths_in_words(counted: Figures) -> None:
    assert counted.lengths["question"] == Spread(4, 3.5, 3, 4, 4)
    assert counted.lengths["answer"] == Spread(4, 1.5, 1, 3, 3)
    assert counted.lengths["document"] == Spread(2, 5.0, 3, 7, 7)
    assert counted.lengths["rejected document"] == Spread(2, 6.0, 1, 11, 11)
    assert counted.lengths["paraphrase"] == Spread(1, 9.0, 9, 9, 9)


def test_first_words(counted: Figures) -> None:
    openings = counted.questions.openings
    assert [(each.phrase, each.count) for each in openings.top] == [("where", 3), ("how many", 1)]
    assert openings.total == openings.looked_at == 4


def test_questions_that_differ_in_case_and_punctuation_are_the_same(counted: Figures) -> None:
    repeated = counted.questions.repeated
    assert repeated.questions == Share(2, 4, 0.5)
    assert repeated.top == (("where does kenya lie", 2),)


def test_a_question_twice_in_one_document_is_asked_of_one() -> None:
    assert figures([replace(KENYA, pairs=KENYA.pairs[:1] * 2)]).questions.repeated.questions == Share(0, 1, 0.0)


def test_paraphrases(counted: Figures) -> None:
    assert counted.paraphrases.kept == Share(1, 2, 0.5)
    assert {(each.phrase, each.count, each.examples) for each in counted.paraphrases.faults.top} == {
        ("adds", 1, ("adds: a sea",)),
        ("too short", 1, ("too short",)),
    }
    assert counted.paraphrases.length == Spread(1, 129.0, 129, 129, 129)  # 9 of 7 words


def test_usage_for_each_accepted_document(counted: Figures) -> None:
    assert counted.usage.total == Usage(21, 1500, 200)
    assert (counted.usage.requests, counted.usage.tokens) == (Mean(10.5, 2), Mean(850.0, 2))
    assert counted.usage.rejected == Share(350, 1700, 350 / 1700)


def test_the_order_changes_nothing(outcomes: Callable[[int], list[Outcome]]) -> None:
    many = outcomes(300)
    texts = []
    for seed in range(3):
        random.Random(seed).shuffle(many)
        texts.append(json.dumps(figures(many).to_json()))
    assert texts[0] == texts[1] == texts[2]


def test_no_documents_have_figures_too() -> None:
    nothing = figures([])
    assert nothing.documents == 0 and nothing.accepted.share is None and nothing.coverage.rounds == ()
    assert json.loads(json.dumps(nothing.to_json(), allow_nan=False))["questions"]["simple"]["mean"] is None
