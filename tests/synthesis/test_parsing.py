"""A model's text becomes an answer, or a reason why not."""

from __future__ import annotations

from typing import Any

import pytest

from clara_lightning.data.fields import RowError
from clara_lightning.data.records import Document
from clara_lightning.synthesis.parsing import parse_reply
from clara_lightning.synthesis.tasks import Request, TaskName

DOCUMENT = Document("d", "The bridge was opened in 1936.")
PAIRS = [{"question": "When was the bridge opened?", "answer": "1936"}]
ONE = {"questions": ["When was the bridge opened?"]}


def parse(text: str, task: TaskName = "simple_questions", *, cut: bool = False, **fields: Any) -> dict[str, Any]:
    return parse_reply(text, Request(task, DOCUMENT, fields), cut=cut)


@pytest.mark.parametrize(
    "text",
    [
        '{"questions": ["When was the bridge opened?"]}',
        '```json\n{"questions": ["When was the bridge opened?"]}\n```',
        'Here they are:\n```\n{"questions": ["When was the bridge opened?"]}\n```\nI hope this helps!',
        'Sure! {"questions": ["When was the bridge opened?"]} Anything else?',
        '["When was the bridge opened?"]',
        '{"questions": ["When was the bridge opened?",]}',
        "{'questions': ['When was the bridge opened?']}",
        '{"questions": ["When was the bridge opened?"',
        '<think>The user wants {"questions": []}.</think>{"questions": ["When was the bridge opened?"]}',
        "1. When was the bridge opened?",
        "Questions:\n- When was the bridge opened?\n",
        '{"questions": ["When  was\\nthe bridge opened?", "", "When was the bridge opened?"], "note": 1}',
    ],
    ids=[
        "plain",
        "fence",
        "prose",
        "inside",
        "list",
        "comma",
        "quotes",
        "open",
        "think",
        "numbered",
        "bullets",
        "more",
    ],
)
def test_what_a_model_writes_around_its_answer_does_not_matter(text: str) -> None:
    assert parse(text) == ONE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("<think>hm</think>", "empty"),
        ("I'm sorry, but I cannot help with that.", "refused: I'm sorry, but I cannot help with that."),
        ("The bridge is old.", "no JSON: The bridge is old."),
        ('{"question": "When?"}', "questions: missing"),
        ('{"questions": "When?"}', "questions: expected a list, got a string ('When?')"),
        ('{"questions": [{"a": 1}]}', "questions[0]: expected a string, got an object ({'a': 1})"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_cannot_be_used_is_said_in_words(text: str, reason: str) -> None:
    with pytest.raises(RowError) as error:
        parse(text)
    assert str(error.value).startswith(reason)


def test_an_answer_in_plain_words_is_taken() -> None:
    assert parse("In 1936.", "answer", question="q") == {"answerable": True, "answer": "In 1936."}


@pytest.mark.parametrize("text", ["Not mentioned in the document.", "N/A", '{"answerable": false, "answer": "1936"}'])
def test_no_answer_is_no_answer(text: str) -> None:
    assert parse(text, "answer", question="q") == {"answerable": False, "answer": ""}


def test_a_list_that_was_cut_loses_its_last_entry() -> None:
    text = '{"questions": ["When was the bridge opened?", "Who built the bri'
    assert parse(text, cut=True) == ONE


@pytest.mark.parametrize("task", ["answer", "paraphrase"])
def test_a_text_that_was_cut_is_not_used(task: TaskName) -> None:
    with pytest.raises(RowError, match="cut: longer than --max-tokens"):
        parse('{"paraphrase": "In 1936 the', task, cut=True)


def test_a_verdict_about_nothing_is_passed_over() -> None:
    text = '{"verdicts": [{"number": 1, "supported": true}, {"number": 2, "supported": false, "reason": "no"}]}'
    assert parse(text, "validate", pairs=PAIRS) == {"verdicts": [{"number": 1, "supported": True, "reason": ""}]}
    with pytest.raises(RowError, match=r"verdicts\[0\].number: expected a whole number"):
        parse('{"verdicts": [{"number": "one", "supported": true}]}', "validate", pairs=PAIRS)


def test_coverage_needs_a_fact() -> None:
    with pytest.raises(RowError, match="facts: empty list"):
        parse('{"facts": []}', "coverage", pairs=PAIRS)


def test_a_complex_question_is_of_a_known_type() -> None:
    with pytest.raises(RowError, match=r"questions\[0\].type: expected bridge or comparison"):
        parse(
            '{"questions": [{"question": "q?", "type": "hard", "evidence": ["a", "b"]}]}', "complex_questions", pairs=[]
        )
