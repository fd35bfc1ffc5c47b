"""What becomes of a document."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.outcome import Outcome, Round
from clara_lightning.synthesis.pipeline import PipelineSettings, synthesize_document
from clara_lightning.synthesis.teacher import BadReplyError, UnavailableError


@pytest.fixture
def outcome(knowing: Any, a_bridge: Any) -> Any:
    """Runs the pipeline on one document, with what the teacher says instead."""

    def run(settings: PipelineSettings = PipelineSettings(), known: Any = lambda q: False, **overrides: Any) -> Outcome:
        teacher = knowing(
            {task: (lambda request, v=value: v(request) if callable(v) else v) for task, value in overrides.items()}
        )
        run.teacher = teacher  # type: ignore[attr-defined]
        return asyncio.run(synthesize_document(a_bridge(), teacher.reply, settings, is_known=known))

    return run


def test_rounds_go_on_until_every_fact_is_asked(outcome: Any) -> None:
    found = outcome()
    assert found.reason is None
    assert found.rounds == (Round(2, 2, 0.5), Round(2, 2, 1.0))
    assert [pair.round for pair in found.pairs if pair.type == "simple"] == [1, 1, 2, 2]
    assert {pair.found for pair in found.pairs} == {"exact"}
    assert [pair.kind for pair in found.pairs] == ["simple"] * 4 + ["complex"]
    assert found.paraphrase is not None and found.paraphrase_faults == ()


def test_later_rounds_are_told_what_is_missing_and_what_was_asked(outcome: Any) -> None:
    outcome()
    first, second = (request for request in outcome.teacher.requests if request.task == "simple_questions")
    assert first.fields == {"missing": [], "asked": []}
    assert second.fields["missing"] == ["was designed by Marit Holm", "was opened in 1936"]
    assert len(second.fields["asked"]) == 2


def test_every_answer_is_asked_for_by_itself(outcome: Any) -> None:
    found = outcome()
    asked = [request.fields["question"] for request in outcome.teacher.requests if request.task == "answer"]
    assert sorted(asked) == sorted(pair.question for pair in found.pairs)
    assert found.usage.requests == len(outcome.teacher.requests)


def test_rounds_end_at_their_limit_and_too_little_coverage_is_a_rejection(outcome: Any) -> None:
    found = outcome(PipelineSettings(max_rounds=1))
    assert (found.reason, found.detail) == ("coverage", "0.50 after round 1, below 0.8")
    assert len(found.pairs) == 2
    assert not [request for request in outcome.teacher.requests if "paraphrase" in request.task]


def test_a_round_that_gives_nothing_new_is_the_last(outcome: Any, a_bridge: Any) -> None:
    first = f"What is it that {a_bridge().title} crosses?"
    found = outcome(simple_questions={"questions": [first]})
    assert [one.kept for one in found.rounds] == [1, 0]
    assert [one.reason for one in found.dropped] == ["repeated"]


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("Why?", "too short"),
        ("What does the document say about Elvik?", "speaks of the document"),
        ("Who paid for the Bridge 0?", "no answer in the document"),
    ],
)
def test_a_bad_question_is_dropped_with_its_reason(outcome: Any, question: str, reason: str) -> None:
    found = outcome(simple_questions={"questions": [question]})
    assert [(one.question, one.reason) for one in found.dropped] == [(question, reason)]
    assert found.reason == "no pairs"
    assert found.detail == f"questions dropped: 1, most of them: {reason}"


def test_what_the_teacher_does_not_support_is_dropped(outcome: Any) -> None:
    verdicts = [{"number": 1, "supported": False, "reason": "it says otherwise"}]
    found = outcome(validate={"verdicts": verdicts})
    dropped = {(one.reason, one.detail) for one in found.dropped}
    assert dropped == {("not supported", "it says otherwise"), ("no verdict", "")}


def test_a_question_of_an_evaluation_is_not_asked(outcome: Any) -> None:
    found = outcome(known=lambda question: "Elvik" in question or "crosses" in question)
    assert "asked by an evaluation" in {one.reason for one in found.dropped}
    assert not [pair for pair in found.pairs if "crosses" in pair.question]


def test_an_answer_in_other_words_is_found_by_the_teacher(outcome: Any) -> None:
    found = outcome(answer={"answerable": True, "answer": "a woman"})
    assert {pair.found for pair in found.pairs} == {"teacher"}


def test_evidence_that_is_not_in_the_document_drops_a_complex_question(outcome: Any) -> None:
    item = {
        "question": "Whose work is the structure at Elvik, Bridge 0?",
        "type": "bridge",
        "evidence": ["Marit Holm", "Oslo"],
    }
    found = outcome(complex_questions={"questions": [item]})
    assert [(one.type, one.reason, one.detail) for one in found.dropped] == [
        ("bridge", "evidence not in the document", "Marit Holm | Oslo")
    ]


def test_an_answer_that_cannot_be_read_costs_its_question_alone(outcome: Any) -> None:
    def answer(request: Any) -> Any:
        return (
            BadReplyError("no JSON")
            if "crosses" in request.fields["question"]
            else {"answerable": True, "answer": "1936"}
        )

    found = outcome(answer=answer)
    assert ("no usable answer", "no JSON") in {(one.reason, one.detail) for one in found.dropped}
    assert found.pairs


def test_a_paraphrase_is_tried_again_with_its_faults(outcome: Any, a_bridge: Any) -> None:
    found = outcome(paraphrase={"paraphrase": a_bridge().text})
    tries = [request.fields["faults"] for request in outcome.teacher.requests if request.task == "paraphrase"]
    assert tries == [[], ["copied: order and structure must change"]]
    assert found.reason is None and found.paraphrase is None
    assert found.paraphrase_faults == ("copied: order and structure must change",)


def test_a_paraphrase_with_other_facts_is_not_kept(outcome: Any) -> None:
    found = outcome(validate_paraphrase={"missing": ["the year"], "added": []})
    assert found.paraphrase is None and found.paraphrase_faults == ("missing: the year",)


@pytest.mark.parametrize(("words", "reason"), [("coverage: empty", "bad reply"), ("refused: no", "refused")])
def test_a_teacher_that_says_nothing_of_use_is_a_rejection(outcome: Any, words: str, reason: str) -> None:
    found = outcome(coverage=BadReplyError(words))
    assert (found.reason, found.detail) == (reason, words)


@pytest.mark.parametrize("error", [UnavailableError("no answer"), ClaraError("wrong key")])
def test_a_teacher_that_is_not_there_is_no_verdict(outcome: Any, error: Exception) -> None:
    with pytest.raises(type(error)):
        outcome(answer=error)


def test_only_what_is_wanted_is_made(outcome: Any) -> None:
    found = outcome(PipelineSettings(complex=False, paraphrase=False))
    assert {pair.type for pair in found.pairs} == {"simple"} and found.paraphrase is None
    assert found.paraphrase_faults == ()


def test_an_outcome_survives_json(outcome: Any) -> None:
    import json

    found = outcome(validate={"verdicts": [{"number": 1, "supported": True, "reason": ""}]})
    assert Outcome.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [({"max_rounds": 0}, "--max-rounds must be >= 1, got 0"), ({"min_coverage": 2}, "--min-coverage must be between")],
)
def test_bad_settings_are_named(settings: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ClaraError, match=mistake):
        PipelineSettings(**settings)
