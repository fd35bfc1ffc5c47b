"""Readers of single Factbook fields on land, people and trade: from text to named parts.

Sentences and answers are made of the parts. A reader is strict: where the text is not of the form that it knows, it
gives no parts, and the fact is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from clara_lightning.demo.places import full_name, with_article
from clara_lightning.demo.text import head, listed

Parts = dict[str, str]
Reader = Callable[[str], Parts]


def phrase(max_words: int) -> Reader:
    """Reader of free text: its first line, without notes and percentages' years, up to ``max_words`` words."""

    def read(text: str) -> Parts:
        text = re.sub(r"^metropolitan \w+:\s*", "", text)
        text = re.sub(
            r"\s*\((?:\d{4}|[^()]*\d{4} est\.)\)|[;,]? *note\b.*|[\n ]*volcanism:.*", "", text, flags=re.DOTALL
        )
        value = head(text, max_words)
        usable = re.match(r"[A-Za-z]", value) and not re.match(r"(?:NA|none)\b|[^,;]*:", value)
        return {"value": value} if usable and len(re.findall(r"[()]", value)) % 2 == 0 else {}

    return read


def nominal(max_words: int) -> Reader:
    """Reader of free text that fits after "described as": a whole clause, with a verb of its own, is left out."""
    read_phrase = phrase(max_words)

    def read(text: str) -> Parts:
        parts = read_phrase(text)
        clause = re.search(r"\b(?:is|are|rises?|divides?|occurs?|can|may|has|have)\b", parts.get("value", ""))
        return {} if clause else parts

    return read


def items(max_items: int) -> Reader:
    """Reader of a comma-separated ranking: ``first``, the ``rest`` as ", followed by ...", and ``all``."""

    def read(text: str) -> Parts:
        text = re.sub(r"\s*\([^()]*\)", "", text.split("\n")[0]).strip()
        found = [item.strip() for item in text.split(",")][:max_items]
        if not all(re.fullmatch(r"[\w'/ -]{2,45}", item) for item in found):
            return {}
        rest = f", followed by {listed(found[1:])}" if found[1:] else ""
        return {"first": found[0], "rest": rest, "all": listed(found)}

    return read


def dangers(text: str) -> Parts:
    """A list of natural hazards; text that tells where they strike is left out."""
    parts = nominal(10)(text)
    opening = r"(?:[A-Z]|astride|in|hot|locally|lowlands|geologically|regional)\b"
    story = rf"{opening}|.*\b(?:subject|bring|causes|common|followed)\b"
    return {} if re.match(story, parts.get("value", "A")) else parts


def count(text: str) -> Parts:
    """``174`` of ``174 (2025)``; one alone is left out, for it has another grammar."""
    found = re.match(r"([\d,]+)", text)
    return {"value": found[1]} if found and found[1] != "1" else {}


def place_phrase(text: str) -> Parts:
    """``Western South America, bordering ...``, with the article that the region needs."""
    parts = phrase(24)(re.sub(r"\b(?:the )?(Democratic Republic of the Congo)", r"the \1", text))
    if parts:
        parts["value"] = re.sub(
            r"(^|, )(?=(?:archipelago|group|peninsula|continent|chain|small)\b)", r"\1a ", parts["value"]
        )
        parts["value"] = re.sub(r"(^|, )(?=island\b)|(^|, )a (?=arch)", r"\1\2an ", parts["value"])
    if parts and re.match(r"Middle East|Caribbean|Eastern Mediterranean|Balkans", parts["value"]):
        parts["value"] = f"the {parts['value']}"
    return parts


def climate(text: str) -> Parts:
    """``is tropical; hot and humid`` or ``varies from ...``."""
    parts = phrase(16)(text)
    first = parts.get("value", "NA").split()[0].lower().strip(",;")
    if first in {"na", "temperature", "the", "a", "strong", "equatorial", "three", "generally"}:
        return {}
    value = parts["value"]
    return {"value": value if first in {"varies", "ranges"} else f"is {value}"}


def area(text: str) -> Parts:
    """``1,285,216`` square kilometres, and the bare number."""
    found = re.match(r"([\d.,]+)( million)? sq km(?! less)", text)
    return amount(found[1], found[2]) if found else {}


def kilometres(text: str) -> Parts:
    """A length; a landlocked place has none."""
    found = re.match(r"([\d.,]+)()? km(?!.*(?:landlocked|excludes|island\)))", text)
    return amount(found[1], None) if found else {}


def people(text: str) -> Parts:
    """``about 32.8 million`` people, and the bare number."""
    found = re.match(r"([\d,]+)(?: \(|$)", text)
    if not found or (number := int(found[1].replace(",", ""))) == 0:
        return {}
    if number >= 1_000_000_000:
        return {"value": f"{number / 1e9:.2f} billion", "number": str(number)}
    rounded = f"{number / 1e6:.1f} million" if number >= 1_000_000 else f"{round(number, -3 if number > 9999 else 0):,}"
    return {"value": rounded, "number": str(number)}


def years(text: str) -> Parts:
    """``68.9`` years."""
    found = re.match(r"([\d.]+) years", text)
    return {"value": found[1], "number": found[1]} if found else {}


def percent(text: str) -> Parts:
    """``80%``."""
    found = re.match(r"([\d.]+%)", text)
    return {"value": found[1]} if found else {}


def peak(text: str) -> Parts:
    """``Nevado Huascaran 6,746 m``: the name without brackets or mountain range, and the height."""
    found = re.match(r"([^;]+?) ([\d,.]+)(?: m\b|$)", re.sub(r"\s*\([^()]*\)", "", text))
    overseas = "considered" in text
    if not found or overseas or re.search(r"unnamed|note|location|elevation|,", found[1], flags=re.IGNORECASE):
        return {}
    name = re.split(r" (?:on|in|at) ", found[1])[0].strip()
    return {"name": name, **amount(found[2], None)} if re.fullmatch(r"[\w'. -]+", name) else {}


def border(text: str) -> Parts:
    """The neighbour with the longest border, where it is one country and clearly the longest."""
    text = re.split(r"; note|\n", re.sub(r"\s*\([^()]*\)", "", text))[0]
    found = [(float(km.replace(",", "")), name) for name, km in re.findall(r"([^;]+?) ([\d,.]+) km", text)]
    found.sort(reverse=True)
    if not found or "Base" in found[0][1] or (len(found) > 1 and found[0][0] < 1.1 * found[1][0]):
        return {}
    name = full_name(found[0][1])
    kind = "only" if len(found) == 1 else "longest"
    return {"name": name, "in_text": with_article(name), "km": f"{found[0][0]:,.0f}", "kind": kind}


def partners(text: str) -> Parts:
    """``China 34%, USA 14%, ...``: the first, its share, and the next two."""
    found = re.findall(r"([^,%]+?) (\d+)%", text.split("\n")[0])
    if not found or (len(found) > 1 and found[0][1] == found[1][1]):
        return {}
    names = [full_name(name) for name, _ in found[:3]]
    rest = f", ahead of {listed([with_article(name) for name in names[1:]])}" if names[1:] else ""
    return {"name": names[0], "in_text": with_article(names[0]), "share": f"{found[0][1]}%", "rest": rest}


def amount(number: str, million: str | None) -> Parts:
    """Digits with separators for the text, and the bare number for comparisons."""
    value = float(number.strip(".,").replace(",", "")) * (1e6 if million else 1)
    return {"value": f"{value:,.0f}" if value >= 100 else f"{value:g}", "number": f"{value:.0f}"}
