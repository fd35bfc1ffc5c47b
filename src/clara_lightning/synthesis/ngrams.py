"""Words as texts are compared by them, and hashes of their runs.

A word here has no case, no punctuation and one way to be encoded, and each character of a script without spaces is a
word. Hashes are the same on every machine.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

# Thai and Lao, Tibetan, Myanmar, Khmer, Han with its radicals, kana, and the punctuation of these two.
_WITHOUT_SPACES = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3001-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff9f\U00020000-\U0003ffff"
)
UNSPACED = re.compile(f"[{_WITHOUT_SPACES}]")
"""A character of a script without spaces between words, or its punctuation."""
CHARACTERS_PER_WORD = 1.5
"""So many characters of such a script count as a word where a length is given in words."""

# Horner's rule modulo 2^64, backwards: a run h0 h1 h2 has the hash h0 + h1 Q + h2 Q^2. Q is odd, so it has an inverse.
_Q = 0x9E3779B97F4A7C15
_Q_INVERSE = pow(_Q, -1, 1 << 64)


class _Characters(dict[int, str]):
    """What becomes of a character (its code point), found out when it is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        if kind == "Cf" or 0xFE00 <= code <= 0xFE0F:  # a soft hyphen, a joiner, a variation selector: inside of words
            new = ""
        elif kind[0] not in "LMN":
            new = " "
        else:
            new = f" {character} " if UNSPACED.match(character) else character
        self[code] = new
        return new


_CHARACTERS = _Characters()


def words(text: str) -> list[str]:
    """The words of a text, as two texts are compared by them.

    Example:
        >>> words("The Nile (6,650 km) is LONG; 尼罗河。")
        ['the', 'nile', '6', '650', 'km', 'is', 'long', '尼', '罗', '河']
    """
    folded = text.casefold()
    if not text.isascii():
        # Case folding can take composed characters apart, and the other way round.
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return folded.translate(_CHARACTERS).split()


def num_unspaced(words: Sequence[str]) -> int:
    """How many of :func:`words` are characters of a script without spaces."""
    return sum(1 for word in words if len(word) == 1 and UNSPACED.match(word))


def length_in_words(words: Sequence[str]) -> float:
    """The length of a text by its :func:`words`, comparable between scripts.

    Example:
        >>> length_in_words(["the", "nile"]), length_in_words(["尼", "罗", "河"])
        (2.0, 2.0)
    """
    unspaced = 0 if "".join(words).isascii() else num_unspaced(words)
    return len(words) - unspaced + unspaced / CHARACTERS_PER_WORD


@lru_cache(maxsize=1 << 17)
def _word_hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())


def hashes(words: Sequence[str]) -> Hashes:
    """A hash of each word."""
    return np.fromiter(map(_word_hash, words), np.uint64, len(words))


def run_hashes(hashes: Hashes, length: int) -> Hashes:
    """A hash of every run of so many words, in the order of the text; none where the text is shorter.

    Args:
        hashes: of the words.
        length: 1 or more.

    Example:
        >>> first, second = (run_hashes(hashes(text.split()), 2) for text in ("a b a b", "b a"))
        >>> [bool(run == second[0]) for run in first]
        [False, True, False]
    """
    count = len(hashes) - length + 1
    if count <= 0:
        return hashes[:0]
    powers, inverses = _powers(len(hashes).bit_length())
    sums = np.zeros(len(hashes) + 1, np.uint64)
    np.cumsum(hashes * powers[: len(hashes)], out=sums[1:])
    runs: Hashes = (sums[length:] - sums[:count]) * inverses[:count]
    return runs


@lru_cache
def _powers(bits: int) -> tuple[Hashes, Hashes]:
    """The first 2^bits powers of Q and of its inverse; numpy's products of unsigned numbers are modulo 2^64."""
    powers, inverses = (np.full(1 << bits, base, np.uint64) for base in (_Q, _Q_INVERSE))
    powers[0] = inverses[0] = 1
    return np.multiply.accumulate(powers), np.multiply.accumulate(inverses)
