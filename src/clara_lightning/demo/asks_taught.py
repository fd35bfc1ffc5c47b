"""Questions that teach the compressor and are not asked of the reader: the rest of what a passage states."""

from __future__ import annotations

from clara_lightning.demo.ask import Ask

TAUGHT: tuple[Ask, ...] = (
    Ask(
        "area",
        "area",
        "the total area",
        "{value} square kilometers",
        (
            "What is the total area of {place}?",
            "How large is {place}?",
            "How many square kilometers does {place} cover?",
        ),
        telling=True,
        scored=False,
    ),
    Ask(
        "elevation",
        "highest_point",
        "the height of the highest point",
        "{value} meters",
        (
            "How high is the highest point of {place}?",
            "At what height is the highest point of {place}?",
            "How many meters high is the highest peak of {place}?",
        ),
        telling=True,
        scored=False,
    ),
    Ask(
        "nationality",
        "nationality",
        "the name of the people",
        "{value}",
        (
            "What are the people of {place} called?",
            "What do you call people from {place}?",
            "By what name are inhabitants of {place} known?",
        ),
        telling=True,
        scored=False,
    ),
    Ask(
        "religion",
        "religion",
        "the largest religious group",
        "{value}",
        (
            "What is the largest religious group of {place}?",
            "Which religious group is the largest in {place}?",
            "To which religious group do most believers in {place} belong?",
        ),
        telling=True,
        scored=False,
    ),
    Ask(
        "life-expectancy",
        "life_expectancy",
        "the life expectancy",
        "{value} years",
        (
            "What is the life expectancy in {place}?",
            "How long do people live in {place} on average?",
            "To what age do people in {place} live on average?",
        ),
        telling=True,
        scored=False,
    ),
    Ask(
        "holiday-name",
        "holiday",
        "the name of the national holiday",
        "{name}",
        (
            "What is the national holiday of {place} called?",
            "Which day is the national holiday of {place}?",
            "What is the name of the national holiday in {place}?",
        ),
        telling=True,
        scored=False,
    ),
    Ask(
        "national-colors",
        "colors",
        "the national colors",
        "{all}",
        (
            "What are the national colors of {place}?",
            "Which colors stand for {place}?",
            "In which colors does {place} present itself as a nation?",
        ),
        telling=True,
        scored=False,
    ),
    Ask(
        "anthem",
        "anthem",
        "the title of the national anthem",
        "{value}",
        (
            "What is the national anthem of {place} called?",
            "What is the title of the national anthem of {place}?",
            "Which anthem do people sing in {place}?",
        ),
        telling=True,
        scored=False,
    ),
    Ask(
        "internet-users",
        "internet_users",
        "the share of people who use the internet",
        "{value}",
        (
            "What share of people in {place} use the internet?",
            "How many of the people of {place} use the internet?",
            "What part of the population of {place} is online?",
        ),
        telling=True,
        scored=False,
    ),
    Ask(
        "airports",
        "airports",
        "the number of airports",
        "{value}",
        (
            "How many airports does {place} have?",
            "What is the number of airports in {place}?",
            "How many airports are there in {place}?",
        ),
        telling=True,
        scored=False,
    ),
)
