"""``clara inspect`` and ``clara ask --explain``: what a person sees, and what a program reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clara_lightning.backbone.lens import Lens, Place, Word

CPU = ("--device", "cpu", "--dtype", "float32")
TEXT = "Alba sells apples ."


@pytest.fixture(autouse=True)
def _screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def test_inspect_shows_a_table_for_each_text(clara: Any, compressor: Path) -> None:
    outcome = clara("inspect", "--adapters", compressor, *CPU, "--text", TEXT, "Oslo", "--top", 2)

    assert outcome.code == 0, outcome.err
    assert outcome.out.count("decodes to") == 2
    assert outcome.out.count("as the compressor reads it") == 2
    assert TEXT in outcome.out and "anchor" in outcome.out
    assert outcome.out.count("+ does not stand in the text; ") == 2
    assert max(map(len, outcome.out.splitlines())) <= 100


def test_inspect_json_holds_every_place(clara: Any, compressor: Path) -> None:
    outcome = clara("inspect", "--adapters", compressor, *CPU, "--text", TEXT, "Oslo", "--json")

    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert [row["text"] for row in rows] == [TEXT, "Oslo"]
    for row in rows:
        assert (row["id"], row["adapter"], row["measure"], row["cut"]) == (None, "compressor", "probability", False)
        assert [len(place["words"]) for place in row["places"]] == [4] * 4
        assert row.keys() >= {"share_not_in_text"}
        for place in row["places"]:
            values = [word["value"] for word in place["words"]]
            assert values == sorted(values, reverse=True) and 0 < sum(values) <= 1


@pytest.mark.parametrize("stage", ["compressor", "joint"])
def test_a_question_is_read_as_search_reads_it(clara: Any, request: pytest.FixtureRequest, stage: str) -> None:
    adapters = request.getfixturevalue(stage)

    (row,) = map(
        json.loads,
        clara("inspect", "--adapters", adapters, *CPU, "--question", "Where ?", "--json").out.splitlines(),
    )

    assert row["adapter"] == {"compressor": "compressor", "joint": "query_reasoner"}[stage]


def test_stored_memory_is_shown_by_its_nearest_embeddings(clara: Any, compressor: Path, store: Path) -> None:
    words = ("inspect", "--adapters", compressor, *CPU, "--store", store, "--id", "d3", "d0")

    table, outcome = clara(*words), clara(*words, "--json")

    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert [row["id"] for row in rows] == ["d3", "d0"]
    assert {row["measure"] for row in rows} == {"cosine"}
    assert all(-1 <= word["value"] <= 1 for row in rows for place in row["places"] for word in place["words"])
    assert "d3: Dorn 3" in table.out and "as it is stored" in table.out and "nearest" in table.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "inspect: one of the arguments --text --question --store is required (see clara inspect --help)"),
        (("--text", "a", "--top", 0), "--top must be >= 1, got 0"),
        (("--text", "a", "--id", "d0"), "--id names documents of a --store: give both, or neither"),
        (("--store", "STORE"), "--id names documents of a --store: give both, or neither"),
        (("--store", "STORE", "--id", "nobody"), "--id: document 'nobody' is not in the store STORE"),
        (("--text", " "), "--text: it is empty"),
    ],
)
def test_a_mistake_is_one_line(
    options: tuple[object, ...], message: str, clara: Any, compressor: Path, store: Path
) -> None:
    given = [store if each == "STORE" else each for each in options]

    refused = clara("inspect", "--adapters", compressor, *CPU, *given)

    assert refused.mistake == message.replace("STORE", str(store))


def test_a_store_of_another_compressor_is_refused(
    commands: Any, clara: Any, compressor: Path, store: Path, tmp_path: Path
) -> None:
    assert clara(*commands.fit_compressor(tmp_path / "other", "--trainer.max_steps", 1)).code == 0

    refused = clara("inspect", "--adapters", tmp_path / "other", *CPU, "--store", store, "--id", "d0")

    assert "was made by compressor" in refused.mistake


def test_words_that_are_not_in_the_text_are_marked_without_colour(capsys: pytest.CaptureFixture[str]) -> None:
    from clara_lightning.cli.look import print_lens

    words = (Word(" new", 0.5, False), Word(" old", 0.25, True), Word("\n", 0.125, None))
    print_lens(Lens("old", True, "probability", (Place(" old", words), Place(None, words, empty=True))), title="old")

    shown = capsys.readouterr().out
    assert "+new 0.50" in shown and " old 0.25" in shown and "+old" not in shown and "\\n 0.12" in shown
    assert "\x1b" not in shown  # no colour here
    assert "the best word of 100% of the places does not" in shown
    assert "1 places are left out" in shown and "only its beginning is in the memory" in shown


def test_tokens_and_titles_are_shown_and_never_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    from clara_lightning.cli.look import Looked, print_looked

    words = tuple(Word(text, 0.5, False) for text in ("[bold]", "[/red]", "a\x1b[31m", "\\"))
    lens = Lens("[b]text[/b] \x07", False, "cosine", (Place("[i]", words),))
    print_looked(Looked("[red]id", "compressor", lens))

    shown = capsys.readouterr().out
    assert all(text in shown for text in ("+[bold] 0.50", "+[/red] 0.50", "+\\ 0.50", "[i]", "[red]id: [b]text[/b]"))
    assert "\x1b" not in shown and "\x07" not in shown


def test_explain_shows_choice_words_and_log_probabilities(clara: Any, joint: Path, store: Path) -> None:
    words = (
        "ask",
        "--adapters",
        joint,
        "--store",
        store,
        *CPU,
        "--max-new-tokens",
        3,
        "What does Alba number 0 sell ?",
    )

    plain, explained = clara(*words), clara(*words, "--explain")
    (values,) = map(json.loads, clara(*words, "--explain", "--json").out.splitlines())

    assert explained.code == 0, explained.err
    assert explained.out.startswith(plain.out)
    assert values["answer"] == plain.out.strip() or plain.out.strip() == "(no answer)"
    assert "Soft choice among the best 20 (temperature 0.02)" in explained.out
    assert "as the query_reasoner reads it" in explained.out
    for label in ("no memory", "another's memory", "memory taken", "their text"):
        assert label in explained.out
    for figures in values["log_probabilities"].values():
        assert f"{figures['sum']:.2f}" in explained.out
    for row in values["documents"]:
        assert row["text"] in " ".join(explained.out.split())
    assert max(map(len, explained.out.splitlines())) <= 100
