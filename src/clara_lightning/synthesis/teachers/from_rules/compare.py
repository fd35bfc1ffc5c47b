"""What a paraphrase lost, and what it added, word by word."""

from __future__ import annotations

import re
from collections import Counter

from clara_lightning.synthesis.teachers.from_rules.marks import UNSPACED
from clara_lightning.synthesis.teachers.from_rules.text import READ
from clara_lightning.synthesis.teachers.from_rules.words import FUNCTION_WORDS

_TOLD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
_SHORTEST = 3
_MOST = 20


def differences(text: str, paraphrase: str, *, names: str) -> tuple[list[str], list[str]]:
    """Numbers, names and content words that a paraphrase lacks or adds, at most 20 of each, in order.

    Args:
        text: of the document.
        paraphrase: of it.
        names: title and topic: a paraphrase may name more often what it is about. Every other word counts as often as
            it stands in the text.
    """
    told, said = _words(text), _words(paraphrase)
    named = _words(names)
    missing = [word for word, count in (told - said).items() if count]
    added = [word for word, count in (said - told).items() if word not in named]
    return missing[:_MOST], added[:_MOST]


def _words(text: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    # Twice the length of a text that the rules read: a longer paraphrase is none.
    for word in _TOLD.findall(text[: 2 * READ]):
        if word.isascii() or not UNSPACED.search(word):
            lower = word.casefold()
            telling = len(word) >= _SHORTEST or word[0].isdigit() or word.isupper()
            if telling and lower not in FUNCTION_WORDS:
                counts[lower] += 1
        else:
            counts.update(word)
    return counts
