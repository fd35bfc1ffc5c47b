"""Fields of the sections on the state, its economy and its connections."""

from __future__ import annotations

from clara_lightning.demo import readers as read
from clara_lightning.demo import readers_state as state
from clara_lightning.demo.field import Field, Sections

STATE_SECTIONS: Sections = {
    "government": (
        "Government",
        (
            Field(
                "capital",
                "Government|Capital|name",
                state.capital,
                "The capital of {place} is {value}.",
            ),
            Field(
                "government_type",
                "Government|Government type",
                state.government,
                "Its form of government is {article} {value}.",
            ),
            Field(
                "head_of_state",
                "Government|Executive branch|chief of state",
                state.head_of_state,
                "Its head of state is {title} {name}, in office since {since}.",
            ),
            Field(
                "independence",
                "Government|Independence",
                state.independence,
                "It became independent from {in_text} on {date}.",
            ),
        ),
    ),
    "symbols": (
        "National Symbols",
        (
            Field(
                "holiday",
                "Government|National holiday",
                state.holiday,
                "Its national holiday is {name}, on {date}.",
            ),
            Field(
                "symbol",
                "Government|National symbol(s)",
                state.symbols,
                "Its national {all}.",
            ),
            Field(
                "colors",
                "Government|National color(s)",
                read.items(8),
                "Its national colors are {all}.",
            ),
            Field(
                "anthem",
                "Government|National anthem(s)|title",
                state.anthem,
                'Its national anthem is called "{value}".',
            ),
        ),
    ),
    "economy": (
        "Economy",
        (
            Field(
                "currency",
                "Economy|Exchange rates|Currency",
                state.currency,
                "The currency of {place} is the {value}.",
            ),
            Field(
                "top_crop",
                "Economy|Agricultural products",
                read.items(5),
                "Its leading agricultural product by weight is {first}{rest}.",
            ),
            Field(
                "industries",
                "Economy|Industries",
                read.phrase(14),
                "Its industries include {value}.",
            ),
        ),
    ),
    "trade": (
        "Trade",
        (
            Field(
                "top_export",
                "Economy|Exports - commodities",
                read.items(5),
                "Its most valuable export is {first}{rest}.",
            ),
            Field(
                "export_partner",
                "Economy|Exports - partners",
                read.partners,
                "Its largest export partner is {in_text}, with {share} of exports{rest}.",
            ),
            Field(
                "import_partner",
                "Economy|Imports - partners",
                read.partners,
                "Its largest source of imports is {in_text}, with {share}{rest}.",
            ),
        ),
    ),
    "communications": (
        "Communications",
        (
            Field(
                "internet_code",
                "Communications|Internet country code",
                state.internet_code,
                "The internet country code of {place} is {value}.",
            ),
            Field(
                "internet_users",
                "Communications|Internet users|percent of population",
                read.percent,
                "About {value} of its people use the internet.",
            ),
            Field(
                "airports",
                "Transportation|Airports",
                read.count,
                "It has {value} airports.",
            ),
            Field(
                "ports",
                "Transportation|Ports|key ports",
                read.items(4),
                "Its key ports include {all}.",
            ),
        ),
    ),
}
