"""Names, in scripts that have capitals."""

from __future__ import annotations

import re

from clara_lightning.synthesis.teachers.from_rules.gazetteer import is_place, sort_of
from clara_lightning.synthesis.teachers.from_rules.lexicon import Lexicon, unowned
from clara_lightning.synthesis.teachers.from_rules.marks import OWNERS
from clara_lightning.synthesis.teachers.from_rules.spans import Span, Token
from clara_lightning.synthesis.teachers.from_rules.words import CALENDAR, FUNCTION_WORDS

_LINKS = frozenset("of de la von van der den di da du del al el bin ibn le".split())
_SHORTENED = frozenset("St Dr Jr Mr Mrs Ms Mt".split())
_ACRONYM = re.compile(r"(?:[^\W\d_]\.){1,5}[^\W\d_]")
_PEOPLES = ("ian", "ean", "ese", "ish", "can", "ans", "tch", "nch", "man", "ven")
_ROMAN = frozenset("I II III IV V VI VII VIII IX X XI XII XIV".split())
_OPENING_MARKS = "\"'“\u2018("
_CLOSING_MARKS = ',.;:)!?"”'


def name_spans(sentence: str, tokens: list[Token], lexicon: Lexicon) -> list[Span]:
    """Sequences of capitalized words that are names, in order.

    Args:
        sentence: in a script with capitals; there are none in others.
        tokens: its words.
        lexicon: of the document: the first word of a sentence is a name only if it has a capital elsewhere, too.
    """
    spans: list[Span] = []
    index = 0
    while index < len(tokens):
        if not _begins(sentence, tokens, index, lexicon):
            index += 1
            continue
        last = _extent(sentence, tokens, index)
        span = _span(sentence, tokens, index, last)
        if span is not None:
            spans.append(span)
        index = last + 1
    return spans


def _begins(sentence: str, tokens: list[Token], index: int, lexicon: Lexicon) -> bool:
    """Whether a name begins with this word."""
    start, _, word = tokens[index]
    if not word[0].isupper() or word == "I":
        return False
    lower = word.lower()
    followed = index + 1 < len(tokens) and tokens[index + 1][2][0].isupper() and _gap(sentence, tokens, index) == " "
    if lower in FUNCTION_WORDS and len(word) > 1 and not word.isupper():
        return word == "The" and index > 0 and followed
    if word in CALENDAR and not followed:
        return False
    if index > 0 and sentence[start - 1] not in _OPENING_MARKS:
        return True
    if any(letter.isupper() or letter.isdigit() for letter in word[1:]):
        return True
    if lower in lexicon.small:
        return False
    paired = index + 2 < len(tokens) and tokens[index + 1][2] == "and" and tokens[index + 2][2][0].isupper()
    return followed or paired or unowned(word) in lexicon.large or (index == 0 and is_place(word))


def _gap(sentence: str, tokens: list[Token], index: int) -> str:
    return sentence[tokens[index][1] : tokens[index + 1][0]]


def _extent(sentence: str, tokens: list[Token], first: int) -> int:
    """Index of the last word of the name that begins at ``first``."""
    last = first
    while last + 1 < len(tokens) and _may_go_on(sentence, tokens, last):
        following = tokens[last + 1][2]
        numbered = following.isdigit() and len(following) < 3 and _closes(sentence, tokens[last + 1][1])
        initial = len(following) == 1 and sentence[tokens[last + 1][1] : tokens[last + 1][1] + 2] == ". "
        named = following[0].isupper() and (following in _ROMAN or initial or not _is_function_word(following))
        linked = None if numbered or named else _behind_link(sentence, tokens, last)
        if numbered or named:
            last += 1
        elif linked is not None:
            last = linked
        else:
            break
    return last


def _may_go_on(sentence: str, tokens: list[Token], last: int) -> bool:
    word = tokens[last][2]
    gap = _gap(sentence, tokens, last)
    shortened = gap == ". " and (len(word) == 1 or word in _SHORTENED or _ACRONYM.fullmatch(word) is not None)
    return (gap in (" ", " & ") or shortened) and not word.endswith(OWNERS)


def _is_function_word(word: str) -> bool:
    return word.istitle() and word.lower() in FUNCTION_WORDS


def _closes(sentence: str, end: int) -> bool:
    return end >= len(sentence) or sentence[end] in _CLOSING_MARKS


def _behind_link(sentence: str, tokens: list[Token], last: int) -> int | None:
    """Index of the capitalized word behind "of", "of the", "de la" ..., if there is one."""
    following = last + 1
    if tokens[following][2] not in _LINKS:
        return None
    for index in (following + 1, following + 2):
        if index >= len(tokens) or _gap(sentence, tokens, index - 1) != " ":
            return None
        word = tokens[index][2]
        if word[0].isupper():
            return None if word in CALENDAR else index
        if word != "the" and word not in _LINKS:
            return None
    return None


def _span(sentence: str, tokens: list[Token], first: int, last: int) -> Span | None:
    start, end = tokens[first][0], tokens[last][1]
    if sentence[end : end + 1] == "." and _ACRONYM.fullmatch(tokens[last][2]):
        end += 1  # the last point of "U.S."
    owner = sentence.endswith(OWNERS, start, end)
    end -= 2 if owner else 0
    text = sentence[start:end]
    if len(text) < 2 or (owner and " of " in text and sentence[end + 3 : end + 4].isupper()):
        return None  # "President of the National People's Assembly" would be cut in its middle
    if first == last and not owner and text.endswith(_PEOPLES) and sentence[end : end + 2].strip().islower():
        return None  # "American singer": an adjective
    return Span(start, end, text, "name", sort_of(text.split()))
