"""Text helpers: Factbook markup to plain text, sentences, and passages under a word limit."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence

_ACRONYMS = frozenset(
    """AIDS ANZAC ANZUS AQIM ASEAN BRICS BSAC CARICOM CEMAC CEPA CNMI CNRD CNSP COFA COVID DPRK ECCU ECOWAS ECSC EDSA
    EEBC EPRDF EUFOR FARC FDLR FIFA HIPC HKSAR ISIS JCPOA KIRO LTTE MCAT MERCOSUR MPLA NAFTA NARC NASA NATO NCPO NRPC
    OECD OECS OPBAT OPEC PIRC SACU SADC SEPA SFOR SFRY SLPP SWAPO TAAF TPLF TRNC TTPI UMNO UNESCO UNITA UNMIK UNMO UNSC
    USMCA USSR WAEMU WWII""".split()
)
_SHORT_NAMES = frozenset(
    "ABE AL ALI BIN BIO DAN DE DER EL FOX HUN IBN KIM LAI LE LEE LEO MAO MIN OLI PAZ POL POT ROH SEN SUN VAN XI".split()
)
_ROMAN = re.compile(r"[IVX]+")
_CAPITALS = re.compile(r"(?<![\w.&])[^\W\d_a-z]{2,}(?![\w&])")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")
_ABBREVIATION = re.compile(r"(?:\b(?:[A-Z]|St|Dr|Mr|Mt|Gen|Jr|Sr|ca|approx|No|vs)|[A-Z]\.[A-Z])\.$")


def clean(markup: str) -> str:
    """Plain text of a Factbook field: tags stripped, entities unescaped, ``<br>`` a newline, spaces folded."""
    text = re.sub(r"<\s*(?:br|/?p)\b[^>]*>", "\n", markup, flags=re.IGNORECASE)
    text = html.unescape(re.sub(r"<[^<>]*>", "", text))
    text = unicodedata.normalize("NFC", text).translate(str.maketrans("\u2018\u2019\u201c\u201d", "''\"\""))
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def plain_names(text: str, *, prose: bool = True) -> str:
    """Surnames, which the Factbook writes in capitals, in ordinary case.

    Args:
        text: plain text.
        prose: keep acronyms; without it (a field that holds one name) every capitalised word is a name.

    >>> plain_names("President Emmanuel MACRON of a NATO member")
    'President Emmanuel Macron of a NATO member'
    """
    acronyms = _ACRONYMS | set(re.findall(r"\(([A-Z]{2,})\)", text)) if prose else frozenset()

    def lowered(match: re.Match[str]) -> str:
        word = match.group()
        short = prose and len(word) < 4 and word not in _SHORT_NAMES
        return word if short or word in acronyms or (_ROMAN.fullmatch(word) and word != "XI") else word.capitalize()

    return _CAPITALS.sub(lowered, text)


def sentences(prose: str) -> list[str]:
    """``prose`` cut at the ends of sentences and lines, but not after an initial or an abbreviation."""
    found: list[str] = []
    for line in filter(None, prose.split("\n")):
        line = capitalized(line if re.search(r"[.!?:][\")]*$", line) else f"{line.rstrip(' ;,')}.")
        open_sentence = ""
        for part in _SENTENCE_END.split(line):
            open_sentence = f"{open_sentence} {part}".strip()
            if not _ABBREVIATION.search(open_sentence):
                found.append(open_sentence)
                open_sentence = ""
        if open_sentence:
            found.append(open_sentence)
    return found


def pack(parts: Iterable[str], max_words: int) -> list[str]:
    """Joins sentences, in order, into as few texts of at most ``max_words`` words as a greedy walk gives."""
    texts: list[str] = []
    for part in (piece for sentence in parts for piece in _pieces(sentence, max_words)):
        joined = f"{texts[-1]} {part}" if texts else part
        if texts and num_words(joined) <= max_words:
            texts[-1] = joined
        else:
            texts.append(part)
    return texts


def num_words(text: str) -> int:
    """Number of words between spaces."""
    return len(text.split())


def head(text: str, max_words: int) -> str:
    """The first line of ``text`` up to the last ``;`` or ``,`` within ``max_words`` words, without the mark."""
    line = text.split("\n")[0].strip(" .;,")
    for mark in (";", ","):
        if num_words(line) <= max_words:
            break
        clauses = [clause.strip() for clause in line.split(mark)]
        while len(clauses) > 1 and num_words(" ".join(clauses)) > max_words:
            clauses.pop()
        line = f"{mark} ".join(clauses)
    return line.strip(" .;,")


def listed(items: Sequence[str]) -> str:
    """``a``, ``a and b`` or ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1]))) if items else ""


def ascii_fold(text: str) -> str:
    """``text`` without accents (``Brasília`` becomes ``Brasilia``)."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def capitalized(text: str) -> str:
    """``text`` with its first letter large and the others as they are."""
    return text[:1].upper() + text[1:]


def _pieces(sentence: str, max_words: int) -> list[str]:
    """``sentence`` itself where it fits, else its clauses, else its words in runs of ``max_words``."""
    if num_words(sentence) <= max_words:
        return [sentence]
    clauses = re.split(r"(?<=;)\s+", sentence)
    clauses = clauses if len(clauses) > 1 else re.split(r"(?<=,)\s+", sentence)
    if len(clauses) > 1:
        return pack(clauses, max_words)
    words = sentence.split()
    return [" ".join(words[start : start + max_words]) for start in range(0, len(words), max_words)]
