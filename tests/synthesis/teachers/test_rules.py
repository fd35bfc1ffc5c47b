"""The teacher without a language model: what it answers to every task, over any text."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Coroutine, Mapping
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clara_lightning.data.records import Document
from clara_lightning.synthesis.tasks import TASKS, Request, TaskName
from clara_lightning.synthesis.teacher import NO_USAGE, BadReplyError, Reply
from clara_lightning.synthesis.teachers.rules import RulesTeacher

KENYA = Document(
    "kenya",
    "Kenya is a country in East Africa with 47 counties. Its capital is Nairobi. It became independent from the "
    "United Kingdom in 1963. The National Museum was opened by Mary Lee in 1930. About 47.6 million people live in "
    "Kenya. Its national colors are black, red and green. It covers 580,367 square kilometers. Its highest point is "
    "Batian, at 5,199 meters. The shilling lost 12% of its value, while exports of tea grew.",
    title="Kenya: Overview",
)
Pairs = list[dict[str, str]]


def run(reply: Coroutine[Any, Any, Reply]) -> Reply:
    """The result of a coroutine that waits for nothing: a loop for each of thousands of replies would take seconds."""
    try:
        reply.send(None)
    except StopIteration as done:
        return cast(Reply, done.value)
    raise AssertionError("the rules waited for something")


def ask(task: TaskName, document: Document, **fields: Any) -> Mapping[str, Any]:
    """The checked value of a reply; it must be what the check gives back."""
    request = Request(task, document, fields)
    reply = run(RulesTeacher().reply(request))
    assert reply.usage == NO_USAGE
    checked = TASKS[task].check(reply.value, request)
    assert checked == reply.value
    return checked


def answered(questions: list[str], document: Document) -> Pairs:
    return [{"question": q, "answer": ask("answer", document, question=q)["answer"]} for q in questions]


def rounds(document: Document, most: int = 4) -> tuple[Pairs, list[float]]:
    """The simple questions as the pipeline asks for them, and the coverage after each round."""
    pairs: Pairs = []
    missing: list[str] = []
    coverage: list[float] = []
    while len(coverage) < most and (not coverage or missing):
        asked = [pair["question"] for pair in pairs]
        pairs += answered(ask("simple_questions", document, missing=missing, asked=asked)["questions"], document)
        facts = ask("coverage", document, pairs=pairs)["facts"]
        missing = [fact["fact"] for fact in facts if not fact["covered"]]
        coverage.append(1 - len(missing) / len(facts))
    return pairs, coverage


def folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def test_it_says_who_it_is() -> None:
    assert RulesTeacher().name == "rules"
    assert RulesTeacher().identity == {"teacher": "rules", "version": 1}
    asyncio.run(RulesTeacher().close())


def test_simple_questions_name_their_subject_and_ask_what_the_document_answers() -> None:
    pairs, _ = rounds(KENYA)
    told = {pair["question"]: pair["answer"] for pair in pairs}
    assert told["What is Kenya's capital?"] == "Nairobi"
    assert told["In which year did Kenya become independent from the United Kingdom?"] == "1963"
    assert told["What are Kenya's national colors?"] == "black, red and green"
    assert told["About how many people live in Kenya?"] == "47.6 million"


def test_answers_stand_in_the_document_and_not_in_their_question() -> None:
    pairs, _ = rounds(KENYA)
    assert all(pair["answer"] in KENYA.text for pair in pairs)
    assert not [pair for pair in pairs if folded(pair["answer"]) in folded(pair["question"])]


def test_no_question_is_asked_twice() -> None:
    pairs, _ = rounds(KENYA)
    questions = [pair["question"] for pair in pairs]
    assert len(set(questions)) == len(questions)


def test_coverage_climbs_to_one() -> None:
    _, coverage = rounds(KENYA)
    assert coverage == sorted(coverage)
    assert coverage[-1] == 1.0


def test_the_first_round_leaves_something_to_later_ones() -> None:
    first = ask("simple_questions", KENYA, missing=[], asked=[])["questions"]
    assert len(first) == 8


def test_missing_facts_are_asked_for_and_unknown_ones_ignored() -> None:
    facts = [fact["fact"] for fact in ask("coverage", KENYA, pairs=[])["facts"]]
    questions = ask("simple_questions", KENYA, missing=[facts[1], "the moon is far away"], asked=[])["questions"]
    assert len(questions) == 1
    assert ask("coverage", KENYA, pairs=answered(questions, KENYA))["facts"][1]["covered"]


def test_a_fact_whose_question_was_dropped_is_asked_for_in_other_words() -> None:
    fact = ask("coverage", KENYA, pairs=[])["facts"][0]["fact"]
    first = ask("simple_questions", KENYA, missing=[fact], asked=[])["questions"]
    second = ask("simple_questions", KENYA, missing=[fact], asked=first)["questions"]
    assert first != second
    assert answered(first, KENYA)[0]["answer"] == answered(second, KENYA)[0]["answer"]


def test_nothing_is_covered_without_pairs_and_by_a_wrong_answer() -> None:
    pairs = [{**pair, "answer": "Berlin"} for pair in rounds(KENYA)[0]]
    assert not any(fact["covered"] for fact in ask("coverage", KENYA, pairs=[])["facts"])
    assert not any(fact["covered"] for fact in ask("coverage", KENYA, pairs=pairs)["facts"])


def test_an_unknown_question_has_no_answer() -> None:
    assert ask("answer", KENYA, question="Who are you?") == {"answerable": False, "answer": ""}


def test_white_space_of_a_question_does_not_matter() -> None:
    assert ask("answer", KENYA, question=" What is  Kenya's capital? ")["answer"] == "Nairobi"


def test_validate_supports_its_own_pairs_and_no_others() -> None:
    good = {"question": "What is Kenya's capital?", "answer": "Nairobi"}
    wrong = {"question": "What is Kenya's capital?", "answer": "Mombasa"}
    foreign = {"question": "Who are you?", "answer": "Nairobi"}
    verdicts = ask("validate", KENYA, pairs=[good, wrong, foreign])["verdicts"]
    assert [verdict["number"] for verdict in verdicts] == [1, 2, 3]
    assert [verdict["supported"] for verdict in verdicts] == [True, False, False]
    assert verdicts[1]["reason"] == "the document says: Nairobi"
    assert "do not ask" in verdicts[2]["reason"]


def test_complex_questions_have_two_sentences_as_evidence_and_an_answer() -> None:
    found = ask("complex_questions", KENYA, pairs=[])["questions"]
    assert 2 <= len(found) <= 5
    text = folded(KENYA.text)
    for one in found:
        assert len(set(one["evidence"])) == 2
        assert all(folded(sentence) in text for sentence in one["evidence"])
        answer = ask("answer", KENYA, question=one["question"])
        assert answer["answerable"]
        pair = {"question": one["question"], "answer": answer["answer"]}
        assert ask("validate", KENYA, pairs=[pair])["verdicts"][0]["supported"]


def test_a_paraphrase_keeps_every_word_and_changes_the_order() -> None:
    reworded = ask("paraphrase", KENYA, faults=[])["paraphrase"]
    assert folded(reworded) != folded(KENYA.text)
    assert ask("validate_paraphrase", KENYA, paraphrase=reworded) == {"missing": [], "added": []}


def test_a_paraphrase_that_was_refused_comes_back_with_its_sentences_as_they_were() -> None:
    plain = ask("paraphrase", KENYA, faults=["a word is missing"])["paraphrase"]
    assert "The shilling lost 12% of its value, while exports of tea grew." in plain


def test_what_a_paraphrase_lost_or_added_is_named() -> None:
    found = ask("validate_paraphrase", KENYA, paraphrase=KENYA.text.replace("1963", "1964").replace("Nairobi", ""))
    assert set(found["missing"]) == {"1963", "nairobi"}
    assert found["added"] == ["1964"]


@pytest.mark.parametrize("text", ["", "  \n\t ", "😀 🎉", "...", "\u2013", "你好世界。", "\x00\x01"])
@pytest.mark.parametrize("task", ["simple_questions", "coverage"])
def test_a_text_without_facts_is_a_bad_reply(text: str, task: TaskName) -> None:
    with pytest.raises(BadReplyError, match="the rules find no fact to ask about"):
        ask(task, Document("x", text), missing=[], asked=[], pairs=[])


def test_a_text_without_facts_answers_nothing_and_has_no_complex_questions() -> None:
    empty = Document("x", "...")
    assert not ask("answer", empty, question="What?")["answerable"]
    assert ask("complex_questions", empty, pairs=[])["questions"] == []
    verdict = ask("validate", empty, pairs=[{"question": "What?", "answer": "x"}])["verdicts"][0]
    assert not verdict["supported"]


@pytest.mark.parametrize(
    ("text", "answer", "question"),
    [
        ("Столица страны — Найроби.", "Найроби", "Столица страны — ___?"),
        ("Πρωτεύουσα είναι το Ναϊρόμπι.", "Ναϊρόμπι", "Πρωτεύουσα είναι το ___?"),
        ("首都はナイロビ。", "ナイロビ", "首都は___?"),
        ("首都为内罗毕。", "内罗毕", "首都为___?"),
        ("यह 1963 में स्वतंत्र हुआ।", "1963", "यह ___ में स्वतंत्र हुआ?"),
        ("استقلت في عام 1963.", "1963", "استقلت في عام ___?"),
    ],
)
def test_other_scripts_get_gaps_without_english_words(text: str, answer: str, question: str) -> None:
    pairs, _ = rounds(Document("x", text))
    assert pairs == [{"question": question, "answer": answer}]


def test_other_languages_in_latin_letters_get_gaps_in_english_words() -> None:
    pairs, _ = rounds(Document("x", "Das Land wurde im Jahr 1963 unabhängig und ist nicht groß."))
    assert pairs[0]["answer"] == "1963"
    assert re.fullmatch(
        r'(Which|What) .*"Das Land wurde im Jahr ___ unabhängig und ist nicht groß"\?', pairs[0]["question"]
    )


def test_a_long_text_is_read_only_at_its_beginning() -> None:
    long = Document("x", "The tower is 30 meters high. " + "All of it is made of steel and glass. " * 100_000)
    facts = ask("coverage", long, pairs=[])["facts"]
    assert len(facts) < 1_000
    with pytest.raises(BadReplyError, match="longer than"):
        ask("paraphrase", long, faults=[])


SENTENCES = st.sampled_from(
    [
        "Ann Lee (born 4 May 1901) was a poet from Leeds.",
        "It was founded in 1880 by Bo Ek and Cy Orr, who left in 1901.",
        "In 1990, the club moved to Paris, Texas.",
        "About 12% of its 3,000 members live there; 40 do not.",
        'He wrote "The Sea" and «La Mer» for $5 million.',
        "See <b>this</b> [[link]] and {{that}} | a | b |\n```x```",
        "The capital of the U.S. state is e.g. Austin.",
        "Its colors are red, white and green",
        "1963年に「ナイロビ」で。",
        "Столица — Найроби!",
    ]
)
TEXTS = st.one_of(st.text(max_size=300), st.lists(st.one_of(SENTENCES, st.text(max_size=40)), max_size=6).map(" ".join))


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, title=st.one_of(st.just(""), st.sampled_from(["Ann Lee", "Kenya: People"]), st.text(max_size=20)))
def test_every_reply_over_any_text_passes_its_check(text: str, title: str) -> None:
    document = Document("x", text, title=title)
    try:
        pairs, coverage = rounds(document)
    except BadReplyError:
        return
    assert coverage[-1] == 1.0
    assert all(pair["answer"] and folded(pair["answer"]) not in folded(pair["question"]) for pair in pairs)
    assert all(verdict["supported"] for verdict in ask("validate", document, pairs=pairs)["verdicts"])
    for one in ask("complex_questions", document, pairs=pairs)["questions"]:
        assert len(set(one["evidence"])) == 2
        assert all(folded(sentence) in folded(text) for sentence in one["evidence"])
        assert ask("answer", document, question=one["question"])["answerable"]
    try:
        reworded = ask("paraphrase", document, faults=[])["paraphrase"]
    except BadReplyError:
        return
    ask("validate_paraphrase", document, paraphrase=reworded)


PROGRAM = """
import asyncio, json, sys
from clara_lightning.data.records import Document
from clara_lightning.synthesis.tasks import Request
from clara_lightning.synthesis.teachers.rules import RulesTeacher

async def all_of(document):
    fields = {"missing": [], "asked": [], "pairs": [], "faults": []}
    tasks = ("simple_questions", "coverage", "complex_questions", "paraphrase")
    return [dict((await RulesTeacher().reply(Request(task, document, fields))).value) for task in tasks]

print(json.dumps(asyncio.run(all_of(Document("x", **json.load(sys.stdin))))))
"""


def test_every_process_gives_the_same_answers() -> None:
    told = json.dumps({"text": KENYA.text, "title": KENYA.title})
    outputs = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            input=told,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
