"""Documents are read, cut and sifted once, and again only if something changed."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.data.records import Document, Passage, Question
from clara_lightning.data.writers import write_jsonl
from clara_lightning.errors import ClaraError
from clara_lightning.synthesis import plan as plans
from clara_lightning.synthesis.documents import DocumentFigures, DocumentSettings
from clara_lightning.synthesis.plan import Plan, make_plan

WORDS = [f"word{number}" for number in range(400)]


def text(seed: int, *, length: int = 30, changed: int = 0) -> str:
    """Different words for each seed; with ``changed``, so many other ones at its end."""
    words = random.Random(seed).choices(WORDS, k=length)
    return " ".join(words[: length - changed] + [f"other{number}" for number in range(changed)])


def write(path: Path, texts: Sequence[str]) -> str:
    write_jsonl(path, [Document(f"d{number}", text) for number, text in enumerate(texts)])
    return str(path)


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Six documents: one is short, one equal, one nearly equal, one in the evaluation file."""
    texts = [text(1), "Too short.", text(2), f" {text(1).upper()}\n", text(2, changed=1), text(3)]
    return write(tmp_path / "documents.jsonl", texts)


@pytest.fixture
def dev(tmp_path: Path) -> str:
    question = Question("q1", "Which word?", ("this",), (Passage(text(3), True),))
    write_jsonl(tmp_path / "dev.jsonl", [question])
    return str(tmp_path / "dev.jsonl")


def left_out(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "left_out.jsonl").read_text(encoding="utf-8").splitlines()]


def ids(plan: Plan) -> list[str]:
    return [document.id for document in plan.documents()]


def refused(*args: Any, **options: Any) -> str:
    with pytest.raises(ClaraError) as error:
        make_plan(*args, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_left_out_is_told_with_its_reason(source: str, dev: str, tmp_path: Path) -> None:
    plan = make_plan(source, folder=tmp_path / "work", settings=DocumentSettings(decontaminate=(dev,)))

    assert ids(plan) == ["d0", "d2"]
    rows = left_out(tmp_path / "work")
    similarity = rows[2].pop("similarity")
    assert 0.8 <= similarity < 1
    assert rows == [
        {"number": 1, "id": "d1", "reason": "too short", "repeats": ""},
        {"number": 3, "id": "d3", "reason": "duplicate", "repeats": "d0"},
        {"number": 4, "id": "d4", "reason": "near duplicate", "repeats": "d2"},
        {"number": 5, "id": "d5", "reason": "contaminated", "repeats": f"{dev}:q1"}
        | {"words": " ".join(text(3).split()[:13])},
    ]


def test_figures_add_up(source: str, dev: str, tmp_path: Path) -> None:
    plan = make_plan(source, folder=tmp_path / "work", settings=DocumentSettings(decontaminate=(dev,)))

    reasons = {"contaminated": 1, "duplicate": 1, "near duplicate": 1, "too short": 1}
    assert plan.figures == DocumentFigures(6, 6, 2, 60, reasons)
    assert plan.report is not None
    assert plan.report.files[dev].documents == 1
    assert plan.report.files[dev].document_examples[0]["document"] == "d5"


def test_near_duplicates_are_kept_on_demand_and_equal_ones_never(source: str, tmp_path: Path) -> None:
    plan = make_plan(source, folder=tmp_path / "work", settings=DocumentSettings(near_duplicates=0))

    assert ids(plan) == ["d0", "d2", "d4", "d5"]


def test_documents_that_the_evaluation_searches_can_be_kept(source: str, dev: str, tmp_path: Path) -> None:
    settings = DocumentSettings(decontaminate=(dev,), against="questions")

    plan = make_plan(source, folder=tmp_path / "work", settings=settings)

    assert ids(plan) == ["d0", "d2", "d5"]
    contamination = plan.contamination()
    assert contamination is not None and contamination.of_question("which WORD") is not None


def test_a_copy_of_what_is_left_out_for_its_length_alone_stays_out(tmp_path: Path) -> None:
    source = write(tmp_path / "documents.jsonl", ["A b.", "a B.", text(1)])

    make_plan(source, folder=tmp_path / "work")

    assert [row["reason"] for row in left_out(tmp_path / "work")] == ["too short", "too short"]


def test_long_documents_are_cut_and_their_passages_sifted(tmp_path: Path) -> None:
    long = f"{text(1, length=12)}.\n\n{text(2, length=12)}.\n\n{text(1, length=12)}.\n\nThe end."
    write_jsonl(tmp_path / "documents.jsonl", [Document("a", long, "Title"), Document("b", text(3, length=12))])

    plan = make_plan(tmp_path / "documents.jsonl", folder=tmp_path / "work", settings=DocumentSettings(max_words=13))

    assert [(document.id, document.title) for document in plan.documents()] == [
        ("a#1", "Title"),
        ("a#2", "Title"),
        ("b", ""),
    ]
    assert [(row["id"], row["repeats"]) for row in left_out(tmp_path / "work")] == [("a#3", "a#1"), ("a#4", "")]
    assert (plan.figures.read, plan.figures.passages, plan.figures.words) == (2, 5, 36)


def test_the_first_ones_are_enough(source: str, tmp_path: Path) -> None:
    plan = make_plan(source, folder=tmp_path / "work", settings=DocumentSettings(limit=2))

    assert ids(plan) == ["d0", "d2"]
    assert plan.figures == DocumentFigures(3, 3, 2, 60, {"too short": 1})


@pytest.mark.parametrize("limit", [1, 10, 37, 90])
def test_the_first_ones_are_those_of_the_whole(tmp_path: Path, limit: int) -> None:
    draw = random.Random(limit)
    texts = [text(draw.randrange(60), changed=draw.choice([0, 0, 1, 6])) for _ in range(300)]
    source = write(tmp_path / "documents.jsonl", texts)

    whole = make_plan(source, folder=tmp_path / "whole")
    some = make_plan(source, folder=tmp_path / "some", settings=DocumentSettings(limit=limit))

    assert ids(some) == ids(whole)[:limit]
    assert left_out(tmp_path / "some") == left_out(tmp_path / "whole")[: len(left_out(tmp_path / "some"))]
    assert some.figures.passages == some.figures.kept + sum(some.figures.left_out.values())


def test_no_more_is_read_than_the_first_ones_take(tmp_path: Path) -> None:
    source = write(tmp_path / "documents.jsonl", [text(seed) for seed in range(4)])
    with open(source, "a", encoding="utf-8") as file:
        file.write("no JSON\n")

    assert ids(make_plan(source, folder=tmp_path / "work", settings=DocumentSettings(limit=3))) == ["d0", "d1", "d2"]


def test_the_same_plan_is_made_everywhere(source: str, dev: str, tmp_path: Path) -> None:
    settings = DocumentSettings(decontaminate=(dev,))
    for name in ("one", "two"):
        make_plan(source, folder=tmp_path / name, settings=settings)

    for file in ("plan.json", "left_out.jsonl"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_plan_is_found_again_without_reading(
    source: str, dev: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = DocumentSettings(decontaminate=(dev,))
    made = make_plan(source, folder=tmp_path / "work", settings=settings)

    def refuse(*args: Any) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(plans, "_sift", refuse)
    monkeypatch.setattr("hashlib.file_digest", refuse)
    found = make_plan(source, folder=tmp_path / "work", settings=settings)

    assert found.is_reused and not made.is_reused
    assert found == made
    assert ids(found) == ids(made)
    contamination = found.contamination()
    assert contamination is not None and contamination is found.contamination()


@pytest.mark.parametrize("change", ["settings", "source", "evaluation", "list", "plan", "version"])
def test_a_change_makes_a_new_plan(source: str, dev: str, tmp_path: Path, change: str) -> None:
    folder, settings = tmp_path / "work", DocumentSettings(decontaminate=(dev,))
    make_plan(source, folder=folder, settings=settings)

    if change == "settings":
        settings = DocumentSettings(decontaminate=(dev,), min_words=6)
    elif change == "list":
        (folder / "left_out.jsonl").unlink()
    elif change == "plan":
        (folder / "plan.json").write_text("[]")
    elif change == "version":
        (folder / "plan.json").write_text((folder / "plan.json").read_text().replace('"version": 1', '"version": 0'))
    else:
        path = Path(source if change == "source" else dev)
        path.write_text(path.read_text() + "\n")

    assert not make_plan(source, folder=folder, settings=settings).is_reused
    assert make_plan(source, folder=folder, settings=settings).is_reused


def test_progress_is_told(tmp_path: Path) -> None:
    source = write(tmp_path / "documents.jsonl", [text(seed) for seed in range(2500)])
    told: list[int] = []

    make_plan(source, folder=tmp_path / "work", progress=told.append)

    assert told == [1000, 2000, 2500]


def test_a_folder_of_texts_is_read(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for name, seed in (("a.txt", 1), ("b.md", 2), ("c.txt", 1)):
        (tmp_path / "texts" / name).write_text(text(seed))
    (tmp_path / "texts" / "picture.png").touch()

    plan = make_plan(tmp_path / "texts", folder=tmp_path / "work")

    assert ids(plan) == ["a.txt", "b.md"]
    assert plan.figures.not_read == {"files of other kinds": 1}
    assert make_plan(tmp_path / "texts", folder=tmp_path / "work").figures == plan.figures


def test_what_else_is_in_a_folder_is_told_with_a_limit_too(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for name, seed in (("a.txt", 1), ("b.md", 2), ("c.png", 3)):
        (tmp_path / "texts" / name).write_text(text(seed))

    plan = make_plan(tmp_path / "texts", folder=tmp_path / "work", settings=DocumentSettings(limit=1))

    assert ids(plan) == ["a.txt"]
    assert plan.figures.not_read == {"files of other kinds": 1}


def test_a_name_of_a_file_that_is_not_utf8_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for name, seed in (("b\udce9.txt", 2), ("caf\udce9.txt", 1), ("other.txt", 1)):
        (tmp_path / "texts" / name).write_text(text(seed))
    write_jsonl(tmp_path / "dev.jsonl", [Question("q", "Which?", ("this",), (Passage(text(2), True),))])
    settings = DocumentSettings(decontaminate=(str(tmp_path / "dev.jsonl"),))

    plan = make_plan(tmp_path / "texts", folder=tmp_path / "work", settings=settings)

    assert [row["id"] for row in left_out(tmp_path / "work")] == ["b\udce9.txt", "other.txt"]
    assert left_out(tmp_path / "work")[1]["repeats"] == "caf\udce9.txt"
    assert make_plan(tmp_path / "texts", folder=tmp_path / "work", settings=settings) == plan


def test_other_scripts_and_markup_are_text_like_any(tmp_path: Path) -> None:
    texts = [
        "<p>The <b>Nile</b> is a river &amp; flows <a href='x'>north</a></p>",
        "<br/><hr/>",
        "尼罗河是非洲最长的河流。它向北流经十一个国家。",
        "尼罗河",
        "نهر النيل أطول أنهار أفريقيا ويجري شمالا",
        "नील नदी अफ्रीका की सबसे लंबी नदी है",
        "🙂🙂🙂 🙂 🙂 🙂 🙂",
        "नील\u200dनदी",
    ]

    plan = make_plan(write(tmp_path / "documents.jsonl", texts), folder=tmp_path / "work")

    assert ids(plan) == ["d0", "d2", "d4", "d5"]
    assert plan.figures.left_out == {"too short": 4}


def test_a_document_of_five_megabytes_in_one_word_is_cut(tmp_path: Path) -> None:
    source = write(tmp_path / "documents.jsonl", ["A" * 5_000_000, text(1)])

    plan = make_plan(source, folder=tmp_path / "work")

    assert ids(plan) == ["d1"]
    assert plan.figures.left_out["too short"] == plan.figures.passages - 1 > 1000


def test_nothing_left_is_told_with_the_counts(tmp_path: Path) -> None:
    source = write(tmp_path / "documents.jsonl", ["One.", "Two.", "Two."])

    assert refused(source, folder=tmp_path / "work") == (
        f"{source}: nothing to synthesise from: 3 documents, 3 passages, 0 kept (0 words); left out: too short 3 "
        f"({tmp_path}/work/left_out.jsonl lists them)"
    )
    assert os.listdir(tmp_path / "work") == ["left_out.jsonl"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "documents.jsonl: no documents"),
        (b'{"id": "a", "text": "b"}\n{"id": "\xe9"}\n', "documents.jsonl:2: not UTF-8: byte 0xe9 at column 9"),
        (b'{"id": "a", "text": " "}\n', "documents.jsonl:1: text: empty"),
        (b'{"id": "a", "text": "b"}\n' * 2, "documents.jsonl:2: id: 'a' is the id of an earlier document"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "documents.jsonl").write_bytes(content)

    assert refused(tmp_path / "documents.jsonl", folder=tmp_path / "work").startswith(f"{tmp_path}/{problem}")
    assert not (tmp_path / "work" / "plan.json").exists()


def test_bad_rows_are_skipped_as_far_as_they_may_be(source: str, tmp_path: Path) -> None:
    with open(source, "a", encoding="utf-8") as file:
        file.write("no JSON\n")

    plan = make_plan(source, folder=tmp_path / "work", settings=DocumentSettings(skip_bad_rows=1))

    assert ids(plan) == ["d0", "d2", "d5"]


def test_an_empty_folder_has_no_documents(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "picture.png").touch()

    problem = refused(tmp_path / "texts", folder=tmp_path / "work")

    assert problem == f"{tmp_path}/texts: no documents; not read: files of other kinds 1"


@pytest.mark.parametrize("missing", ["documents.jsonl", "dev.jsonl"])
def test_a_missing_file_is_named(source: str, dev: str, tmp_path: Path, missing: str) -> None:
    (tmp_path / missing).unlink()

    problem = refused(source, folder=tmp_path / "work", settings=DocumentSettings(decontaminate=(dev,)))

    assert problem == f"{tmp_path}/{missing}: no such file or directory"


def test_a_plan_inside_the_folder_that_is_read_is_refused(tmp_path: Path) -> None:
    problem = refused(tmp_path, folder=tmp_path / "work")

    assert problem == f"{tmp_path}/work: lies in {tmp_path}, and would be read as documents"


def test_a_full_disk_is_one_line_and_leaves_nothing(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    problem = refused(source, folder=tmp_path / "work")

    assert problem == f"{tmp_path}/work/left_out.jsonl: cannot be written: No space left on device"
    assert os.listdir(tmp_path / "work") == []


def test_a_full_disk_while_reading_is_one_line(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "clara_lightning.synthesis.duplicates.TemporaryFile",
        lambda dir: open("/dev/full", "r+b"),  # noqa: SIM115
    )

    assert refused(source, folder=tmp_path / "work") == f"{tmp_path}/work: cannot be written: No space left on device"


def test_an_interrupted_plan_is_made_anew_and_its_leftovers_go(source: str, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    for name in (".plan.json.99999.tmp", ".left_out.jsonl.99999.tmp"):
        (folder / name).write_text('{"half')
    (folder / "left_out.jsonl").write_text("")

    assert ids(make_plan(source, folder=folder)) == ["d0", "d2", "d5"]
    assert sorted(os.listdir(folder)) == ["left_out.jsonl", "plan.json"]


def test_an_interrupt_leaves_no_plan(source: str, tmp_path: Path) -> None:
    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_plan(source, folder=tmp_path / "work", progress=interrupt)

    assert os.listdir(tmp_path / "work") == []


@pytest.mark.parametrize("change", ["fewer", "other ids", "empty"])
def test_documents_that_changed_since_are_refused(source: str, tmp_path: Path, change: str) -> None:
    plan = make_plan(source, folder=tmp_path / "work")

    texts = [text(seed) for seed in range({"fewer": 5, "other ids": 6, "empty": 0}[change])]
    write_jsonl(source, [Document(f"e{number}", each) for number, each in enumerate(texts)])

    with pytest.raises(ClaraError, match=r"documents\.jsonl: not what .*plan\.json was made from"):
        ids(plan)


def test_a_file_that_only_grew_gives_what_was_planned(source: str, tmp_path: Path) -> None:
    plan = make_plan(source, folder=tmp_path / "work")
    with open(source, "a", encoding="utf-8") as file:
        file.write(json.dumps({"id": "new", "text": text(9)}) + "\n")

    assert ids(plan) == ["d0", "d2", "d5"]
