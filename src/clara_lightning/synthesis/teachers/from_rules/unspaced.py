"""What can be asked about in scripts without spaces between words."""

from __future__ import annotations

import re

from clara_lightning.synthesis.teachers.from_rules.spans import Span

_SPANS = re.compile(
    "「(?P<quote>[^「」]{1,40})」|『(?P<title>[^『』]{1,40})』|“(?P<mark>[^“”]{1,40})”"
    "|(?P<number>[0-9\uff10-\uff19](?:[0-9\uff10-\uff19.,\uff0c\uff0e]*[0-9\uff10-\uff19])?[%\uff05年月日人個km万億兆]?)"
    "|(?P<latin>[A-Za-z][A-Za-z0-9.&'-]*(?: [A-Za-z][A-Za-z0-9.&'-]*)*)"
    "|(?P<katakana>[\u30a1-\u30fa\u30fc\u30fb]{2,})"
    "|(?P<kanji>[\u3400-\u4dbf\u4e00-\u9fff]{2,6})"
)
_HIRAGANA = re.compile("[\u3041-\u309f]")


def unspaced_spans(sentence: str) -> list[Span]:
    """Quotations, numbers, Latin and katakana words, and, where hiragana parts them, compounds of kanji, best first."""
    japanese = _HIRAGANA.search(sentence) is not None
    spans = []
    for match in _SPANS.finditer(sentence):
        group = match.lastgroup or ""
        if group == "kanji" and not (japanese and _alone(sentence, match)):
            continue
        kind = "number" if group == "number" else "word" if group == "kanji" else "name"
        text = match.group(group)
        spans.append(Span(match.start(group), match.end(group), text, kind))  # type: ignore[arg-type]  # three of Kind
    order = {"number": 0, "name": 1, "word": 2}
    return sorted((span for span in spans if span.text.strip()), key=lambda span: (order[span.kind], span.start))


def _alone(sentence: str, match: re.Match[str]) -> bool:
    """Whether the compound ends where the match ends: a longer run of Chinese characters has no known words."""
    following = sentence[match.end() : match.end() + 1]
    return not "\u3400" <= following <= "\u9fff"
