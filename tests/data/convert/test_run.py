"""What holds for every format: options, OUT, rows that are bad."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.data.convert.registry import FORMATS

ROW = {"question": "who?", "answer": ["Ann"]}


@pytest.fixture
def source(write: Any) -> Path:
    path: Path = write("nq.jsonl", ROW, {"question": ""}, ROW)
    return path


def test_an_unknown_format_is_refused_with_those_there_are(source: Path, refuse: Any) -> None:
    assert refuse("trivia", source) == f"--from: no such format: trivia (there are {', '.join(FORMATS)})"


@pytest.mark.parametrize(("option", "user"), [(("--split", "dev"), "beir"), (("--max-words", 9), "text")])
def test_an_option_without_effect_is_refused(source: Path, refuse: Any, option: tuple[Any, ...], user: str) -> None:
    assert refuse("squad", source, *option) == f"{option[0]}: has no effect with --from squad, only with {user}"


def test_bad_rows_are_counted_and_said(source: Path, clara: Any, refuse: Any, tmp_path: Path) -> None:
    assert refuse("nq-open", source) == "nq.jsonl:2: question: empty"
    outcome = clara("convert", "--from", "nq-open", source, tmp_path / "out.jsonl", "--skip-bad-rows", 1)

    assert outcome.out.endswith("out.jsonl: 3 rows in, 2 rows out: questions 2; left out: bad rows 1\n")
    assert "skipped bad rows: 1; the first: " in outcome.err


def test_out_is_replaced_when_asked_for_and_whole(source: Path, write: Any, clara: Any, tmp_path: Path) -> None:
    out = write("out.jsonl", "old")
    args = ("convert", "--from", "nq-open", source, out)

    assert clara(*args, "--skip-bad-rows", 1).mistake == f"{out}: is there already; --replace writes over it"
    assert clara(*args, "--replace").mistake.endswith("nq.jsonl:2: question: empty") and out.read_text() == "old"
    assert clara(*args, "--replace", "--skip-bad-rows", 1).code == 0 and len(out.read_text().splitlines()) == 2
    assert sorted(os.listdir(tmp_path)) == ["nq.jsonl", "out.jsonl"]


def test_the_source_is_never_written_over(source: Path, clara: Any, tmp_path: Path) -> None:
    (tmp_path / "alias.jsonl").hardlink_to(source)

    for out in (source, tmp_path / "alias.jsonl"):
        assert clara("convert", "--from", "nq-open", source, out, "--replace").mistake == f"{out}: OUT is what is read"


def test_a_folder_or_a_link_is_not_replaced(source: Path, write: Any, clara: Any, tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "link.jsonl").symlink_to(write("elsewhere.jsonl", "mine"))

    for name in ("folder", "link"):
        mistake = clara("convert", "--from", "nq-open", source, tmp_path / f"{name}.jsonl", "--replace").mistake
        assert mistake.endswith(f"{name}.jsonl: --replace writes over a plain file, and this is none")


def test_a_source_of_which_nothing_comes_is_refused(write: Any, refuse: Any) -> None:
    path = write("musique.jsonl", {"answerable": False})

    assert refuse("musique", path) == (
        "musique.jsonl: nothing to convert: 1 rows in, 0 rows out: nothing; "
        "left out: questions that cannot be answered 1"
    )


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("text", "beir")])
def test_a_source_that_is_not_there_is_refused(name: str, tmp_path: Path, refuse: Any) -> None:
    assert re.fullmatch(r"none\.jsonl: .*[Nn]o such file or directory", refuse(name, tmp_path / "none.jsonl"))


def test_help_lists_every_format(capsys: Any) -> None:
    from clara_lightning.cli.main import main

    with pytest.raises(SystemExit):
        main(["convert", "--help"])

    shown = capsys.readouterr().out
    assert all(
        re.search(rf"^ +{name} +{re.escape(known.summary)}$", shown, re.MULTILINE) for name, known in FORMATS.items()
    )
