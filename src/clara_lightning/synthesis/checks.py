"""Checks that need no teacher: of a question, of an answer, of evidence, and of a paraphrase.

Texts are compared as words without case and punctuation; text of scripts without spaces letter by letter.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from clara_lightning.synthesis import ngrams

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_OF_THE_DOCUMENT = re.compile(
    r"\b(?:the|this|given|above) (?:document|passage|text|paragraph|article|excerpt)\b(?! (?:on|about) )"
    r"|\baccording to (?:the|this) (?:author|document|passage|text|article)\b",
    re.IGNORECASE,
)
_COMMON = frozenset(
    "a an and are as at be by did do does for from had has have how in is it its of on or that the their this to was"
    " were what when where which who whom whose why will with".split()
)
MIN_QUESTION_WORDS = 3
MAX_ANSWER_WORDS = 40
SAME_ANSWER_OVERLAP = 0.6
"""Two questions with one answer overlap from this share of common words on (Jaccard)."""
RUN_WORDS = 4
COPIED = 0.7
"""A paraphrase with more of its document in the same order than this share is a copy."""

Words = tuple[str, ...]


@lru_cache(maxsize=4096)
def words(text: str) -> Words:
    """The words of a text as they are compared; see :func:`clara_lightning.synthesis.ngrams.words`."""
    return tuple(ngrams.words(text))


def content_words(text: str) -> frozenset[str]:
    """Distinct words that are not among the commonest of English.

    Example:
        >>> sorted(content_words("What is the capital of Kenya?"))
        ['capital', 'kenya']
    """
    return frozenset(words(text)) - _COMMON


def stands_in(part: str, text: str) -> bool:
    """Whether the words of ``part`` stand in ``text``, one behind the other; false where it has none.

    Example:
        >>> stands_in("marit holm", "It was designed by Marit Holm."), stands_in("art", "Marit")
        (True, False)
    """
    wanted = words(part)
    return bool(wanted) and f" {' '.join(wanted)} " in f" {' '.join(words(text))} "


def question_fault(question: str) -> str | None:
    """What is wrong with a question by itself, in a fixed phrase; ``None`` if nothing is."""
    if len(words(question)) < MIN_QUESTION_WORDS:
        return "too short"
    if _OF_THE_DOCUMENT.search(question):
        return "speaks of the document"
    return None


def answer_fault(question: str, answer: str, *, may_repeat: bool) -> str | None:
    """What is wrong with an answer beside its question, in a fixed phrase; ``None`` if nothing is.

    Args:
        question: the question.
        answer: its answer.
        may_repeat: whether the answer may stand in the question, as in "Which is longer, A or B?".
    """
    if not words(answer):
        return "no words in the answer"
    if len(words(answer)) > MAX_ANSWER_WORDS:
        return "long answer"
    if not may_repeat and stands_in(answer, question):
        return "answer in the question"
    return None


class Asked:
    """The questions of a document so far, to find one that repeats another."""

    def __init__(self) -> None:
        self._questions: set[frozenset[tuple[str, int]]] = set()
        self._by_answer: dict[Words, list[frozenset[str]]] = {}

    def is_new(self, question: str) -> bool:
        """Whether no question with the same words was asked, in whatever order; remembers it."""
        counted = frozenset(Counter(words(question)).items())
        if counted in self._questions:
            return False
        self._questions.add(counted)
        return True

    def overlaps(self, question: str, answer: str) -> bool:
        """Whether a kept question with the same answer has most words in common; remembers it where none has."""
        asked = self._by_answer.setdefault(words(answer), [])
        new = content_words(question)
        if any(len(new & old) >= SAME_ANSWER_OVERLAP * len(new | old) for old in asked):
            return True
        asked.append(new)
        return False


def evidence_fault(evidence: Sequence[str], document: str) -> str | None:
    """What is wrong with the quotes behind a complex question, in a fixed phrase; ``None`` if nothing is."""
    if any(not stands_in(quote, document) for quote in evidence):
        return "evidence not in the document"
    apart = [quote for quote in evidence if not any(quote != other and stands_in(quote, other) for other in evidence)]
    return None if len(apart) >= 2 else "one piece of evidence"


def word_coverage(document: str, texts: Sequence[str]) -> float:
    """Share of the document's content words that stand in one of the texts; 1 for a document without any.

    Example:
        >>> word_coverage("Kenya exports tea.", ["What does Kenya export?", "tea"])
        0.6666666666666666
    """
    wanted = content_words(document)
    found = frozenset().union(*(words(text) for text in texts))
    return len(wanted & found) / len(wanted) if wanted else 1.0


def paraphrase_faults(document: str, paraphrase: str) -> list[str]:
    """What is wrong with a paraphrase, as a teacher can mend it: a copy, another length, other numbers."""
    of_document, of_paraphrase = words(document), words(paraphrase)
    faults = []
    if _copied_share(of_document, of_paraphrase) > COPIED:
        faults.append("copied: order and structure must change")
    if not 0.5 * len(of_document) <= len(of_paraphrase) <= 2 * len(of_document):
        faults.append(f"length: {len(of_paraphrase)} words, and the document has {len(of_document)}")
    wanted, found = (Counter(_NUMBER.findall(text)) for text in (document, paraphrase))
    if missing := sorted(wanted.keys() - found.keys()):
        faults.append(f"leaves out: {', '.join(missing)}")
    if added := sorted(found.keys() - wanted.keys()):
        faults.append(f"adds: {', '.join(added)}")
    return faults


def _copied_share(document: Words, paraphrase: Words) -> float:
    """Share of the document that stands in the paraphrase in the same order, by runs of a few words.

    Sentences in another order are no copy; a text in which now and then a word was changed is.
    """
    length = min(RUN_WORDS, max(1, len(document)))
    places = {run: place for place, run in enumerate(_runs(document, length))}
    found = [places[run] for run in _runs(paraphrase, length) if run in places]
    ends: list[int] = []  # the longest rising row of places, by the smallest end of each length (patience sorting)
    for place in found:
        at = bisect_left(ends, place)
        ends[at : at + 1] = [place]
    return len(ends) / max(1, len(places))


def _runs(text: Words, length: int) -> list[Words]:
    return [text[start : start + length] for start in range(len(text) - length + 1)]
