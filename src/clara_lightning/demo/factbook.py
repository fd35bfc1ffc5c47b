"""The World Factbook as a corpus of short titled passages, and the selection that the demo embeds.

Every structured fact stands in its passage as one sentence, so that a question made from it knows its gold passage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from clara_lightning.data.records import Document
from clara_lightning.demo.field import Field
from clara_lightning.demo.fields import ALTERNATIVE_PATHS, PROSE, SECTIONS
from clara_lightning.demo.places import Place, load_places
from clara_lightning.demo.readers import Parts
from clara_lightning.demo.text import capitalized, num_words, pack, plain_names, sentences

__all__ = ["Fact", "Place", "build_corpus", "demo_corpus", "demo_places", "facts", "load_places"]

MAX_WORDS = 64
DEMO_SIZE = 800
_MIN_PROSE_WORDS = 5  # less is "none" or "NA"
_DISTRACTOR_SECTION = "background"


@dataclass(frozen=True)
class Fact:
    """One structured fact of a place, and the sentence that states it in the corpus."""

    place: Place
    section: str
    field: Field
    parts: Parts
    sentence: str


@cache
def _cached_facts(code: str) -> tuple[Fact, ...]:
    place = next(place for place in load_places() if place.code == code)
    return tuple(fact for section in SECTIONS for fact in _section_facts(place, section))


def facts(place: Place) -> tuple[Fact, ...]:
    """Every fact of ``place`` whose field has the form that its reader knows, in the order of the tables."""
    return _cached_facts(place.code)


def build_corpus(places: Iterable[Place], *, max_words: int = MAX_WORDS) -> list[Document]:
    """Every passage of ``places``: the structured sections, then the Factbook's own prose.

    Args:
        places: from :func:`load_places`.
        max_words: strict limit of a passage's text; the title comes on top.

    Returns:
        Documents with ids like ``fr/government/0`` and metadata ``place`` (name), ``region`` and ``section``.
    """
    return [document for place in places for document in _documents(place, max_words)]


def demo_places(size: int = DEMO_SIZE) -> list[Place]:
    """The most populous states whose sections, with one passage of background each, make up to ``size`` passages."""
    chosen: list[Place] = []
    total = 0
    for place in sorted(filter(_is_rich, load_places()), key=_population, reverse=True):
        total += len(_demo_documents(place))
        if total > size:
            break
        chosen.append(place)
    return chosen


def demo_corpus(size: int = DEMO_SIZE) -> list[Document]:
    """The embedded corpus of at most ``size`` passages: complete sections of :func:`demo_places`, and background."""
    return [document for place in demo_places(size) for document in _demo_documents(place)]


def _section_facts(place: Place, section: str) -> Iterator[Fact]:
    for field in SECTIONS[section][1]:
        text = place.fields.get(field.path) or place.fields.get(ALTERNATIVE_PATHS.get(field.path, ""), "")
        if parts := field.parts(text):
            yield Fact(place, section, field, parts, _say(field.sentence, place, parts))


def _say(template: str, place: Place, parts: Mapping[str, str], *, opens: bool = False) -> str:
    """The sentence; one that opens a passage names the place instead of "it"."""
    if opens and "{place}" not in template:
        owner = f"{place.in_text}'" if place.in_text.endswith("s") else f"{place.in_text}'s"
        template = template if template.startswith("It") else f"In {{place}}, {template[0].lower()}{template[1:]}"
        template = template.replace("Its ", f"{owner} ", 1).replace("It ", f"{place.in_text} ", 1)
    return capitalized(template.format(place=place.in_text, **parts))


def _documents(place: Place, max_words: int) -> Iterator[Document]:
    for section, (title, _) in SECTIONS.items():
        stated = [fact for fact in facts(place) if fact.section == section]
        if stated:
            first = _say(stated[0].field.sentence, place, stated[0].parts, opens=True)
            texts = pack([first, *(fact.sentence for fact in stated[1:])], max_words)
            yield from _numbered(place, section, title, texts)
    for section, (title, path) in PROSE.items():
        prose = plain_names(place.fields.get(path, ""))
        texts = pack(sentences(prose), max_words) if num_words(prose) >= _MIN_PROSE_WORDS else []
        yield from _numbered(place, section, title, texts)


def _numbered(place: Place, section: str, title: str, texts: Iterable[str]) -> Iterator[Document]:
    metadata = {"place": place.name, "region": place.region, "section": section}
    for index, text in enumerate(texts):
        yield Document(f"{place.code}/{section}/{index}", capitalized(text), f"{place.name}: {title}", metadata)


def _demo_documents(place: Place) -> list[Document]:
    documents = build_corpus([place])
    return [d for d in documents if d.metadata["section"] in SECTIONS or d.id.endswith(f"{_DISTRACTOR_SECTION}/0")]


def _is_rich(place: Place) -> bool:
    """A state with the facts that questions are mostly about."""
    known = {fact.field.name for fact in facts(place)}
    return place.sovereign and {"capital", "population", "area", "internet_code"} <= known


def _population(place: Place) -> int:
    return next(int(fact.parts["number"]) for fact in facts(place) if fact.field.name == "population")
