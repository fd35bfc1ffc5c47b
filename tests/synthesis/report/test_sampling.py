"""What is kept of many texts: as much as was allowed, the same in any order, and exact where nothing was left out."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from clara_lightning.synthesis.report.sampling import PhraseCounter, Repeats, Smallest, stable_number


def test_a_stable_number_is_the_same_in_every_process() -> None:
    assert stable_number("Kenya", "Uganda") == 6109230659558950466  # hash() has another seed each time
    assert stable_number("a", "b") != stable_number("ab") and 0 <= stable_number("\ud800") < 2**64


def test_the_smallest_are_kept_in_any_order() -> None:
    items = [(stable_number(str(number)), (str(number),)) for number in range(1000)]
    for seed in range(3):
        random.Random(seed).shuffle(items)
        smallest: Smallest[tuple[str, ...]] = Smallest(7)
        for number, item in items:
            smallest.add(number, item)
        assert smallest.result() == [item for _, item in sorted(items)[:7]]


def test_items_of_one_hash_go_by_their_texts() -> None:
    for order in ("abc", "cba"):
        smallest: Smallest[tuple[str, ...]] = Smallest(2)
        for letter in order:
            smallest.add(1, (letter,))
        assert smallest.result() == [("a",), ("b",)]


def test_what_cannot_be_kept_is_not_wanted() -> None:
    smallest: Smallest[tuple[str, ...]] = Smallest(2)
    for number in (5, 6, 7, 8):
        assert smallest.wants(number)
        smallest.add(number, (str(number),))
    assert smallest.wants(6) and not smallest.wants(7)


def count_phrases(texts: list[str], *, limit: int) -> PhraseCounter:
    counter = PhraseCounter(limit)
    for number, text in enumerate(texts):
        counter.add(text[0], example=text, number=stable_number(str(number), text))
    return counter


def test_phrases_are_counted_exactly_where_all_are_looked_at() -> None:
    found = count_phrases(["a1", "b1", "a2", "c1", "b2", "a2"], limit=6).result(top=2)
    assert (found.total, found.looked_at) == (6, 6)
    assert [(each.phrase, each.count, each.share) for each in found.top] == [("a", 3, 0.5), ("b", 2, 1 / 3)]
    assert sorted(found.top[0].examples) == ["a1", "a2"]


def test_phrases_of_many_texts_are_counted_in_a_sample() -> None:
    found = count_phrases(["a"] * 3000 + ["b"] * 1000, limit=500).result()
    assert (found.total, found.looked_at) == (4000, 500)
    assert found.top[0].phrase == "a" and found.top[0].share == pytest.approx(0.75, abs=0.06)


def repeats(texts: list[str], *, limit: int) -> Repeats:
    counter = Repeats(limit)
    for text in texts:
        counter.add(text)
    return counter


def test_repeated_texts_are_counted_exactly() -> None:
    counter = repeats(["a", "b", "a", "c", "b", "a"], limit=3)
    assert (counter.counted.count, counter.counted.of, counter.looked_at) == (5, 6, 1)
    assert counter.top() == [("a", 3), ("b", 2)]


def test_repeated_texts_beyond_the_limit_are_counted_in_a_sample_that_no_order_changes() -> None:
    texts = [str(number % 4000) for number in range(6000)]  # half of 4,000 stand twice
    counters = []
    for seed in range(3):
        random.Random(seed).shuffle(texts)
        counters.append(repeats(texts, limit=1000))
    assert len({(each.counted, each.looked_at, tuple(each.top())) for each in counters}) == 1
    (counted, looked_at) = counters[0].counted, counters[0].looked_at
    assert 1 / 8 <= looked_at <= 1 / 4 and counted.share == pytest.approx(4000 / 6000, abs=0.06)


def test_each_text_of_a_sample_was_counted_from_the_beginning() -> None:
    texts = [str(number % 50) for number in range(500)]
    counts = Counter(texts)
    assert all(count == counts[text] == 10 for text, count in repeats(texts, limit=20).top(20))
