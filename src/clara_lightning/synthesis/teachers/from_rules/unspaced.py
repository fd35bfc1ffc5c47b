"""What can be asked about in scripts without spaces between words."""

from __future__ import annotations

import re

from clara_lightning.synthesis.teachers.from_rules.spans import Kind, Span

_COMMON = (
    "「(?P<quote>[^「」]{1,40})」|『(?P<title>[^『』]{1,40})』|“(?P<mark>[^“”]{1,40})”"
    "|(?P<number>[0-9\uff10-\uff19](?:[0-9\uff10-\uff19.,\uff0c\uff0e]*[0-9\uff10-\uff19])?[%\uff05年月日人個km万億兆]?)"
    "|(?P<latin>[A-Za-z][A-Za-z0-9.&'-]*(?: [A-Za-z][A-Za-z0-9.&'-]*)*)"
    "|(?P<katakana>[\u30a1-\u30fa\u30fc\u30fb]{2,})"
)
# Hiragana part the compounds of Japanese. In Chinese nothing does, but what follows "is" up to a mark is a value.
_JAPANESE = re.compile(_COMMON + "|(?P<kanji>[\u3400-\u4dbf\u4e00-\u9fff]{2,6})(?![\u3400-\u9fff])")
_OTHER = re.compile(
    _COMMON + "|(?<=[\u662f\u4e3a\u70ba])(?P<value>[\u4e00-\u9fff]{2,10})(?=[\u3001\u3002\uff0c\uff1b\uff01])"
)
_HIRAGANA = re.compile("[\u3041-\u309f]")
_KINDS: dict[str, Kind] = {"number": "number", "value": "value", "kanji": "word"}
_ORDER: dict[Kind, int] = {"number": 0, "value": 1, "name": 2, "word": 3}


def unspaced_spans(sentence: str) -> list[Span]:
    """Numbers, values, quotations, Latin and katakana words, and compounds of kanji, best first."""
    pattern = _JAPANESE if _HIRAGANA.search(sentence) else _OTHER
    spans = []
    for match in pattern.finditer(sentence):
        group = match.lastgroup or ""
        spans.append(Span(match.start(group), match.end(group), match.group(group), _KINDS.get(group, "name")))
    return sorted((span for span in spans if span.text.strip()), key=lambda span: (_ORDER[span.kind], span.start))
