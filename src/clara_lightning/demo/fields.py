"""The tables behind the passages: which Factbook fields make a section, and the sentence that states each."""

from __future__ import annotations

from clara_lightning.demo.fields_land import LAND_SECTIONS
from clara_lightning.demo.fields_state import STATE_SECTIONS

# Section to its title and its fields, in the order in which a passage states them.
SECTIONS = {**LAND_SECTIONS, **STATE_SECTIONS}

# Prose of the Factbook's own, kept as it is written.
PROSE: dict[str, tuple[str, str]] = {
    "background": ("Background", "Introduction|Background"),
    "overview": ("Economic Overview", "Economy|Economic overview"),
    "distribution": ("Where People Live", "People and Society|Population distribution"),
    "environment": ("Environment", "Environment|Environmental issues"),
    "note": ("Geography Note", "Geography|Geography - note"),
    "military": ("Military", "Military and Security|Military - note"),
    "flag": ("Flag", "Government|Flag"),
}

ALTERNATIVE_PATHS = {"People and Society|Languages|Languages": "People and Society|Languages"}
