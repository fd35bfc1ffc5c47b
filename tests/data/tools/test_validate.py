"""Every mistake is found, and what is rarely meant is told without being one."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.data.readers import read_documents, read_questions, read_scp
from clara_lightning.data.tools.validate import Validation, validate_file
from clara_lightning.errors import ClaraError


def warned(found: Validation) -> dict[str, tuple[int, int]]:
    return {name: (each.count, each.of) for name, each in found.warnings.items()}


@pytest.mark.parametrize("name", ["document", "question", "SCP", "reference question", "reference pretraining"])
def test_a_good_file_of_each_format_has_nothing_to_tell(
    name: str, form: str, write: Any, rows: Mapping[str, Any]
) -> None:
    found = validate_file(write(form, [rows[name]]))

    assert (found.rows, found.records, found.mistakes, found.listed) == (1, 1, 0, ())
    assert not found.warnings.keys() - {"answer"}


def test_all_mistakes_are_found_with_their_places(write: Any, question: Any) -> None:
    path = write(
        "qa.jsonl",
        [
            question("one", "a"),
            question("two", "a") | {"answers": None},
            "",
            question("three", "a", others=["a", " "]),
            question("four", "a") | {"question": 4},
            '{"id": NaN}',
        ],
    )

    found = validate_file(path)

    assert [line.removeprefix(path) for line in found.listed] == [
        ":2: answers: missing",
        ":4: passages[2].text: empty",
        ":5: question: expected a string, got a number (4)",
        ":6: not JSON that can be read: NaN is no JSON value",
    ]
    assert (found.rows, found.mistakes, found.records) == (5, 4, 1)


@pytest.mark.parametrize(("most", "listed"), [(2, 2), (0, 5), (9, 5)])
def test_so_many_mistakes_are_listed_and_all_are_counted(write: Any, most: int, listed: int) -> None:
    found = validate_file(write("a.jsonl", ["{"] * 5), most=most)

    assert (len(found.listed), found.mistakes) == (listed, 5)


def test_rows_of_a_table_are_named_by_number(write: Any) -> None:
    found = validate_file(write("a.parquet", [{"id": "a", "text": "x"}, {"id": "b", "text": None}]))

    assert found.listed[0].endswith("a.parquet: row 2: text: missing")


def test_ids_of_documents_must_be_their_own_as_the_reader_has_it(write: Any) -> None:
    path = write("a.jsonl", [{"id": "a", "text": "x"}, {"id": "b", "text": "x"}, {"id": "a", "text": "y"}])

    found = validate_file(path)

    with pytest.raises(ClaraError) as refused:
        list(read_documents(path))
    assert found.listed == (str(refused.value),)
    assert warned(found) == {"document": (1, 3)}


def test_what_is_rarely_meant_in_questions(write: Any, question: Any) -> None:
    found = validate_file(
        write(
            "qa.jsonl",
            [
                question("one", "A lake."),
                question("one", "No such word."),
                question("a lake", "Here is a lake.") | {"answers": ["lake"]},
                question("two") | {"answers": [], "gold_ids": ["x"]},
                question("three", others=["a"]),
            ],
        )
    )

    assert found.mistakes == 0
    assert warned(found) == {
        "id": (1, 5),
        "question": (1, 5),
        "answer": (1, 3),
        "answer_in_question": (1, 4),
        "no_answer": (1, 5),
        "no_gold": (1, 5),
    }
    assert found.warnings["id"].first.endswith("qa.jsonl:2 (one)")


def test_what_is_rarely_meant_in_supervision(write: Any, rows: Mapping[str, Any]) -> None:
    scp = rows["SCP"]
    copied = scp | {"id": "t", "paraphrase": "kenya: Its capital is Nairobi"}

    found = validate_file(write("scp.jsonl", [scp, copied, rows["question"] | {"question": "Other?"}]))

    assert warned(found) == {"document": (1, 2), "question": (1, 3), "paraphrase": (1, 2), "kind": (1, 3)}


def test_an_empty_paraphrase_is_a_mistake(write: Any, rows: Mapping[str, Any]) -> None:
    found = validate_file(write("scp.jsonl", [rows["SCP"] | {"paraphrase": " "}]))

    assert found.listed[0].endswith(":1: paraphrase: empty")


@pytest.mark.parametrize(
    ("order", "mistakes"),
    [
        (["document", "question", "document"], 0),
        (["SCP", "question", "SCP"], 0),
        (["question", "document", "SCP"], 1),
        (["SCP", "document", "question", "document"], 2),
    ],
)
def test_kinds_that_no_reader_takes_together_are_a_mistake(
    order: list[str], mistakes: int, write: Any, rows: Mapping[str, Any]
) -> None:
    path = write("a.jsonl", [rows[name] | {"id": str(place)} for place, name in enumerate(order)])

    assert validate_file(path).mistakes == mistakes
    refused = 0
    for read in (read_documents, read_questions, read_scp):
        try:
            list(read(path))
        except ClaraError:
            refused += 1
    assert (refused == 3) == bool(mistakes)


def test_a_file_that_breaks_off_is_a_mistake_behind_the_others(tmp_path: Path, write: Any) -> None:
    whole = Path(write("a.jsonl.gz", [{"id": "a", "text": ""}] + [{"id": str(n), "text": "x" * n} for n in range(999)]))
    assert gzip.decompress(whole.read_bytes())
    whole.write_bytes(whole.read_bytes()[:-500])

    found = validate_file(str(whole))

    assert found.listed[0].endswith(":1: text: empty")
    assert "cannot be read" in found.listed[-1] and found.mistakes == len(found.listed) == 3


def test_a_file_without_rows_is_refused(write: Any) -> None:
    with pytest.raises(ClaraError, match="holds no rows"):
        validate_file(write("a.jsonl", ["", " "]))
