"""What a kind of simple question is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ask:
    """One kind of simple question.

    Attributes:
        name: stands in the question's id.
        field: the fact's field in :mod:`clara_lightning.demo.fields`.
        answer: the answer, made of the fact's parts; where a part is missing, the question is left out.
        also: further answers that count.
        questions: at least three wordings.
        telling: keep the question even where the answer repeats the place's name.
    """

    name: str
    field: str
    answer: str
    questions: tuple[str, str, str]
    also: tuple[str, ...] = ()
    telling: bool = False
