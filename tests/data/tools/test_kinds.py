"""Every row is known by its keys, in every form, and a bad one is one mistake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from clara_lightning.data.readers import read_documents, read_questions, read_scp
from clara_lightning.data.tools.kinds import KINDS, good_rows, read_rows
from clara_lightning.errors import ClaraError

READERS: dict[str, Any] = {"documents": read_documents, "questions": read_questions, "supervision": read_scp}


@pytest.mark.parametrize("name", KINDS)
def test_a_row_of_each_format_is_read_as_its_reader_reads_it(
    name: Any, form: str, write: Any, rows: Mapping[str, Any]
) -> None:
    path = write(form, [rows[name]] * (1 if name == "document" else 2))

    found = list(read_rows(path))

    assert {row.format for row in found} == {name}
    assert [record for row in found for record in row.records] == list(READERS[KINDS[name]](path))


def test_paraphrases_of_the_reference_are_supervision(write: Any) -> None:
    row = {"data_type": "paraphrase", "question": [""], "answers": ["One.", "Two."], "docs": ["It is here."]}

    (found,) = read_rows(write("a.jsonl", [row]))

    assert (found.kind, [record.id for record in found.records]) == ("supervision", ["row-1-0", "row-1-1"])


def test_a_row_without_telling_keys_is_taken_for_one_like_those_before(write: Any, rows: Mapping[str, Any]) -> None:
    path = write("a.jsonl", [{"id": "x"}, rows["document"], {"id": "y"}, "{", rows["question"], {"id": "z"}])

    found = [(row.format, row.mistake) for row in read_rows(path)]

    assert found[0] == (
        None,
        "the row: no text (a document), question, document (SCP) or docs (the reference's rows)",
    )
    assert found[2] == ("document", "text: missing")
    assert found[3][1].startswith("not a JSON object on one line")
    assert found[5] == ("question", "question: missing")


def test_the_first_bad_row_ends_the_good_ones(write: Any, rows: Mapping[str, Any]) -> None:
    path = write("a.jsonl", [rows["document"], "", {"id": "e", "text": " "}])

    with pytest.raises(ClaraError, match=r"a\.jsonl:3: text: empty$"):
        list(good_rows(path))


def test_good_rows_are_of_one_kind(write: Any, rows: Mapping[str, Any]) -> None:
    path = write("a.jsonl", [rows["SCP"], rows["reference pretraining"], rows["question"]])

    with pytest.raises(ClaraError, match=r"a\.jsonl:3: the row holds questions, the first one of its file supervision"):
        list(good_rows(path))


def test_a_missing_file_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ClaraError, match="no such file"):
        read_rows("nowhere.jsonl")
