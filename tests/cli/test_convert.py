"""What ``clara convert`` writes is what the other verbs take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_a_folder_of_texts_is_converted_encoded_and_searched(
    tmp_path: Path, compressor: Path, joint: Path, commands: Any, clara: Any
) -> None:
    (tmp_path / "notes").mkdir()
    for name, thing in (("alba", "apples"), ("brod", "bronze"), ("cimar", "copper")):
        (tmp_path / "notes" / f"{name}.md").write_text(f"# The port of {name}\n\nIt sells {thing} .\n")
    documents, store = tmp_path / "documents.jsonl", tmp_path / "store"

    assert clara("convert", "--from", "text", tmp_path / "notes", documents).code == 0
    assert clara(*commands.predict(store, compressor, "--data.documents", documents)).code == 0
    words = ("--adapters", joint, "--store", store, "--device", "cpu", "--dtype", "float32", "--top-k", 3)
    found = json.loads(clara("search", *words, "--json", "What does Alba sell ?").out)["documents"]

    assert {(hit["id"], hit["title"]) for hit in found} == {
        (f"{name}.md#1", f"The port of {name}") for name in ("alba", "brod", "cimar")
    }


def test_questions_without_answers_do_not_train(tmp_path: Path, compressor: Path, commands: Any, clara: Any) -> None:
    (tmp_path / "beir" / "qrels").mkdir(parents=True)
    (tmp_path / "beir" / "corpus.jsonl").write_text('{"_id": "d1", "title": "", "text": "Alba sells apples ."}\n')
    (tmp_path / "beir" / "queries.jsonl").write_text('{"_id": "7", "text": "What does Alba sell ?"}\n')
    (tmp_path / "beir" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n7\td1\t1\n")
    questions = tmp_path / "out" / "questions.jsonl"
    assert clara("convert", "--from", "beir", tmp_path / "beir", questions.parent).code == 0

    for fit in (
        commands.fit_joint(tmp_path / "run", compressor, "--data.train", questions),
        commands.fit_compressor(tmp_path / "run", "--data.train", questions),
    ):
        assert clara(*fit).mistake == (
            f"{questions}:1: answers: question '7' has none: it can be searched for, not learned from"
        )
