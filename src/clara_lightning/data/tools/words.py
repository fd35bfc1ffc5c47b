"""Words of texts in any script: how many there are, and whether some stand in others.

Where a script writes no spaces, each of its characters is a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping

# Thai, Lao, Tibetan, Burmese, Khmer, kana, and the characters of Chinese and Japanese.
_UNSPACED = (
    "\u0e00-\u0e7f\u0e80-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_BY_SPACES = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_LETTERS = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
# In the names of characters: what those of a script are, and what may stand before the script.
_LETTERS_OF_SCRIPTS = {"LETTER", "CHARACTER", "SYLLABLE", "IDEOGRAPH", "LIGATURE", "MARK", "VOWEL"}
_WIDTHS = {"FULLWIDTH", "HALFWIDTH"}


def count_words(text: str) -> int:
    """How many words a text has.

    Example:
        >>> count_words("It is 3.5 km long."), count_words("東京は首都")
        (5, 5)
    """
    return sum(1 for _ in _BY_SPACES.finditer(text))


def folded(text: str) -> str:
    """A text's words in one case with one space between them, without punctuation: what two texts are compared by.

    Example:
        >>> folded("  The U.S.\\n -- an Overview! ")
        'the u s an overview'
    """
    return " ".join(_LETTERS.findall(unicodedata.normalize("NFKC", text).casefold()))


def stands_in(part: str, whole: str) -> bool:
    """Whether the words of one text stand together in another; both are :func:`folded`.

    A text without a word stands nowhere.

    Example:
        >>> stands_in(folded("Art"), folded("A party.")), stands_in(folded("art"), folded("Art, here"))
        (False, True)
        >>> stands_in(folded("首都"), folded("東京は首都です"))
        True
    """
    return bool(part) and f" {part} " in f" {whole} "


def scripts(characters: Mapping[str, int]) -> dict[str, int]:
    """How many letters are of each script, the most frequent first; roughly, by the names of the characters.

    Args:
        characters: how often each character stands somewhere.

    Example:
        >>> scripts(Counter("Ελλάδα is 1 word"))
        {'Greek': 6, 'Latin': 6}
    """
    found: Counter[str] = Counter()
    for character, count in characters.items():
        if character.isalpha():
            found[_script(character)] += count
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _script(character: str) -> str:
    words = unicodedata.name(character, "").replace("-", " ").split()
    if not _LETTERS_OF_SCRIPTS & {*words} or words[0] in ("MODIFIER", "IDEOGRAPHIC"):
        return "other"
    name = next(word for word in words if word not in _WIDTHS)
    return name if name == "CJK" else name.capitalize()
