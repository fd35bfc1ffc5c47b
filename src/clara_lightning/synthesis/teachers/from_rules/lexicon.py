"""The words of a document, and the rarer ones of a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from clara_lightning.synthesis.teachers.from_rules.marks import OWNERS
from clara_lightning.synthesis.teachers.from_rules.spans import Span, Token
from clara_lightning.synthesis.teachers.from_rules.words import COMMON_WORDS, DETERMINERS, PREPOSITIONS

_LONGEST_COUNTED = 12
_INNER_MARKS = (".", "'", "\u2019")


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
            large=frozenset(unowned(word) for word in [*inside, *title.split()] if word[0].isupper()),
        )


def unowned(word: str) -> str:
    """``word`` without the ending of an owner."""
    return word[:-2] if word.endswith(OWNERS) else word


def rare_words(sentence: str, tokens: list[Token], lexicon: Lexicon, *, shortest: int = 6) -> list[Span]:
    """Longer words in small letters that are no function words, the ones that tell most first.

    Args:
        sentence: the sentence.
        tokens: its words.
        lexicon: of the document.
        shortest: letters of the shortest word that counts as rare.
    """
    scored = [
        (-_weight(sentence, tokens, index, lexicon), start, Span(start, end, word, "word"))
        for index, (start, end, word) in enumerate(tokens)
        # Other scripts write the same with fewer letters.
        if _is_rare(word, shortest if word.isascii() else shortest - 1)
    ]
    return [span for _, _, span in sorted(scored, key=lambda item: item[:2])]


def _is_rare(word: str, shortest: int) -> bool:
    if len(word) < shortest or not word[0].isalpha() or word[0].isupper() or word in COMMON_WORDS:
        return False
    return not any(mark in word for mark in _INNER_MARKS)


def _weight(sentence: str, tokens: list[Token], index: int, lexicon: Lexicon) -> int:
    """More for a long word that comes once and looks like a noun."""
    _, end, word = tokens[index]
    weight = min(len(word), _LONGEST_COUNTED) - 3 * min(lexicon.counts[word.lower()] - 1, 3)
    if end < len(sentence) and sentence[end] in ".,;:!?)":
        weight += 4
    elif index + 1 < len(tokens) and tokens[index + 1][2] in PREPOSITIONS:
        weight += 3
    if index and tokens[index - 1][2].lower() in DETERMINERS:
        weight += 2
    return weight - 5 if word.endswith(("ly", "ing", "ed")) else weight
