"""What is counted in a file, by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from clara_lightning.data.tools.stats import file_stats
from clara_lightning.errors import ClaraError


def test_questions_are_counted_with_their_passages(write: Any, question: Any) -> None:
    path = write(
        "qa.jsonl",
        [
            question("one", "A lake. It is deep.", others=["Another one."]),
            question("two", "A  lake. It is deep.", "b"),
            question("three") | {"gold_ids": ["x", "y"]},
            question("four", others=["Another one."]) | {"answers": ["lake"]},
        ],
    )

    found = file_stats(path)

    assert (found.rows, found.records, found.bad_rows, found.formats) == (4, 4, 0, {"question": 4})
    assert (found.documents, found.questions, found.duplicates) == (3, 4, 0)
    assert found.passages is not None and found.gold is not None
    assert (found.passages.total, found.passages.most) == (5, 2)
    assert (found.gold.total, found.gold.most, found.questions_without_gold) == (5, 2, 1)
    assert (found.answers_in_documents, found.answers_looked_for) == (1.0, 2)
    lengths = found.words["documents"]
    assert (lengths.count, lengths.total, lengths.most) == (3, 5 + 2 + 1, 5)
    assert (found.pairs, found.teachers, "paraphrases" in found.words) == ({}, {}, False)


def test_supervision_is_counted_by_kind_and_teacher(write: Any, rows: Mapping[str, Any]) -> None:
    pair = {"question": "Where?", "answer": "in Norway", "kind": "complex"}
    more = rows["SCP"] | {"id": "t", "pairs": [pair, pair], "teacher": None, "paraphrase": None}

    found = file_stats(write("scp.jsonl", [rows["SCP"], rows["SCP"] | {"id": "u"}, more]))

    assert (found.records, found.documents, found.questions, found.duplicates) == (3, 1, 2, 1)
    assert (found.pairs, found.pairs_per_example["complex"]) == ({"simple": 2, "complex": 2}, 2 / 3)
    assert found.teachers == {"hand": 2}
    assert (found.words["paraphrases"].count, found.words["answers"].total) == (2, 6)
    assert (found.answers_in_documents, found.answers_looked_for) == (0.5, 4)
    assert (found.passages, found.questions_without_gold) == (None, 0)


def test_every_form_gives_the_same_figures(write: Any, form: str, rows: Mapping[str, Any]) -> None:
    path = write(form, [rows["question"]] * 3)

    found = file_stats(path).to_json()

    assert found | {"file": ""} == file_stats(write("same.jsonl", [rows["question"]] * 3)).to_json() | {"file": ""}
    assert (found["records"], found["duplicates"]) == (3, 2)


def test_bad_rows_are_counted_with_the_first_mistake(write: Any, rows: Mapping[str, Any]) -> None:
    path = write("a.jsonl", [rows["document"], {"id": "e", "text": ""}, "["])

    found = file_stats(path)

    assert (found.rows, found.bad_rows, found.records, found.documents) == (3, 2, 1, 1)
    assert found.first_mistake == f"{path}:2: text: empty"


def test_tokens_are_counted_with_the_documents_that_are_cut(write: Any, rows: Mapping[str, Any]) -> None:
    documents = [{"id": str(n), "text": "x" * n} for n in (3, 4, 5, 6)]

    found = file_stats(write("a.jsonl", documents), count_tokens=lambda texts: [*map(len, texts)], document_tokens=4)

    assert (found.document_tokens, found.documents_cut) == (4, 2)
    assert (found.tokens["documents"].total, found.words["documents"].total) == (18, 4)
    assert [bar.count for bar in found.histogram] == [1, 1, 1, 1]


def test_letters_are_told_apart_by_script(write: Any) -> None:
    found = file_stats(write("a.jsonl", [{"id": "a", "text": "abc где 123 !"}, {"id": "b", "text": "東京"}]))

    assert found.scripts == {"Cyrillic": 3 / 8, "Latin": 3 / 8, "CJK": 2 / 8}
    assert found.non_latin == 5 / 8
    assert found.words["documents"].total == 4 + 2


def test_json_holds_everything(write: Any, rows: Mapping[str, Any]) -> None:
    values = json.loads(json.dumps(file_stats(write("a.jsonl", [rows["question"]])).to_json()))

    assert values["words"]["questions"]["mean"] == 6.0
    assert values["histogram"][0].keys() == {"low", "high", "count"}
    assert values["non_latin"] == 0.0


@pytest.mark.parametrize(("lines", "message"), [([], "holds no rows"), (["{"], ":1: not a JSON object")])
def test_a_file_without_a_good_row_is_refused(write: Any, lines: list[str], message: str) -> None:
    with pytest.raises(ClaraError, match=message):
        file_stats(write("a.jsonl", lines))
