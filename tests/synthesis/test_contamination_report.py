"""What was found is told in figures, examples and words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clara_lightning.synthesis.contamination import EvaluationFile, Hit
from clara_lightning.synthesis.contamination_report import ContaminationReport

FILES = [EvaluationFile("a.jsonl", 1000, 900), EvaluationFile("b.jsonl", 500, 0)]


def report(against: Any = "both") -> ContaminationReport:
    return ContaminationReport.of(FILES, against=against, ngram=13)


def test_all_are_counted_and_the_first_are_examples() -> None:
    found = report()

    for number in range(25):
        found.add_document(f"d{number}", Hit("a.jsonl", f"q{number}", "some words"))
    found.add_question("Who?", Hit("b.jsonl", "q7", "who"))

    first, second = found.files.values()
    assert (first.documents, first.generated, second.documents, second.generated) == (25, 0, 0, 1)
    assert len(first.document_examples) == 20
    assert first.document_examples[3] == {"document": "d3", "id": "q3", "words": "some words"}
    assert second.question_examples == [{"question": "Who?", "id": "q7", "words": "who"}]


def test_it_goes_through_json() -> None:
    found = report()
    found.add_document("d", Hit("a.jsonl", "q", "w"))

    assert ContaminationReport.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_words_say_what_was_compared_and_found() -> None:
    found = report()
    for _ in range(1200):
        found.add_document("d", Hit("a.jsonl", "q", "w"))
    found.add_question("Who?", Hit("b.jsonl", "q7", "who"))

    assert found.sentences() == [
        "1,200 documents left out for 13 words in common with one of 900 gold passages: a.jsonl 1,200",
        "1 generated question dropped for 1,500 of evaluation: b.jsonl 1",
    ]


def test_words_say_that_nothing_was_found() -> None:
    assert report().sentences() == [
        "no document has 13 words in common with one of 900 gold passages of a.jsonl, b.jsonl",
        "no generated question is one of 1,500 in a.jsonl, b.jsonl, or has 13 words in common with it",
    ]


@pytest.mark.parametrize(("against", "word"), [("questions", "question"), ("passages", "document")])
def test_what_is_not_compared_is_not_told(against: str, word: str) -> None:
    (line,) = report(against).sentences()

    assert word in line


def test_words_say_that_there_was_nothing_to_compare_with() -> None:
    found = ContaminationReport.of(FILES[1:], against="passages", ngram=13)

    assert found.sentences() == ["documents were not compared: no gold passage of five words or more in b.jsonl"]
