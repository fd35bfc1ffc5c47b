"""What the verbs print, and what help does not import."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

HEAVY = ("torch", "transformers", "lightning", "faiss", "peft", "pandas", "pyarrow", "datasets")


@pytest.fixture
def words(joint: Path, store: Path) -> list[object]:
    return ["--adapters", joint, "--store", store, "--device", "cpu", "--dtype", "float32"]


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        [],
        ["ask", "--help"],
        ["evaluate", "-h"],
        ["demo", "--help"],
        ["estimate", "--help"],
        ["convert", "-h"],
        ["export", "-h"],
        ["inspect", "-h"],
        ["synthesize", "-h"],
        ["store", "-h"],
        ["store", "index", "-h"],
        ["data", "--help"],
        ["data", "stats", "--help"],
        ["data", "preview", "--help"],
    ],
)
def test_help_imports_nothing_heavy(args: list[str]) -> None:
    program = (
        "import sys\n"
        "from clara_lightning.cli.main import main\n"
        "try:\n    code = main(sys.argv[1:])\nexcept SystemExit as error:\n    code = error.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], code or 0, file=sys.stderr)\n"
    )
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-c", program, *args],
        env=os.environ | {"PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == "[] 0\n"
    assert done.stdout.startswith("usage: clara ")


def test_version_is_printed(clara: Any) -> None:
    from importlib.metadata import version

    assert clara("--version").out == f"{version('clara-lightning')}\n"


def test_ask_prints_one_json_object_a_question(words: list[object], clara: Any, monkeypatch: Any) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("What ?\n\nWhere ?\n"))

    outcome = clara("ask", *words, "--json", "--top-k", 3, "--max-new-tokens", 2, "-")

    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert outcome.code == 0
    assert [row["question"] for row in rows] == ["What ?", "Where ?"]
    assert all(set(row) >= {"question", "answer", "documents"} and len(row["documents"]) == 3 for row in rows)


def test_search_prints_documents_as_json(words: list[object], clara: Any) -> None:
    outcome = clara("search", *words, "--json", "What does Alba number 0 sell ?")

    (row,) = [json.loads(line) for line in outcome.out.splitlines()]
    scores = [each["score"] for each in row["documents"]]
    assert len(scores) == 2 and scores == sorted(scores, reverse=True)
    assert all(each["text"] for each in row["documents"])


@pytest.fixture
def indexed(joint: Path, store: Path, clara: Any, tmp_path: Path) -> list[object]:
    """Options over the store with an index of its words."""
    shutil.copytree(store, tmp_path / "indexed")
    assert clara("store", "index", tmp_path / "indexed").code == 0
    return ["--adapters", joint, "--store", tmp_path / "indexed", "--device", "cpu", "--dtype", "float32"]


def test_index_says_what_it_made(store: Path, clara: Any, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "store")

    plain, values = (clara("store", "index", tmp_path / "store", *option) for option in ([], ["--json"]))

    assert plain.out.startswith(f"{tmp_path}/store/index/bm25: 40 documents, ")
    made = json.loads(values.out)
    assert made["documents"] == 40 and made["words"] > 40
    assert made["bytes"] == sum(path.stat().st_size for path in (tmp_path / "store" / "index" / "bm25").iterdir())


@pytest.mark.parametrize("options", [["weighted"], ["reciprocal_rank", "--hybrid-weight", 0.75]])
def test_hybrid_search_prints_fused_scores(options: list[object], indexed: list[object], clara: Any) -> None:
    question = "What does Alba number 0 sell ?"

    searched = clara("search", *indexed, "--json", "--top-k", 3, "--hybrid", *options, question)
    asked = clara("ask", *indexed, "--json", "--top-k", 3, "--max-new-tokens", 2, "--hybrid", *options, question)

    found, answered = (json.loads(outcome.out)["documents"] for outcome in (searched, asked))
    assert [(each["id"], each["score"]) for each in found] == [(each["id"], each["score"]) for each in answered]
    scores = [each["score"] for each in found]
    assert scores == sorted(scores, reverse=True) and all(0 <= score <= 1 for score in scores)


def test_explain_shows_the_documents(words: list[object], clara: Any) -> None:
    (hit,) = json.loads(clara("search", *words, "--json", "--top-k", 1, "What ?").out)["documents"]

    plain = clara("ask", *words, "--top-k", 1, "--max-new-tokens", 2, "What ?")
    explained = clara("ask", *words, "--top-k", 1, "--max-new-tokens", 2, "--explain", "What ?")

    assert hit["id"] in explained.out and hit["title"] in explained.out
    assert hit["text"] not in plain.out


def test_text_of_documents_is_shown_and_never_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    from clara_lightning.cli.screen import print_answer, print_hits
    from clara_lightning.data.records import Document
    from clara_lightning.inference.pipeline import Answer, Hit

    text = "[bold]not bold[/bold] [/nothing] \x1b[31mnot red\x07"
    answer = Answer("Q", text, (Hit(Document("[i]d[/i]", text, text), 0.5),))
    print_answer(answer)
    print_hits(answer.hits)

    shown = capsys.readouterr().out
    assert shown.count("[bold]not bold[/bold] [/nothing]") == 3
    assert "[i]d[/i]" in shown
    assert "\x1b[31m" not in shown and "\x07" not in shown


def test_doctor_says_what_the_machine_offers(clara: Any) -> None:
    table, values = clara("doctor"), clara("doctor", "--json")

    assert table.code == values.code == 0
    rows = json.loads(values.out)
    assert rows["torch"] == version("torch")
    assert rows["backbone.dtype auto"] in ("float32", "bfloat16")
    assert all(name in table.out and value in table.out for name, value in rows.items())
