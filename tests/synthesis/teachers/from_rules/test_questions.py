"""Ordinary questions, as a whole document gives them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from clara_lightning.synthesis.teachers.from_rules.derive import Derived, derive
from clara_lightning.synthesis.teachers.from_rules.lexicon import Lexicon
from clara_lightning.synthesis.teachers.from_rules.reading import Reader
from clara_lightning.synthesis.teachers.from_rules.sentences import split_sentences
from clara_lightning.synthesis.teachers.from_rules.spans import tokens_of
from clara_lightning.synthesis.teachers.from_rules.topic import topic_of


def told(text: str, title: str = "") -> dict[str, str]:
    """Preferred questions with their answers, of the facts that are chosen."""
    return {fact.question: fact.answer for fact in derive(title, text).facts}


def candidates(text: str, title: str) -> dict[str, str]:
    """Preferred questions with their answers, of all facts that may be chosen."""
    sentences = split_sentences(text)
    words = [tokens_of(sentence) for sentence in sentences]
    reader = Reader(topic=topic_of(title, text, sentences[0]), writing="english", lexicon=Lexicon.of(words, title))
    read = (reader.read(index, *both) for index, both in enumerate(zip(sentences, words, strict=True)))
    return {fact.question: fact.answer for facts in read for fact in facts}


@pytest.mark.parametrize(
    ("title", "text", "question", "answer"),
    [
        ("", "The capital of Kenya is Nairobi.", "What is the capital of Kenya?", "Nairobi"),
        ("", "Kenya has 109 airports.", "How many airports does Kenya have?", "109"),
        ("Kenya: People", "Kenya is big. It has 109 airports.", "How many airports does Kenya have?", "109"),
        ("", "Kenya has a population of about 53 million.", "What is the population of Kenya?", "53 million"),
        ("Acme", "Acme was founded in 1880.", "In which year was Acme founded?", "1880"),
        ("Acme", "In 1880, Acme moved to a hall.", "In which year did Acme move to a hall?", "1880"),
        ("Acme", "Founded in 1880, it grew.", "In which year was Acme founded?", "1880"),
        ("Acme", "Acme is a band formed in 1980.", "In which year was Acme formed?", "1980"),
        ("Acme", "Acme was sold on 4 May 1990.", "When was Acme sold?", "4 May 1990"),
        ("Ohm", "Ohm is a 1961 film directed by Ann Lee.", "Who directed Ohm?", "Ann Lee"),
        ("Ohm", "Ohm was written by Ann Lee.", "Who wrote Ohm?", "Ann Lee"),
        ("Ohm", "Ohm lies low. It is managed by Gaumont Arts.", "By whom is Ohm managed?", "Gaumont Arts"),
        ("Ohm", "Ohm is located in Southern Asia.", "Where is Ohm located?", "Southern Asia"),
        ("Ohm", "Ohm was born in Kenya.", "Where was Ohm born?", "Kenya"),
        ("Ohm", "Ohm was shot in Kenya.", "In which country was Ohm shot?", "Kenya"),
        ("Ohm", "About 92% of its people use Ohm.", "About what percentage of its people use Ohm?", "92%"),
        ("Ohm", "Its colors are red, white and green.", "What are Ohm's colors?", "red, white and green"),
        ("Ohm", "The Ohm anthem is called “Sea”, they say.", "What is the Ohm anthem called?", "Sea"),
        ("Ohm", "Capital: Nairobi\nOhm", 'What does the text on Ohm give as "Capital"?', "Nairobi"),
        ("Ohm", "Ohm reduced the noise of engines.", "What did Ohm reduce?", "the noise of engines"),
        ("Ohm", "Ohm moved to Leeds University in 1990.", "In which year did Ohm move to Leeds University?", "1990"),
        ("Ann Lee", "Ann Lee (born 4 May 1901) sang.", "When was Ann Lee born?", "4 May 1901"),
        ("Ann Lee", "Ann Lee (1 May 1901 \u2013 3 June 1980) sang.", "When did Ann Lee die?", "3 June 1980"),
        ("Ann Lee", "Ann Lee was an American singer.", "Who was Ann Lee?", "an American singer"),
    ],
)
def test_a_sentence_of_a_common_form_gets_an_ordinary_question(
    title: str, text: str, question: str, answer: str
) -> None:
    assert candidates(text, title).get(question) == answer


def test_a_pronoun_stands_for_what_the_sentence_before_is_about() -> None:
    questions = told("The club is old. Leeds United won a cup. It was founded in 1919.", title="Football")
    assert "In which year was Leeds United founded?" in questions


def test_a_person_is_not_it() -> None:
    questions = told("Ann Lee is a singer. It opened in 1990 at the pier.", title="Ann Lee")
    assert not any("Ann Lee open" in question for question in questions)


def test_what_is_not_clear_by_itself_names_the_topic() -> None:
    questions = told("The choir met in 1990.", title="Leeds Arts")
    assert list(questions) == ["In the text on Leeds Arts, in which year did the choir meet?"]


def test_a_sentence_of_no_known_form_gets_a_gap() -> None:
    questions = told("Overhead, unwatched, some glittering lanterns.")
    assert all("___" in question for question in questions)
    assert questions


def test_no_question_holds_its_answer() -> None:
    facts = derive(
        "Nairobi", "Nairobi is a city. The Nairobi Museum in Nairobi opened in 1930, and in 1930 it closed."
    ).facts
    assert facts
    assert not [fact for fact in facts for question in fact.questions if fact.answer.casefold() in question.casefold()]


def test_facts_of_a_sentence_do_not_overlap_and_each_answer_stands_in_it() -> None:
    derived: Derived = derive(
        "", "In May 1990, Ann Lee of Leeds gave $5 million to 12 schools in Kenya and wrote “The Sea”."
    )
    spans = sorted((fact.span.start, fact.span.end) for fact in derived.facts)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert all(fact.answer in derived.sentences[fact.sentence] for fact in derived.facts)


def test_a_repeated_sentence_is_asked_about_once() -> None:
    once = derive("", "The hall opened in 1930.").facts
    twice = derive("", "The hall opened in 1930. The hall opened in 1930.").facts
    assert len(once) == len(twice) == 1


def test_notes_and_brackets_are_no_part_of_a_question() -> None:
    questions = told("Leeds Arts (a choir)[1] was founded in 1930.[citation needed]", title="Leeds Arts")
    assert questions["In which year was Leeds Arts founded?"] == "1930"


@pytest.mark.parametrize("markup", ["<b>1930</b>", "[[1930]]", "{{year|1930}}", "`1930`"])
def test_what_touches_markup_is_not_asked_for(markup: str) -> None:
    assert "1930" not in told(f"The hall opened in {markup} near the river Thames.").values()
