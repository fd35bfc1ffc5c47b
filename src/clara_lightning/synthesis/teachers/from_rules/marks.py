"""Punctuation that several rules look for; signs that look like others are written as code points."""

from __future__ import annotations

import re

OWNERS = ("'s", "\u2019s")
"""How an owner's name ends."""
OWNERS_OF_MANY = (*OWNERS, "s'")
STOP = re.compile(r"[;:](?=\s)|,(?=\s(?!\d{4}\b))| [\u2013\u2014-]+ |[.!?]+[\"'\u201d\u2019)]*$")
"""Punctuation that ends a clause; the comma of "July 4, 1776" is none."""
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Letters of scripts without spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
MARKS = (
    "\u0300-\u036f\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
    "\u0e00-\u0eff\u1000-\u1049\u200c\u200d"
)
"""A range of characters that belong to their words though they are no letters: accents, vowel signs of Indic and
South-East Asian scripts, vowel points of Hebrew and Arabic."""
