"""What a kind of simple question is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ask:
    """One kind of simple question.

    Attributes:
        name: stands in the question's id.
        field: the fact's field in :mod:`clara_lightning.demo.fields`.
        noun: what is asked, with its article ("the capital").
        answer: the answer, made of the fact's parts; where a part is missing, the question is left out.
        also: further answers that count.
        questions: at least three wordings.
        telling: keep the question even where the answer repeats the place's name.
        scored: whether it is asked of the reader; a two-letter code is not, since a scorer that drops punctuation finds
            ".in" in any answer with "in". The compressor is still taught it, for two-step questions start from it.
    """

    name: str
    field: str
    noun: str
    answer: str
    questions: tuple[str, str, str]
    also: tuple[str, ...] = ()
    telling: bool = False
    scored: bool = True
