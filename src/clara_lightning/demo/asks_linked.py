"""The tables behind questions that need two passages: bridges and comparisons."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bridge:
    """A first step of a two-step question: the fact by which a country is described instead of named."""

    field: str
    value: str
    described: str


@dataclass(frozen=True)
class Comparison:
    """A question that sets two places against each other by a number that both passages state."""

    name: str
    field: str
    ratio: float
    questions: tuple[str, str, str]


BRIDGES: tuple[Bridge, ...] = (
    Bridge("capital", "value", "the country whose capital is {value}"),
    Bridge("internet_code", "value", "the country whose internet country code is {value}"),
    Bridge("highest_point", "name", "the country whose highest point is {value}"),
    Bridge("currency", "value", "the country that pays with the {value}"),
    Bridge("head_of_state", "answer", "the country whose head of state is {value}"),
    Bridge("anthem", "value", 'the country whose national anthem is called "{value}"'),
)

# What a two-step question asks in the end; numbers and dates are left to the simple ones.
BRIDGED = (
    "capital",
    "currency",
    "highest-point",
    "official-language",
    "largest-city",
    "national-symbol",
    "top-export",
    "top-crop",
    "export-partner",
)

COMPARISONS: tuple[Comparison, ...] = (
    Comparison(
        "area",
        "area",
        1.3,
        (
            "Which has the larger area, {first} or {second}?",
            "Which country is larger by area, {first} or {second}?",
            "By total area, which is bigger: {first} or {second}?",
        ),
    ),
    Comparison(
        "population",
        "population",
        1.3,
        (
            "Which country has more people, {first} or {second}?",
            "Where do more people live, in {first} or in {second}?",
            "Which has the larger population, {first} or {second}?",
        ),
    ),
    Comparison(
        "highest-point",
        "highest_point",
        1.2,
        (
            "Which country has the higher highest point, {first} or {second}?",
            "Whose highest point lies higher, that of {first} or that of {second}?",
            "Where is the highest point higher, in {first} or in {second}?",
        ),
    ),
    Comparison(
        "life-expectancy",
        "life_expectancy",
        1.05,
        (
            "Where is life expectancy higher, in {first} or in {second}?",
            "In which country do people live longer on average, {first} or {second}?",
            "Which has the higher life expectancy at birth, {first} or {second}?",
        ),
    ),
)
