"""Real question answering data reads without one bad row. Where it is absent, these tests are skipped."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from clara_lightning.data.readers import read_questions, read_scp

ROOT = Path(__file__).parents[2]
DATA = ROOT / os.environ.get("CLARA_DATA", "../shared/data") / "train"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA} (set CLARA_DATA)")


@pytest.mark.parametrize("name", ["2wiki_train", "hotpotqa_train", "musique_train", "tydiqa_en_train", "mlqa_en_dev"])
def test_every_row_is_a_question_with_a_gold_passage(name: str) -> None:
    path = DATA / f"{name}.jsonl"

    questions = list(read_questions(path))

    with path.open("rb") as file:
        assert len(questions) == sum(1 for _ in file)
    assert all(any(passage.gold for passage in question.passages) for question in questions)


def test_the_supervision_keeps_every_question_of_its_file() -> None:
    path = DATA / "ml_clara_scp_qa.jsonl"
    examples = list(read_scp(path))

    with path.open("rb") as file:
        rows = [json.loads(line) for line in file]
    assert len(examples) == len({(row["passages"][0]["title"], row["passages"][0]["text"]) for row in rows})
    assert len({example.id for example in examples}) == len(examples)
    assert sum(len(example.pairs) for example in examples) == len(rows)
