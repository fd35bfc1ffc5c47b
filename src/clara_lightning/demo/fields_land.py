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
                "Its location is in {value}.",
            ),
            Field(
                "area",
                "Geography|Area|total",
                read.area,
                "Its total area is {value} square kilometers.",
                "It covers {value} square kilometers.",
            ),
            Field(
                "border",
                "Geography|Land boundaries|border countries",
                read.border,
                "Its {kind} land border, {km} km, is with {in_text}.",
                "It shares its {kind} land border, of {km} km, with {in_text}.",
            ),
            Field(
                "coastline",
                "Geography|Coastline",
                read.kilometres,
                "Its coastline is {value} km long.",
                "It has {value} km of coastline.",
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
                "At {value} meters, {name} is the highest point of {place}.",
            ),
            Field(
                "climate", "Geography|Climate", read.climate, "Its climate {value}.", "It has a climate that {value}."
            ),
            Field(
                "terrain",
                "Geography|Terrain",
                read.nominal(16),
                "Its terrain is described as {value}.",
                "Its land is described as {value}.",
            ),
            Field(
                "hazards",
                "Geography|Natural hazards",
                read.dangers,
                "Natural hazards include {value}.",
                "Its natural dangers include {value}.",
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
                "About {value} people live in {place}.",
            ),
            Field(
                "largest_city",
                "People and Society|Major urban areas - population",
                state.city,
                "Its largest city is {value}, with about {people} people.",
                "Its largest city, {value}, has about {people} people.",
            ),
            Field(
                "nationality",
                "People and Society|Nationality|noun",
                state.nationality,
                "Its people are called {value}.",
                "Its inhabitants are known as {value}.",
            ),
            Field(
                "languages",
                "People and Society|Languages|Languages",
                state.languages,
                "{sentence}.",
                "Its people speak {all}.",
            ),
            Field(
                "religion",
                "People and Society|Religions",
                state.religion,
                "The largest religious group is {value}, at {share}.",
                "Its largest religious group, with {share}, is {value}.",
            ),
            Field(
                "life_expectancy",
                "People and Society|Life expectancy at birth|total population",
                read.years,
                "Life expectancy at birth is {value} years.",
                "Its people live to an age of {value} years on average.",
            ),
        ),
    ),
}
