"""Names in scripts with capitals, and the rarer words of a sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from clara_lightning.synthesis.teachers.from_rules.gazetteer import is_place, sort_of
from clara_lightning.synthesis.teachers.from_rules.spans import Span, Token, is_calendar
from clara_lightning.synthesis.teachers.from_rules.words import (
    COMMON_WORDS,
    DETERMINERS,
    FUNCTION_WORDS,
    PREPOSITIONS,
)

_LINKS = frozenset("of de la von van der den di da du del al el bin ibn le".split())
_SHORTENED = frozenset("St Dr Jr Mr Mrs Ms Mt".split())
_ACRONYM = re.compile(r"(?:[^\W\d_]\.){1,5}[^\W\d_]")
_PEOPLES = ("ian", "ean", "ese", "ish", "can", "ans", "tch", "nch", "man", "ven")
_ROMAN = frozenset("I II III IV V VI VII VIII IX X XI XII XIV".split())
_JOINERS = frozenset((", ", " and ", ", and ", " or ", " & "))
_MOST_JOINED = 3
_SHORTEST_RARE = 6


@dataclass(frozen=True)
class Lexicon:
    """The words of a document.

    Attributes:
        counts: how often each word stands in it, in lower case.
        small: words that it has in lower case.
        large: words that it has with a capital inside a sentence.
    """

    counts: Counter[str]
    small: frozenset[str]
    large: frozenset[str]

    @classmethod
    def of(cls, sentences: Iterable[list[Token]], title: str) -> Lexicon:
        """The lexicon of sentences; the words of the title count as written with a capital."""
        every = [word for tokens in sentences for _, _, word in tokens]
        inside = [word for tokens in sentences for _, _, word in tokens[1:]]
        return cls(
            counts=Counter(map(str.lower, every)),
            small=frozenset(word for word in every if word[0].islower()),
            large=frozenset(_unowned(word) for word in [*inside, *title.split()] if word[0].isupper()),
        )


def _unowned(word: str) -> str:
    return word[:-2] if word.endswith(("'s", "’s")) else word


def name_spans(sentence: str, tokens: list[Token], lexicon: Lexicon) -> list[Span]:
    """Sequences of capitalized words that are names, in order; "A, B and C" is one span of three."""
    single: list[Span] = []
    index = 0
    while index < len(tokens):
        if not _begins(sentence, tokens, index, lexicon):
            index += 1
            continue
        last = _extent(sentence, tokens, index)
        span = _span(sentence, tokens, index, last)
        if span is not None:
            single.append(span)
        index = last + 1
    return _joined(sentence, _with_their_state(sentence, single))


def rare_words(sentence: str, tokens: list[Token], lexicon: Lexicon) -> list[Span]:
    """Longer words that are no function words, the ones that tell most first."""
    scored = [
        (-_weight(sentence, tokens, index, lexicon), start, Span(start, end, word, "word"))
        for index, (start, end, word) in enumerate(tokens)
        if _is_rare(word)
    ]
    return [span for _, _, span in sorted(scored, key=lambda item: item[:2])]


def _is_rare(word: str) -> bool:
    # Scripts without capitals have shorter words, and lower() leaves them as they are.
    shortest = _SHORTEST_RARE if word.isascii() else _SHORTEST_RARE - 1
    return (
        len(word) >= shortest
        and not word[0].isdigit()
        and not word[0].isupper()
        and not any(mark in word for mark in ".'’")
        and word not in COMMON_WORDS
    )


def _weight(sentence: str, tokens: list[Token], index: int, lexicon: Lexicon) -> int:
    _, end, word = tokens[index]
    weight = min(len(word), 12) - 3 * min(lexicon.counts[word.lower()] - 1, 3)
    if end < len(sentence) and sentence[end] in ".,;:!?)":
        weight += 4
    elif index + 1 < len(tokens) and tokens[index + 1][2] in PREPOSITIONS:
        weight += 3
    if index and tokens[index - 1][2].lower() in DETERMINERS:
        weight += 2
    if word.endswith(("ly", "ing", "ed")):
        weight -= 5
    return weight


def _begins(sentence: str, tokens: list[Token], index: int, lexicon: Lexicon) -> bool:
    """Whether a name begins with this word."""
    start, end, word = tokens[index]
    if not word[0].isupper() or word == "I":
        return False
    followed = index + 1 < len(tokens) and tokens[index + 1][2][0].isupper() and _gap(sentence, tokens, index) == " "
    paired = index + 2 < len(tokens) and tokens[index + 1][2] == "and" and tokens[index + 2][2][0].isupper()
    lower = word.lower()
    if lower in FUNCTION_WORDS and len(word) > 1 and not word.isupper():
        return word == "The" and index > 0 and followed
    if is_calendar(word) and not followed:
        return False
    if index > 0 and sentence[start - 1] not in "\"'“‘(":
        return True
    if any(letter.isupper() or letter.isdigit() for letter in word[1:]):
        return True
    if lower in lexicon.small:
        return False
    if followed or paired:
        return True
    return _unowned(word) in lexicon.large or (index == 0 and is_place(word))


def _gap(sentence: str, tokens: list[Token], index: int) -> str:
    return sentence[tokens[index][1] : tokens[index + 1][0]]


def _extent(sentence: str, tokens: list[Token], first: int) -> int:
    """Index of the last word of the name that begins at ``first``."""
    last = first
    while last + 1 < len(tokens):
        word = tokens[last][2]
        following = tokens[last + 1][2]
        gap = _gap(sentence, tokens, last)
        shortened = gap == ". " and (len(word) == 1 or word in _SHORTENED or _ACRONYM.fullmatch(word) is not None)
        if not (gap in (" ", " & ") or shortened) or word.endswith(("'s", "’s")):
            break
        if following[0].isupper() and (following in _ROMAN or not _is_function_word(following)):
            last += 1
        elif following.isdigit() and len(following) < 3 and _closes(sentence, tokens[last + 1][1]):
            last += 1
        elif (linked := _behind_link(sentence, tokens, last)) is not None:
            last = linked
        else:
            break
    return last


def _is_function_word(word: str) -> bool:
    return word.istitle() and word.lower() in FUNCTION_WORDS


def _closes(sentence: str, end: int) -> bool:
    return end >= len(sentence) or sentence[end] in ',.;:)!?"”'


def _behind_link(sentence: str, tokens: list[Token], last: int) -> int | None:
    """Index of the capitalized word behind "of", "of the", "de la" ..., if there is one."""
    following = last + 1
    if tokens[following][2] not in _LINKS:
        return None
    for step in (1, 2):
        index = following + step
        if index >= len(tokens) or _gap(sentence, tokens, index - 1) != " ":
            return None
        word = tokens[index][2]
        if word[0].isupper():
            return None if is_calendar(word) else index
        if word not in ("the", *_LINKS):
            return None
    return None


def _span(sentence: str, tokens: list[Token], first: int, last: int) -> Span | None:
    start, end = tokens[first][0], tokens[last][1]
    if sentence[end : end + 1] == "." and _ACRONYM.fullmatch(tokens[last][2]):
        end += 1  # the last point of "U.S."
    text = sentence[start:end]
    owner = text.endswith(("'s", "’s"))
    if owner:
        text, end = text[:-2], end - 2
    if len(text) < 2 or (owner and " of " in text and sentence[end + 3 : end + 4].isupper()):
        return None  # "President of the National People's Assembly" is cut in its middle
    if first == last and not owner and text.endswith(_PEOPLES) and sentence[end : end + 2].strip().islower():
        return None  # "American singer": an adjective
    return Span(start, end, text, "name", sort_of(text.split()))


def _with_their_state(sentence: str, spans: list[Span]) -> list[Span]:
    """ "Doylestown, Pennsylvania" is one place."""
    merged: list[Span] = []
    for span in spans:
        before = merged[-1] if merged else None
        if (
            before
            and span.sort in ("state", "country")
            and sentence[before.end : span.start] == ", "
            and (
                before.sort in ("", "city", "county", "place")
                and not sentence.startswith((" and ", ", and ", " or "), span.end)
                and not (len(merged) > 1 and sentence[merged[-2].end : before.start] in _JOINERS)
            )
        ):
            merged[-1] = Span(before.start, span.end, sentence[before.start : span.end], "name", "place")
        else:
            merged.append(span)
    return merged


def _joined(sentence: str, spans: list[Span]) -> list[Span]:
    """Names that are listed, as one span each list of up to three; longer lists stay single names."""
    found: list[Span] = []
    index = 0
    while index < len(spans):
        last = index
        while last + 1 < len(spans) and sentence[spans[last].end : spans[last + 1].start] in _JOINERS:
            last += 1
        run = spans[index : last + 1]
        owner = (
            sentence.startswith(("'s ", "’s "), run[-1].end) and sentence[run[-1].end + 3 : run[-1].end + 4].isupper()
        )
        if owner and len(run) > 1:
            run, last = run[:-1], last - 1  # "the Jewish Week and Philadelphia's Exponent"
        ends_in_and = len(run) > 1 and sentence[run[-2].end : run[-1].start].strip(", ") != ""
        if ends_in_and and len(run) <= _MOST_JOINED:
            text = sentence[run[0].start : run[-1].end]
            sort = run[0].sort if len({span.sort for span in run}) == 1 else ""
            found.append(Span(run[0].start, run[-1].end, text, "name", sort, len(run)))
        elif len(run) > _MOST_JOINED:
            found.extend(Span(span.start, span.end, span.text, "name", span.sort, 0) for span in run)
        else:
            found.extend(run)
        index = last + 1
    return found
