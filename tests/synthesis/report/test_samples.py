"""Documents to read: which are chosen, and what is shown of one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from clara_lightning.synthesis.outcome import Dropped, Outcome, Pair, Round
from clara_lightning.synthesis.report.samples import LONGEST, MOST, Samples, cut, sample


def chosen(outcomes: list[Outcome], *, limit: int = 12) -> Samples:
    samples = Samples(limit)
    for outcome in outcomes:
        samples.add(outcome)
    return samples


def test_the_order_does_not_change_the_choice(outcomes: Callable[[int], list[Outcome]]) -> None:
    many = outcomes(200)
    first = chosen(many)
    random.Random(1).shuffle(many)
    again = chosen(many)
    assert (first.accepted, first.rejected) == (again.accepted, again.rejected)
    assert len(first.accepted) == len(first.rejected) == 12


def test_outcomes_are_shown_as_they_were(outcomes: Callable[[int], list[Outcome]]) -> None:
    many = outcomes(20)
    samples = chosen(many, limit=20)
    assert sorted(samples.accepted + samples.rejected, key=lambda one: one.id) == sorted(many, key=lambda one: one.id)


def test_every_reason_has_its_turn(outcomes: Callable[[int], list[Outcome]]) -> None:
    counts = Counter(outcome.reason for outcome in chosen(outcomes(300)).rejected)
    assert counts == {"coverage": 3, "no pairs": 3, "bad reply": 3, "refused": 3}


def test_a_rare_reason_is_not_lost(outcomes: Callable[[int], list[Outcome]]) -> None:
    common = [outcome for outcome in outcomes(300) if outcome.reason == "coverage"]
    rare = Outcome("rare", "rare", "Chad", reason="refused")
    assert rare in chosen([*common, rare]).rejected and len(chosen([*common, rare]).rejected) == 12


def test_answers_are_marked_where_they_first_stand_as_whole_words() -> None:
    pieces = cut("Mali's 12 lakes: 12, 1 and 2.", ["2", "12", "mali", ""]).pieces
    assert [piece for piece, answer in pieces if answer] == ["Mali", "12", "2"]
    assert "".join(piece for piece, _ in pieces) == "Mali's 12 lakes: 12, 1 and 2."


def test_answers_that_overlap_are_marked_together() -> None:
    pieces = cut("in the east of Africa", ["the east", "east of Africa", "east"]).pieces
    assert "".join(piece for piece, answer in pieces if answer) == "the east of Africa"
    assert "".join(piece for piece, _ in pieces) == "in the east of Africa"


def test_a_long_document_is_cut_and_says_so() -> None:
    shown = cut("a" * (LONGEST + 7), [])
    assert shown.left_out == 7 and [len(piece) for piece, _ in shown.pieces] == [LONGEST]


def test_rows_that_are_not_shown_are_counted() -> None:
    pairs = tuple(Pair(f"Why {number}?", "so", "simple", "exact", 1) for number in range(MOST + 2))
    dropped = tuple(Dropped("Why?", "", "bridge", "asked", "", 1) for _ in range(MOST + 1))
    shown = sample(Outcome("1", "1", "Kenya", pairs=pairs, dropped=dropped))
    assert len(shown.pairs.rows) == len(shown.dropped.rows) == MOST
    assert shown.notes == ["Not shown: 2 pairs more.", "Not shown: 1 dropped question more."]


def test_it_tells_why_a_document_was_rejected() -> None:
    rounds = (Round(3, 1, 0.25), Round(2, 1, 0.5))
    outcome = Outcome("1", "mali", "Mali\nis dry", rounds=rounds, reason="coverage", detail="half of it.")
    assert sample(outcome).title == "Mali"
    assert sample(outcome).facts == (
        "Rejected: too few of its facts are asked about. half of it. "
        "Coverage after each round: 25 %, 50 %; of content words: 0 %. Id: mali"
    )


def test_a_pair_tells_its_type_how_it_was_found_and_its_round() -> None:
    pairs = (Pair("Why?", "so", "simple", "exact", 2), Pair("Who?", "he", "bridge", "teacher", 1))
    rows = sample(Outcome("1", "1", "so it is", pairs=pairs)).pairs.rows
    assert [list(row.cells) for row in rows] == [
        ["Why?", "so", "simple", "✓ word for word", "2"],
        ["Who?", "he", "bridge", "~ teacher's verdict", "-"],
    ]
