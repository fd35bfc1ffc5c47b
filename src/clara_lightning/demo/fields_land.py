"""Fields of the sections on land and people."""

from __future__ import annotations

from clara_lightning.demo import readers as read
from clara_lightning.demo import readers_state as state
from clara_lightning.demo.field import Field, Sections

LAND_SECTIONS: Sections = {
    "geography": (
        "Geography",
        (
            Field(
                "location",
                "Geography|Location",
                read.place_phrase,
                "It is located in {value}.",
            ),
            Field(
                "area",
                "Geography|Area|total",
                read.area,
                "Its total area is {value} square kilometers.",
            ),
            Field(
                "border",
                "Geography|Land boundaries|border countries",
                read.border,
                "Its {kind} land border, {km} km, is with {in_text}.",
            ),
            Field(
                "coastline",
                "Geography|Coastline",
                read.kilometres,
                "Its coastline is {value} km long.",
            ),
        ),
    ),
    "land": (
        "Land and Climate",
        (
            Field(
                "highest_point",
                "Geography|Elevation|highest point",
                read.peak,
                "Its highest point is {name}, at {value} meters.",
            ),
            Field("climate", "Geography|Climate", read.climate, "Its climate {value}."),
            Field(
                "terrain",
                "Geography|Terrain",
                read.nominal(16),
                "Its terrain is described as {value}.",
            ),
            Field(
                "hazards",
                "Geography|Natural hazards",
                read.dangers,
                "Natural hazards include {value}.",
            ),
        ),
    ),
    "people": (
        "People",
        (
            Field(
                "population",
                "People and Society|Population|total",
                read.people,
                "It has a population of about {value}.",
            ),
            Field(
                "largest_city",
                "People and Society|Major urban areas - population",
                state.city,
                "Its largest city is {value}, with about {people} people.",
            ),
            Field(
                "nationality",
                "People and Society|Nationality|noun",
                state.nationality,
                "Its people are called {value}.",
            ),
            Field(
                "languages",
                "People and Society|Languages|Languages",
                state.languages,
                "{sentence}.",
            ),
            Field(
                "religion",
                "People and Society|Religions",
                state.religion,
                "The largest religious group is {value}, at {share}.",
            ),
            Field(
                "life_expectancy",
                "People and Society|Life expectancy at birth|total population",
                read.years,
                "Life expectancy at birth is {value} years.",
            ),
        ),
    ),
}
