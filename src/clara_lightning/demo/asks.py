"""The tables behind the questions: what is asked of a fact, in which words, and which answers count.

``{place}`` stands for a place's name with its article; the first question of an :class:`~clara_lightning.demo.ask.Ask`
also reads well with "the country whose capital is Lima" in its stead, which is how two-step questions are made.
"""

from __future__ import annotations

from clara_lightning.demo.ask import Ask

# Internet country codes are not asked for: a scorer that drops punctuation finds ".in" in any answer with "in".
ASKS: tuple[Ask, ...] = (
    Ask(
        "capital",
        "capital",
        "{value}",
        (
            "What is the capital of {place}?",
            "Which city is the capital of {place}?",
            "Name the capital city of {place}.",
        ),
    ),
    Ask(
        "government-type",
        "government_type",
        "{value}",
        (
            "What is the form of government of {place}?",
            "What kind of government does {place} have?",
            "How is {place} governed?",
        ),
        telling=True,
    ),
    Ask(
        "head-of-state",
        "head_of_state",
        "{answer}",
        (
            "Who is the head of state of {place}?",
            "Which person is head of state in {place}?",
            "What is the name of the head of state of {place}?",
        ),
        also=("{title} {name}", "{name}"),
    ),
    Ask(
        "independence-year",
        "independence",
        "{year}",
        (
            "In what year did {place} become independent?",
            "When did {place} gain its independence?",
            "Which year brought independence to {place}?",
        ),
        also=("{date}",),
    ),
    Ask(
        "independence-from",
        "independence",
        "{name}",
        (
            "From which country did {place} become independent?",
            "Which country ruled {place} before its independence?",
            "{place} gained its independence from which country?",
        ),
        also=("{in_text}",),
    ),
    Ask(
        "highest-point",
        "highest_point",
        "{name}",
        (
            "What is the highest point of {place}?",
            "Which peak is the highest in {place}?",
            "What is the name of the highest place in {place}?",
        ),
    ),
    Ask(
        "longest-border",
        "border",
        "{name}",
        (
            "With which country does {place} share its longest land border?",
            "Which neighbor has the longest land border with {place}?",
            "On land, which country borders {place} for the greatest length?",
        ),
        also=("{in_text}",),
    ),
    Ask(
        "coastline",
        "coastline",
        "{value} km",
        (
            "How long is the coastline of {place}?",
            "What is the length of the coast of {place}?",
            "How many kilometers of coastline does {place} have?",
        ),
        also=("{value}", "{value} kilometers"),
    ),
    Ask(
        "population",
        "population",
        "{value}",
        (
            "What is the population of {place}?",
            "How many people live in {place}?",
            "About how many inhabitants does {place} have?",
        ),
        also=("about {value}",),
    ),
    Ask(
        "largest-city",
        "largest_city",
        "{value}",
        (
            "What is the largest city of {place}?",
            "Which city in {place} has the most people?",
            "Name the biggest city in {place}.",
        ),
    ),
    Ask(
        "official-language",
        "languages",
        "{official}",
        (
            "What is the official language of {place}?",
            "Which language is official in {place}?",
            "What language has official status in {place}?",
        ),
        telling=True,
    ),
    Ask(
        "national-symbol",
        "symbol",
        "{single}",
        (
            "What is the national symbol of {place}?",
            "Which symbol stands for {place}?",
            "What serves as the national symbol of {place}?",
        ),
        also=("the {single}",),
    ),
    Ask(
        "national-holiday",
        "holiday",
        "{date}",
        (
            "On what date is the national holiday of {place}?",
            "When does {place} celebrate its national holiday?",
            "On which day of the year is the national holiday in {place}?",
        ),
    ),
    Ask(
        "currency",
        "currency",
        "{value}",
        (
            "What is the currency of {place}?",
            "Which currency is used in {place}?",
            "What money do people in {place} pay with?",
        ),
        also=("{unit}",),
        telling=True,
    ),
    Ask(
        "top-crop",
        "top_crop",
        "{first}",
        (
            "What is the leading agricultural product of {place}?",
            "By weight, which farm product comes first in {place}?",
            "Which crop or farm product does {place} produce most of by weight?",
        ),
    ),
    Ask(
        "top-export",
        "top_export",
        "{first}",
        (
            "What is the most valuable export of {place}?",
            "Which product earns {place} the most abroad?",
            "What is the top export of {place} by value?",
        ),
    ),
    Ask(
        "export-partner",
        "export_partner",
        "{name}",
        (
            "What is the largest export partner of {place}?",
            "Which country buys the largest share of the exports of {place}?",
            "Where does the biggest share of exports from {place} go?",
        ),
        also=("{in_text}",),
    ),
    Ask(
        "import-partner",
        "import_partner",
        "{name}",
        (
            "What is the main source of imports of {place}?",
            "Which country supplies the largest share of imports to {place}?",
            "From which country does {place} import the most?",
        ),
        also=("{in_text}",),
    ),
)
