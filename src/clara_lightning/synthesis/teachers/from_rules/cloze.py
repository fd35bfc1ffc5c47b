"""Questions with a gap, for spans that no ordinary question is found for, and for languages other than English."""

from __future__ import annotations

from clara_lightning.synthesis.teachers.from_rules.draws import pick
from clara_lightning.synthesis.teachers.from_rules.spans import Kind, Span
from clara_lightning.synthesis.teachers.from_rules.text import Writing
from clara_lightning.synthesis.teachers.from_rules.topic import Topic

GAP = "___"
_END_MARKS = ".!?,;:。\uff01\uff1f।؟\u06d4"
_LEFT_WORDS = 10
_RIGHT_WORDS = 8
_FEWEST = 4
_CHARACTERS = 18
_MISSING: dict[Kind, str] = {
    "date": "date",
    "year": "year",
    "decade": "decade",
    "century": "century",
    "money": "amount",
    "percent": "percentage",
    "number": "number",
}
_WORDINGS = ("Which {what} missing: {gap}?", "What fills the gap: {gap}?", "Which {what} missing in {gap}?")
_NAMED_WORDINGS = (
    "In the text on {topic}, which {what} missing: {gap}?",
    "In the text on {topic}, what fills the gap: {gap}?",
    "Which {what} missing in the text on {topic}: {gap}?",
)


def clozes(sentence: str, span: Span, *, topic: Topic, writing: Writing) -> list[str]:
    """Questions with a gap where ``span`` stood, the preferred one first.

    Args:
        sentence: that the span stands in.
        span: what is asked for.
        topic: named where it is known and does not stand in the part of the sentence that is shown.
        writing: of the document. Only with Latin letters there are English words around the gap.
    """
    around = (_characters_around if writing == "unspaced" else _words_around)(sentence, span)
    named = topic.name if topic.name and topic.name not in around else ""
    if writing in ("spaced", "unspaced"):
        return [f"{named}: {around}?" if named else f"{around}?", f"{around} ?"]
    gap = f"“{around}”" if '"' in around else f'"{around}"'
    what = _what(span)
    wordings = _NAMED_WORDINGS if named else _WORDINGS
    first = pick(wordings, sentence, span.text, str(span.start))
    second = wordings[wordings.index(first) - 1]
    return [wording.format(what=what, gap=gap, topic=named) for wording in (first, second)]


def _what(span: Span) -> str:
    if span.kind == "name":
        return "names are" if span.members > 1 else "name is"
    if span.kind in _MISSING:
        return f"{_MISSING[span.kind]} is"
    return "words are" if " " in span.text else "word is"


def _words_around(sentence: str, span: Span) -> str:
    """The part of the sentence around the gap: a clause where one is near, else some words to both sides."""
    left = sentence[max(0, span.start - 200) : span.start]
    right = sentence[span.end : span.end + 200]
    before, after = left.split(), right.split()
    # What is not parted from the span by a space stays with the gap: "$___", "___%".
    glued_left = before.pop() if before and left and not left[-1].isspace() else ""
    glued_right = after.pop(0) if after and right and not right[0].isspace() else ""
    shown_before = _tail(before, cut=span.start > 200)
    shown_after = _head(after, fewest=max(_FEWEST - 2 if glued_right else _FEWEST, 7 - len(shown_before)))
    middle = f"{glued_left}{GAP}{glued_right}"
    text = " ".join([*shown_before, middle, *shown_after]).rstrip(_END_MARKS)
    return f"... {text}" if len(shown_before) < len(before) or span.start > 200 else text


def _tail(words: list[str], *, cut: bool) -> list[str]:
    if len(words) <= _LEFT_WORDS and not cut:
        return words
    kept = words[-_LEFT_WORDS:]
    for index in range(len(kept) - _FEWEST):
        if kept[index].endswith((",", ";", ":")):
            return kept[index + 1 :]
    return kept


def _head(words: list[str], *, fewest: int) -> list[str]:
    kept = words[:_RIGHT_WORDS]
    for index, word in enumerate(kept):
        if word.endswith((",", ";", ":")) and index + 1 >= fewest:
            return kept[: index + 1]
    return kept


def _characters_around(sentence: str, span: Span) -> str:
    left = sentence[max(0, span.start - _CHARACTERS) : span.start]
    right = sentence[span.end : span.end + _CHARACTERS]
    for mark in "\uff0c、\uff1b\uff1a,;:":
        head, found, tail = left.rpartition(mark)
        left = tail if found and len(tail) >= _FEWEST and len(head) > 0 else left
        head, found, _ = right.partition(mark)
        right = head if found and len(head) >= _FEWEST else right
    return f"{left}{GAP}{right.rstrip(_END_MARKS)}".strip()
