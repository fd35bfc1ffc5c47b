"""Settings that make no sense are refused with their name, and a document's key is its content's."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from clara_lightning.data.records import Document
from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.documents import DocumentFigures, DocumentSettings, document_key


def test_a_key_is_of_title_and_text_alone() -> None:
    key = document_key(Document("a", "text", "title", {"year": 1}))

    assert key == document_key(Document("b", "text", "title"))
    assert key == hashlib.blake2b(b'["title", "text"]', digest_size=16).hexdigest()
    assert len({key, document_key(Document("a", "title", "text")), document_key(Document("a", "titletext"))}) == 3


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"near_duplicates": 2}, "--near-duplicates must be between 0 and 1, got 2"),
        ({"near_duplicates": float("nan")}, "--near-duplicates must be between 0 and 1, got nan"),
        ({"max_words": 0}, "--max-words must be >= 1, got 0"),
        ({"min_words": 0}, "--min-words must be >= 1, got 0"),
        ({"min_words": 20, "max_words": 10}, "--min-words must be <= --max-words (10), got 20"),
        ({"ngram": 0}, "--ngram must be >= 1, got 0"),
        ({"against": "all"}, "--against must be one of questions, passages, both, got all"),
        ({"skip_bad_rows": -1}, "--skip-bad-rows must be >= 0, got -1"),
        ({"limit": 0}, "--limit must be >= 1, got 0"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ClaraError) as refused:
        DocumentSettings(**settings)

    assert str(refused.value) == problem


def test_settings_are_plain_values() -> None:
    settings = DocumentSettings(decontaminate=("dev.jsonl",), limit=3)

    assert json.loads(json.dumps(settings.to_json())) == settings.to_json()
    assert settings.to_json()["decontaminate"] == ["dev.jsonl"]


def test_figures_are_told_in_a_line() -> None:
    figures = DocumentFigures(1000, 1200, 900, 80_000, {"duplicate": 200, "too short": 100}, {"links": 2})

    assert figures.sentence() == (
        "1,000 documents, 1,200 passages, 900 kept (80,000 words); left out: duplicate 200, too short 100; "
        "not read: links 2"
    )
