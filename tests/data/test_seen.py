"""Ids that were seen, as a set has it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clara_lightning.data.seen import SeenIds


@given(st.lists(st.text(max_size=3)))
def test_an_id_is_new_the_first_time_alone(names: list[str]) -> None:
    seen, known = SeenIds(), set[str]()
    for name in names:
        assert seen.add(name) is (name not in known)
        known.add(name)


def test_ids_that_share_a_list_are_told_apart_whatever_their_order() -> None:
    seen = SeenIds()
    names = [f"wikipedia-{number * 7919 % 300_000}" for number in range(300_000)]  # each of 65,536 lists gets some

    assert all(seen.add(name) for name in names)
    assert not any(seen.add(name) for name in names[::1000])


def test_half_a_character_is_an_id_too() -> None:
    seen = SeenIds()

    assert (seen.add("\ud800"), seen.add("\ud800"), seen.add("\udfff")) == (True, False, True)
