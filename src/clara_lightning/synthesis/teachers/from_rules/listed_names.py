"""Names that belong together: a place with its state, and names joined by "and"."""

from __future__ import annotations

from clara_lightning.synthesis.teachers.from_rules.marks import OWNERS
from clara_lightning.synthesis.teachers.from_rules.spans import Span

_JOINERS = frozenset((", ", " and ", ", and ", " or ", " & "))
_MOST_JOINED = 3


def join_names(sentence: str, spans: list[Span]) -> list[Span]:
    """One span for "Ann, Bo and Cy", and one for "Doylestown, Pennsylvania"; names of longer lists stay single.

    Args:
        sentence: that the names stand in.
        spans: single names, in order.
    """
    spans = _with_their_state(sentence, spans)
    found: list[Span] = []
    index = 0
    while index < len(spans):
        last = index
        while last + 1 < len(spans) and sentence[spans[last].end : spans[last + 1].start] in _JOINERS:
            last += 1
        if last > index and _owns_a_name(sentence, spans[last].end):
            last -= 1  # "the Jewish Week and Philadelphia's Exponent"
        found.extend(_run(sentence, spans[index : last + 1]))
        index = last + 1
    return found


def _run(sentence: str, run: list[Span]) -> list[Span]:
    if len(run) > _MOST_JOINED:
        return [Span(span.start, span.end, span.text, "name", span.sort, 0) for span in run]
    if len(run) < 2 or sentence[run[-2].end : run[-1].start] == ", ":
        return run
    start, end = run[0].start, run[-1].end
    sort = run[0].sort if len({span.sort for span in run}) == 1 else ""
    return [Span(start, end, sentence[start:end], "name", sort, len(run))]


def _owns_a_name(sentence: str, end: int) -> bool:
    return (
        sentence.startswith(OWNERS, end)
        and sentence[end + 2 : end + 3] == " "
        and sentence[end + 3 : end + 4].isupper()
    )


def _with_their_state(sentence: str, spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in spans:
        if merged and span.sort in ("state", "country") and _is_place_of(sentence, merged, span):
            start = merged.pop().start
            span = Span(start, span.end, sentence[start : span.end], "name", "place")
        merged.append(span)
    return merged


def _is_place_of(sentence: str, before: list[Span], state: Span) -> bool:
    """Whether the last name is a place in ``state``, and not a neighbour of it in a list."""
    place = before[-1]
    if sentence[place.end : state.start] != ", " or place.sort not in ("", "city", "county", "place"):
        return False
    listed = sentence.startswith((" and ", ", and ", " or "), state.end)
    return not listed and not (len(before) > 1 and sentence[before[-2].end : place.start] in _JOINERS)
