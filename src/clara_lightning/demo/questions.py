"""Questions over the Factbook corpus whose answers and gold passages are known by construction.

Three kinds, told apart by the first part of the id (``simple/capital/pe``): *simple* (one passage answers), *bridge*
(the country is described by a fact of another passage) and *comparison* (two places). A question is held out if any
place it involves is; training questions involve training places only.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from clara_lightning.data.records import Document, Passage, Question
from clara_lightning.demo.ask import Ask
from clara_lightning.demo.asks import ASKS
from clara_lightning.demo.asks_linked import BRIDGED, BRIDGES, COMPARISONS, Bridge, Comparison
from clara_lightning.demo.factbook import Fact, Place, facts, load_places
from clara_lightning.demo.places import Split
from clara_lightning.demo.text import ascii_fold, capitalized

_ALIASES = {
    "United States": ("USA", "United States of America"),
    "United Kingdom": ("Britain", "Great Britain"),
    "United Arab Emirates": ("UAE",),
    "Burma": ("Myanmar",),
}
_BRIDGES_PER_PLACE = 4


@dataclass(frozen=True)
class Located:
    """A fact and the document that states it."""

    fact: Fact
    document: Document


def build_questions(corpus: Sequence[Document], split: Split, *, seed: int = 0) -> list[Question]:
    """Every question whose gold passages are in ``corpus``, shuffled so that any prefix is a fair mix.

    Args:
        corpus: documents of :func:`clara_lightning.demo.factbook.build_corpus` or ``demo_corpus``.
        split: ``train`` or ``held-out``; both places of a comparison are of the split.
        seed: chooses wordings, bridges and pairs.
    """
    places = [place for place in _states(corpus) if place.split == split]
    located = locate(corpus)
    questions = [question for place in places for question in _simple(place, located, seed)]
    questions += [question for place in places for question in _bridges(place, located, seed)]
    questions += [question for comparison in COMPARISONS for question in _compare(comparison, places, located, seed)]
    return _rng(seed, "order", split).sample(questions, len(questions))


def locate(corpus: Sequence[Document]) -> dict[tuple[str, str], Located]:
    """Where each fact stands: ``(place code, field name)`` to the fact and the document that states it."""
    passages: dict[tuple[str, str], list[Document]] = defaultdict(list)
    for document in corpus:
        code, section, _ = document.id.split("/")
        passages[code, section].append(document)
    codes = {code for code, _ in passages}
    return {
        (place.code, fact.field.name): Located(fact, document)
        for place in load_places()
        if place.code in codes
        for fact in facts(place)
        for document in passages[place.code, fact.section]
        if _stated(fact) in document.text
    }


def ask_answers(ask: Ask, fact: Fact) -> tuple[str, ...]:
    """Every answer to ``ask`` that counts, the target first; none where the fact lacks a part or gives itself away."""
    try:
        answer = ask.answer.format(**fact.parts)
        also = [template.format(**fact.parts) for template in ask.also]
    except KeyError:
        return ()
    told = answer.casefold() in fact.place.in_text.casefold() or fact.place.name.casefold() in answer.casefold()
    if (told and not ask.telling) or "/" in answer or answer.count(" ") > 4:
        return ()
    return alternatives(answer, *also)


def alternatives(*answers: str) -> tuple[str, ...]:
    """``answers`` with their aliases and unaccented forms, without repetition and in order."""
    every = [*answers, *(alias for answer in answers for alias in _ALIASES.get(answer, ()))]
    every += [
        re.sub(r"^(\d{1,2}) ([A-Z][a-z]+)(?: (\d{4}))?$", r"\2 \1, \3", answer).rstrip(", ") for answer in answers
    ]
    every += [ascii_fold(answer) for answer in every]
    return tuple(dict.fromkeys(every))


def worded(templates: Sequence[str], rng: random.Random, **names: str) -> str:
    """One of the wordings, filled in, with a large first letter."""
    return capitalized(rng.choice(templates).format(**names))


def with_candidates(
    questions: Sequence[Question], corpus: Sequence[Document], *, num_candidates: int = 20, seed: int = 0
) -> list[Question]:
    """The questions with candidate passages of their own: the gold ones among distractors, in random order.

    Half of the distractors are of the gold passages' places, half of their sections elsewhere; all are of the split of
    the question's places, so that a training question shows no held-out place's passage.
    """
    pool = _Pool(corpus)
    return [replace(question, passages=pool.candidates(question, num_candidates, seed)) for question in questions]


class _Pool:
    """The corpus by id, by place and by section within a split."""

    def __init__(self, corpus: Sequence[Document]) -> None:
        split_of = {place.code: place.split for place in load_places()}
        self.by_id = {document.id: document for document in corpus}
        self.by_place: dict[str, list[Document]] = defaultdict(list)
        self.by_section: dict[tuple[Split, str], list[Document]] = defaultdict(list)
        self.by_split: dict[Split, list[Document]] = defaultdict(list)
        self.split_of: Mapping[str, Split] = split_of
        for document in corpus:
            code, section, _ = document.id.split("/")
            self.by_place[code].append(document)
            self.by_section[split_of[code], section].append(document)
            self.by_split[split_of[code]].append(document)

    def candidates(self, question: Question, num_candidates: int, seed: int) -> tuple[Passage, ...]:
        rng = _rng(seed, "candidates", question.id)
        gold = [self.by_id[gold_id] for gold_id in question.gold_ids]
        chosen = {document.id: document for document in gold}
        codes = sorted({document.id.split("/")[0] for document in gold})
        split = self.split_of[codes[0]]
        near = [document for code in codes for document in self.by_place[code]]
        alike = [document for d in gold for document in self.by_section[split, d.id.split("/")[1]]]
        half = len(gold) + (num_candidates - len(gold)) // 2
        for limit, source in ((half, near), (num_candidates, alike), (num_candidates, self.by_split[split])):
            for document in rng.sample(source, len(source)):
                if len(chosen) < limit:
                    chosen[document.id] = document
        order = rng.sample(list(chosen.values()), len(chosen))
        return tuple(Passage(d.text, d.id in question.gold_ids, d.id, d.title) for d in order)


def _states(corpus: Sequence[Document]) -> list[Place]:
    codes = {document.id.split("/")[0] for document in corpus}
    return [place for place in load_places() if place.sovereign and place.code in codes]


def _stated(fact: Fact) -> str:
    """The fact's sentence without its opening word, which is the place's name where the sentence opens a passage."""
    return fact.sentence.split(" ", 1)[1]


def _simple(place: Place, located: Mapping[tuple[str, str], Located], seed: int) -> Iterator[Question]:
    for ask in ASKS:
        found = located.get((place.code, ask.field))
        answers = ask_answers(ask, found.fact) if found else ()
        if found and answers and answers[0] in found.document.text:
            rng = _rng(seed, ask.name, place.code)
            text = worded(ask.questions, rng, place=place.in_text)
            yield Question(f"simple/{ask.name}/{place.code}", text, answers, gold_ids=(found.document.id,))


def _bridges(place: Place, located: Mapping[tuple[str, str], Located], seed: int) -> Iterator[Question]:
    """Up to four two-step questions, with different answers and, as far as it goes, different first steps."""
    pairs = [(bridge, ask) for bridge in BRIDGES for ask in ASKS if ask.name in BRIDGED]
    rng = _rng(seed, "bridge", place.code)
    used: set[str] = set()
    for bridge, ask in rng.sample(pairs, len(pairs)):
        if len(used) < 2 * _BRIDGES_PER_PLACE and not used & {f"by {bridge.field}", ask.name}:
            question = _bridge(place, bridge, ask, located)
            used |= {f"by {bridge.field}", ask.name} if question else set()
            yield from [question] if question else []


def _bridge(place: Place, bridge: Bridge, ask: Ask, located: Mapping[tuple[str, str], Located]) -> Question | None:
    first, last = located.get((place.code, bridge.field)), located.get((place.code, ask.field))
    if not first or not last or first.document.id == last.document.id:
        return None
    value = first.fact.parts[bridge.value]
    answers = ask_answers(ask, last.fact)
    described = bridge.described.format(value=value)
    hidden = place.name.casefold() not in described.casefold()
    if not answers or not hidden or _uses(bridge.field, bridge.value)[value] > 1 or value not in first.document.text:
        return None
    if answers[0] not in last.document.text or answers[0] in first.document.text:
        return None
    text = capitalized(ask.questions[0].format(place=described))
    gold = (first.document.id, last.document.id)
    return Question(f"bridge/{bridge.field.replace('_', '-')}-{ask.name}/{place.code}", text, answers, gold_ids=gold)


@cache
def _uses(field: str, part: str) -> Counter[str]:
    """How many places of the whole Factbook have each value of a field."""
    stated = (fact for place in load_places() for fact in facts(place) if fact.field.name == field)
    return Counter(fact.parts[part] for fact in stated)


def _compare(
    comparison: Comparison, places: Sequence[Place], located: Mapping[tuple[str, str], Located], seed: int
) -> Iterator[Question]:
    """Pairs of neighbours in a random order of the places, where one clearly exceeds the other."""
    rng = _rng(seed, "comparison", comparison.name)
    known = [located[place.code, comparison.field] for place in places if (place.code, comparison.field) in located]
    order = rng.sample(known, len(known))
    for one, other in itertools.pairwise(order):
        high, low = sorted((one, other), key=lambda item: float(item.fact.parts["number"]), reverse=True)
        answers = alternatives(high.fact.place.name, high.fact.place.in_text)
        clear = float(high.fact.parts["number"]) >= comparison.ratio * float(low.fact.parts["number"])
        if clear and high.fact.place.name.removeprefix("The ") in high.document.text:
            names = {"first": one.fact.place.in_text, "second": other.fact.place.in_text}
            codes = f"{one.fact.place.code}-{other.fact.place.code}"
            text, gold = worded(comparison.questions, rng, **names), (one.document.id, other.document.id)
            yield Question(f"comparison/{comparison.name}/{codes}", text, answers, gold_ids=gold)


def _rng(seed: int, *names: str) -> random.Random:
    """A generator of its own for each purpose, so that one choice never shifts another."""
    return random.Random("/".join((str(seed), *names)))
