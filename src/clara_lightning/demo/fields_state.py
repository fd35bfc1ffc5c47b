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
                "{value} is the capital of {place}.",
            ),
            Field(
                "government_type",
                "Government|Government type",
                state.government,
                "Its form of government is {article} {value}.",
                "It is governed as {article} {value}.",
            ),
            Field(
                "head_of_state",
                "Government|Executive branch|chief of state",
                state.head_of_state,
                "Its head of state is {title} {name}, in office since {since}.",
                "Its head of state since {since} has been {title} {name}.",
            ),
            Field(
                "independence",
                "Government|Independence",
                state.independence,
                "It became independent from {in_text} on {date}.",
                "Its independence from {in_text} dates from {date}.",
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
                "Its national holiday falls on {date} and is called {name}.",
            ),
            Field(
                "symbol",
                "Government|National symbol(s)",
                state.symbols,
                "Its national {all}.",
                "Its official {all}.",
            ),
            Field(
                "colors",
                "Government|National color(s)",
                read.items(8),
                "Its national colors are {all}.",
                "Its colors as a nation are {all}.",
            ),
            Field(
                "anthem",
                "Government|National anthem(s)|title",
                state.anthem,
                'Its national anthem is called "{value}".',
                'It has a national anthem with the title "{value}".',
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
                "People in {place} pay with the {value}.",
            ),
            Field(
                "top_crop",
                "Economy|Agricultural products",
                read.items(5),
                "Its leading agricultural product by weight is {first}{rest}.",
                "Its main farm product by weight is {first}{rest}.",
            ),
            Field(
                "industries",
                "Economy|Industries",
                read.phrase(14),
                "Its industries include {value}.",
                "It has industries such as {value}.",
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
                "It earns the most abroad with {first}{rest}.",
            ),
            Field(
                "export_partner",
                "Economy|Exports - partners",
                read.partners,
                "Its largest export partner is {in_text}, with {share} of exports{rest}.",
                "It exports the most to {in_text} ({share}){rest}.",
            ),
            Field(
                "import_partner",
                "Economy|Imports - partners",
                read.partners,
                "Its largest source of imports is {in_text}, with {share}{rest}.",
                "It imports the most from {in_text} ({share}){rest}.",
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
                "Internet addresses of {place} end in {value}.",
            ),
            Field(
                "internet_users",
                "Communications|Internet users|percent of population",
                read.percent,
                "About {value} of its people use the internet.",
                "Its share of people who use the internet is about {value}.",
            ),
            Field(
                "airports",
                "Transportation|Airports",
                read.count,
                "It has {value} airports.",
                "Its airports number {value}.",
            ),
            Field(
                "ports",
                "Transportation|Ports|key ports",
                read.items(4),
                "Its key ports include {all}.",
                "Its main ports include {all}.",
            ),
        ),
    ),
}
