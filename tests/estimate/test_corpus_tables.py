"""The tables of docs/corpus_at_scale.md are those that its script makes."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "corpus_at_scale.md").read_text(encoding="utf-8")
SIZES = {"Mistral-7B": 4096, "Qwen3-4B": 2560, "Qwen3-0.6B": 1024}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """``scripts/corpus_tables.py``, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("corpus_tables", ROOT / "scripts" / "corpus_tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def told(name: str) -> str:
    """A table of the page."""
    found = re.search(rf"<!-- {name}: made by scripts/corpus_tables\.py -->\n(.*?)\n<!-- end -->", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_index_memory_is_as_the_page_says(script: ModuleType) -> None:
    assert told("keys") == script.keys()


def test_sizes_of_the_store_are_as_the_page_says(script: ModuleType) -> None:
    rows = [script.Backbone(name, tokens, size, 0, 0.0) for name, size in SIZES.items() for tokens in (16, 4)]
    assert told("store") == script.store(rows)


def test_the_smallest_backbones_hours_are_as_estimated(script: ModuleType) -> None:
    last = list(script.backbones(["Qwen3-0.6B"], memory_tokens=[4]))
    assert told("encoding").splitlines()[-1] == script.encoding(last).splitlines()[-1]
    assert told("questions").splitlines()[-1] == script.questions(last).splitlines()[-1]


@pytest.mark.slow
def test_every_table_is_as_the_page_says(script: ModuleType) -> None:
    made = script.tables()
    assert {name: told(name) for name in made} == made
