"""What training data has in common with evaluation files is found, and nothing else."""
# ruff: noqa: RUF001 - marks of Chinese look like others

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.contamination import Contamination, EvaluationFile, Hit

GOLD = "The Nile is the longest river of Africa, and flows north through eleven countries to the sea."
ROW = {
    "id": "q1",
    "question": "Through how many countries does the Nile flow?",
    "answers": ["eleven"],
    "passages": [{"text": GOLD, "gold": True}, {"text": "The Congo is the deepest river of the world.", "gold": False}],
}


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def dev(tmp_path: Path) -> str:
    return write(tmp_path / "dev.jsonl", [ROW])


def of_text(contamination: Contamination, text: str) -> Hit | None:
    return contamination.of_document(Document("d", text))


def test_a_document_with_a_run_of_a_gold_passage_is_a_hit(dev: str) -> None:
    contamination = Contamination.from_files([dev], ngram=8)

    hit = of_text(contamination, "It is said: 'the Longest River -- of Africa and flows north' by all")

    assert hit == Hit(dev, "q1", "the longest river of africa and flows north")
    assert hit.place == f"{dev}:q1"


@pytest.mark.parametrize(
    "text",
    [
        "the longest river of Africa, and flows",  # 7 words
        "the longest river of Africa, and it flows north through eleven",  # interrupted
        "north flows and Africa of river longest the",
        "The Congo is the deepest river of the world.",  # not gold
        "Through how many countries does the Nile flow?",  # a question, no passage
        "",
    ],
)
def test_less_than_a_run_is_none(dev: str, text: str) -> None:
    assert of_text(Contamination.from_files([dev], ngram=8), text) is None


def test_thirteen_words_are_the_default(dev: str) -> None:
    contamination = Contamination.from_files([dev])
    words = GOLD.split()

    assert of_text(contamination, " ".join(words[2:15])) is not None
    assert of_text(contamination, " ".join(words[2:14])) is None


def test_a_short_gold_passage_counts_where_all_of_it_is_in_the_document(tmp_path: Path) -> None:
    passages = [{"text": text, "gold": True} for text in ("Oslo lies in Norway today.", "Yes.")]
    contamination = Contamination.from_files([write(tmp_path / "dev.jsonl", [ROW | {"passages": passages}])])

    assert contamination.files == [EvaluationFile(str(tmp_path / "dev.jsonl"), 1, 1)]
    hit = of_text(contamination, "Everybody knows that Oslo lies in Norway, today as ever. Yes.")
    assert hit is not None and hit.words == "oslo lies in norway today"
    assert of_text(contamination, "Oslo lies in Norway. Yes.") is None


def test_a_script_without_spaces_is_compared_by_its_characters(tmp_path: Path) -> None:
    gold = "尼罗河是非洲最长的河流，它一路向北流经十一个国家，最后注入地中海。"
    contamination = Contamination.from_files(
        [write(tmp_path / "dev.jsonl", [ROW | {"passages": [{"text": gold, "gold": True}]}])]
    )

    hit = of_text(contamination, "据说，它一路向北流经十一个国家。最后流入大海。")

    assert hit is not None and hit.words == " ".join("它一路向北流经十一个国家最")
    assert of_text(contamination, "尼罗河是非洲最长的河流。") is None


def test_the_same_question_is_a_hit_whatever_its_length(dev: str) -> None:
    contamination = Contamination.from_files([dev])

    hit = contamination.of_question("through how MANY countries does the 'Nile' flow")

    assert hit == Hit(dev, "q1", "through how many countries does the nile flow")
    assert contamination.of_question("How many countries does the Nile flow through?") is None
    assert contamination.of_question("?!") is None


def test_a_question_that_shares_a_run_is_a_hit(dev: str) -> None:
    contamination = Contamination.from_files([dev], ngram=5)

    hit = contamination.of_question(
        "Say: how many countries does the Amazon cross, and how many countries does the Nile?"
    )

    assert hit is not None and hit.words == "how many countries does the"
    assert Contamination.from_files([dev], ngram=7).of_question("how many countries does the Amazon cross?") is None


@pytest.mark.parametrize(
    ("against", "documents", "questions"), [("questions", False, True), ("passages", True, False), ("both", True, True)]
)
def test_a_setting_says_what_is_compared(dev: str, against: Any, documents: bool, questions: bool) -> None:
    contamination = Contamination.from_files([dev], against=against)

    assert (of_text(contamination, GOLD) is not None) is documents
    assert (contamination.of_question(ROW["question"]) is not None) is questions


def test_supervision_is_compared_by_its_documents_and_pairs(tmp_path: Path) -> None:
    row = {"id": "s1", "document": f"Nile\n {GOLD}", "pairs": [{"question": "Where does it flow?", "answer": "north"}]}
    paraphrase = {"id": "s2", "document": "Nothing else than some other words are here.", "paraphrase": "Other words."}
    file = write(tmp_path / "scp.jsonl", [row, paraphrase])

    contamination = Contamination.from_files([file])

    assert contamination.files == [EvaluationFile(file, 1, 2)]
    assert of_text(contamination, GOLD) == Hit(file, "s1", " ".join(GOLD.lower().replace(",", "").split()[:13]))
    assert contamination.of_question("where does it flow") == Hit(file, "s1", "where does it flow")


def test_rows_of_the_reference_are_read(tmp_path: Path) -> None:
    pretraining = {"data_type": "qa", "question": ["Where?"], "answers": ["there"], "docs": [GOLD]}
    tuning = {"question": "How long?", "answer": "long", "docs": ["Some other words.", GOLD[::-1]], "pos_index": [1]}
    files = [write(tmp_path / "a.jsonl", [pretraining]), write(tmp_path / "b.jsonl", [tuning])]

    contamination = Contamination.from_files(files)

    assert contamination.files == [EvaluationFile(files[0], 1, 1), EvaluationFile(files[1], 1, 1)]
    assert of_text(contamination, GOLD) is not None
    assert contamination.of_question("how long") == Hit(files[1], contamination._ids[1], "how long")


def test_a_hit_names_the_first_of_several_files(dev: str, tmp_path: Path) -> None:
    other = write(tmp_path / "test.jsonl", [ROW | {"id": "q2"}, ROW | {"id": "q3", "question": "Another one?"}])

    contamination = Contamination.from_files([other, dev, other])

    assert [file.name for file in contamination.files] == [other, dev]
    hit = of_text(contamination, GOLD)
    assert hit is not None and hit.place == f"{other}:q2"
    assert contamination.of_question("Another one") == Hit(other, "q3", "another one")


@pytest.mark.parametrize("seed", range(5))
def test_what_is_found_is_what_a_search_of_strings_finds(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)

    def text(least: int, most: int) -> list[str]:
        return [draw.choice("abc") for _ in range(draw.randint(least, most))]

    gold = [text(5, 20) for _ in range(6)]
    rows = [
        ROW | {"id": str(number), "passages": [{"text": " ".join(words), "gold": True}]}
        for number, words in enumerate(gold)
    ]
    contamination = Contamination.from_files([write(tmp_path / "dev.jsonl", rows)], ngram=8)

    def stands_in(words: list[str], document: str) -> bool:
        length = min(8, len(words))
        return any(
            f" {' '.join(words[start : start + length])} " in f" {document} "
            for start in range(len(words) - length + 1)
        )

    for _ in range(200):
        document = " ".join(text(1, 30))
        hit = of_text(contamination, document)
        assert (hit is not None) is any(stands_in(words, document) for words in gold)
        assert hit is None or (f" {hit.words} " in f" {document} " and stands_in(gold[int(hit.id)], hit.words))


def test_without_gold_passages_documents_are_compared_with_nothing(tmp_path: Path) -> None:
    file = write(tmp_path / "dev.jsonl", [{"id": "q", "question": "Who?", "answers": ["a"], "gold_ids": ["d1"]}])

    contamination = Contamination.from_files([file])

    assert contamination.files == [EvaluationFile(file, 1, 0)]
    assert of_text(contamination, GOLD) is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "dev.jsonl: no such file or directory"),
        (b"\n", "dev.jsonl: no questions to compare with"),
        (b'{"id": "d", "text": "a document"}\n', "dev.jsonl:1: question: missing"),
        (b"caf\xe9\n", "dev.jsonl:1: not UTF-8: byte 0xe9 at column 4"),
        (
            b'{"id": "s", "document": "D", "paraphrase": "P"}\n{"id": "q", "document": "D"}\n',
            "dev.jsonl:2: pairs: none",
        ),
    ],
)
def test_a_bad_evaluation_file_is_one_line(tmp_path: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "dev.jsonl").write_bytes(content)

    with pytest.raises(ClaraError) as refused:
        Contamination.from_files([str(tmp_path / "dev.jsonl")])

    assert str(refused.value).startswith(f"{tmp_path}/{problem}") and "\n" not in str(refused.value)


def test_a_wrong_option_is_named(dev: str) -> None:
    wrong: Any = "answers"

    with pytest.raises(ClaraError, match=r"^--ngram must be >= 1, got 0$"):
        Contamination.from_files([dev], ngram=0)
    with pytest.raises(ClaraError, match=r"^--against must be one of questions, passages, both, got answers$"):
        Contamination.from_files([dev], against=wrong)
