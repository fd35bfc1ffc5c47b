"""``clara store index | bench`` as a user calls them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def own(store: Path, tmp_path: Path) -> Path:
    """A copy of the store that a test may change."""
    return Path(shutil.copytree(store, tmp_path / "own"))


def test_a_store_is_indexed_measured_and_searched(clara: Any, own: Path, compressor: Path, files: Any) -> None:
    search = ("search", "--store", own, "--adapters", compressor, "--top-k", 3, "--json", "Where is it?")
    before = json.loads(clara(*search).out)
    made = clara("store", "index", own, "--kind", "flat", "--score", "maxsim", "--json")
    assert json.loads(made.out)["documents"] == 40
    questions = ("--questions", files.questions, "--adapters", compressor)
    found = json.loads(clara("store", "bench", own, *questions, "--queries", 6, "--top-k", 3, "--json").out)
    assert found["is_reached"] and found["recall"] == 1.0 and found["queries"] == 2
    after = json.loads(clara(*search).out)
    assert len(after["documents"]) == 3 and after["documents"][0] == before["documents"][0]
    assert "flat for maxsim over 40 rows" in clara("store", "info", own).out
    assert clara("store", "verify", own).code == 0


def test_a_report_says_that_the_search_was_not_exact(
    clara: Any, own: Path, compressor: Path, files: Any, tmp_path: Path
) -> None:
    assert clara("store", "index", own, "--kind", "flat", "--score", "maxsim").code == 0
    words = ("--adapters", compressor, "--store", own, "--data", files.questions, "--dense", "none", "--limit", 2)
    assert clara("evaluate", *words, "--out", tmp_path / "report").code == 0
    notes = json.loads((tmp_path / "report" / "results.json").read_text(encoding="utf-8"))["notes"]
    assert any("was searched in two stages, which may miss documents: flat for maxsim" in note for note in notes)


def test_a_missing_file_is_a_clear_line_and_a_rebuild_mends_it(clara: Any, own: Path, compressor: Path) -> None:
    search = ("search", "--store", own, "--adapters", compressor, "Where is it?")
    assert clara("store", "index", own, "--kind", "flat", "--score", "maxsim").code == 0
    (gone,) = own.glob("index/*/keys-*.faiss")
    gone.unlink()
    assert f"{gone} is missing: build it again with clara store index {own} --rebuild" in clara(*search).mistake
    assert clara("store", "index", own, "--rebuild").code == 0
    assert clara(*search).code == 0


def test_a_table_says_what_was_tried(clara: Any, own: Path) -> None:
    assert clara("store", "index", own, "--kind", "hnsw", "--score", "flat").code == 0
    done = clara("store", "bench", own, "--queries", 20, "--top-k", 2)
    assert done.code == 0
    assert next(line.split()[0] for line in done.out.splitlines()) == "effort"
    assert "recall" in done.out and "of 6 other queries" in done.out


@pytest.mark.parametrize(
    ("words", "mistake"),
    [
        (("index", "--rebuild"), "--rebuild: STORE has no index"),
        (("index", "--kind", "flat"), "--score is required with --kind: flat, maxsim or mean, as the adapters were"),
        (("index", "--kind", "flat", "--score", "flat", "--memory-gb", "0"), "--memory-gb must be at least 0.25"),
        (("index", "--score", "flat"), "--score has no effect without --kind"),
        (("index", "--kind", "flat", "--rebuild"), "--rebuild builds what the store has: leave out --kind"),
        (("index", "--kind", "ivf-pq", "--score", "flat"), "--kind ivf-pq learns its codes from at least 256 keys"),
        (("bench",), "STORE: STORE has no search index: clara store index STORE --kind"),
        (("bench", "--questions", "qa.jsonl"), "--questions and --adapters go together"),
        (("bench", "--threads", "0"), "--threads must be >= 1, got 0"),
    ],
)
def test_a_mistake_is_one_line(clara: Any, own: Path, words: tuple[str, ...], mistake: str) -> None:
    assert mistake in clara("store", words[0], own, *words[1:]).mistake.replace(str(own), "STORE")
