"""The words of a text as BM25 counts them, in documents and in questions alike."""

from __future__ import annotations

import re

from bm25s.stopwords import STOPWORDS_EN

TOKENIZATION = "words of two letters, English stop words left out, pairs of letters in scripts without spaces"
"""What :func:`words_of` does; an index says by which rule it was made, and another rule makes it stale."""

_STOP_WORDS = frozenset(STOPWORDS_EN)
# Letters and the marks on them, without digits and punctuation: Thai, Lao, Tibetan, Burmese, Khmer, kana (the narrow
# ones too), and the characters of Chinese and Japanese.
_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u0f40-\u0fbc\u1000-\u103f\u1050-\u108f\u1780-\u17d3\u17dd"
    "\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_WORD = re.compile(r"\b\w\w+\b")
_ANY_UNSPACED = re.compile(f"[{_UNSPACED}]")
_RUN = re.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|(?P<word>[^\W{_UNSPACED}]{{2,}})")


def words_of(text: str) -> list[str]:
    """The words of a text in their order.

    Small letters; words of one letter and English stop words are left out, as bm25s does it by default. Where a script
    writes no spaces, a sentence would be a single word that no question has: there every two letters that stand side by
    side are one (a letter that stands alone is one too), which needs no dictionary and is the same for a document and a
    question.

    Example:
        >>> words_of("The river Tiber flows through Rome")
        ['river', 'tiber', 'flows', 'through', 'rome']
        >>> words_of("2023年GDP增长5%")
        ['2023', '年', 'gdp', '增长']
        >>> words_of("北京是首都。")
        ['北京', '京是', '是首', '首都']
    """
    lowered = text.lower()
    found = _WORD.findall(lowered) if _ANY_UNSPACED.search(lowered) is None else _of_runs(lowered)
    return [word for word in found if word not in _STOP_WORDS]


def _of_runs(text: str) -> list[str]:
    words: list[str] = []
    for match in _RUN.finditer(text):
        run = match[0]
        if match.lastgroup == "word" or len(run) == 1:
            words.append(run)
        else:
            words += [run[place : place + 2] for place in range(len(run) - 1)]
    return words
