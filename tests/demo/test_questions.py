"""The demo's questions: answers in their gold passages, no leak between splits, the same every time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clara_lightning.data.readers import read_documents, read_questions, read_scp
from clara_lightning.data.records import Document, Question
from clara_lightning.demo.asks import ASKS
from clara_lightning.demo.asks_linked import COMPARISONS
from clara_lightning.demo.dataset import DATA_FILES, DemoData, write_demo_data
from clara_lightning.demo.factbook import load_places
from clara_lightning.demo.questions import alternatives, build_questions

HELD_OUT = {place.code for place in load_places() if place.split == "held-out"}


def kind(question: Question) -> str:
    return question.id.split("/")[0]


def codes(ids: tuple[str, ...]) -> set[str]:
    return {identifier.split("/")[0] for identifier in ids}


@pytest.fixture(scope="session")
def questions(data: DemoData) -> list[Question]:
    return [*data.qa_train, *data.qa_val]


def test_question_ids_are_unique(questions: list[Question]) -> None:
    assert len({question.id for question in questions}) == len(questions)


def test_every_kind_is_in_both_splits(data: DemoData) -> None:
    kinds = {"simple", "bridge", "comparison"}
    assert {kind(question) for question in data.qa_train} == kinds == {kind(question) for question in data.qa_val}


def test_the_answer_stands_in_a_gold_passage(data: DemoData, questions: list[Question]) -> None:
    by_id = {document.id: document for document in data.documents}
    for question in questions:
        texts = [by_id[gold].text for gold in question.gold_ids]
        assert any(answer.removeprefix("The ") in texts[-1] for answer in question.answers) or (
            kind(question) == "comparison" and any(question.answers[0] in text for text in texts)
        ), question


def test_answers_are_short_and_not_told_by_the_question(questions: list[Question]) -> None:
    for question in questions:
        assert len(question.answers[0].split()) <= 5, question
        if kind(question) == "bridge":
            assert question.answers[0].casefold() not in question.question.casefold(), question


def test_gold_passages_of_two_step_questions_are_two(questions: list[Question]) -> None:
    linked = [question for question in questions if kind(question) != "simple"]
    assert all(len(set(question.gold_ids)) == 2 for question in linked)
    assert all(len(codes(question.gold_ids)) == {"bridge": 1, "comparison": 2}[kind(question)] for question in linked)


def test_the_answer_of_a_bridge_is_not_in_its_first_passage(data: DemoData, questions: list[Question]) -> None:
    by_id = {document.id: document for document in data.documents}
    for question in questions:
        if kind(question) == "bridge":
            assert question.answers[0] not in by_id[question.gold_ids[0]].text, question


def test_a_bridge_does_not_name_its_country(questions: list[Question]) -> None:
    names = {place.code: place.name for place in load_places()}
    for question in questions:
        if kind(question) == "bridge":
            assert names[codes(question.gold_ids).pop()].casefold() not in question.question.casefold()


def test_held_out_places_stay_out_of_training(data: DemoData) -> None:
    for question in data.qa_train:
        assert not codes(question.gold_ids) & HELD_OUT
        assert not codes(tuple(passage.id or "" for passage in question.passages)) & HELD_OUT
    for example in data.scp_val:
        assert codes((example.id,)) <= HELD_OUT


def test_documents_for_training_are_all_but_those_of_held_out_places(data: DemoData) -> None:
    training = [document.id for document in data.documents_train]
    assert not codes(tuple(training)) & HELD_OUT
    assert training == [document.id for document in data.documents if not codes((document.id,)) & HELD_OUT]
    sections = {document.metadata["section"] for document in data.documents_train}
    assert sections == {document.metadata["section"] for document in data.documents} > {"background"}


def test_training_questions_do_not_ask_about_a_held_out_place_by_name(data: DemoData) -> None:
    every = {place.name for place in load_places()}
    held_out = {place.name for place in load_places() if place.code in HELD_OUT}
    longest = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in sorted(every, key=len, reverse=True)))
    for question in data.qa_train:
        assert not set(longest.findall(question.question)) & held_out, question


def test_every_question_brings_its_gold_passages_among_twenty(questions: list[Question]) -> None:
    for question in questions:
        ids = [passage.id for passage in question.passages]
        assert len(ids) == len(set(ids)) == 20
        assert {passage.id for passage in question.passages if passage.gold} == set(question.gold_ids)


def test_distractors_are_of_the_same_place_and_of_the_same_section(data: DemoData) -> None:
    question = next(question for question in data.qa_train if kind(question) == "simple")
    code, section, _ = question.gold_ids[0].split("/")
    others = [passage.id or "" for passage in question.passages if not passage.gold]
    assert sum(identifier.startswith(f"{code}/") for identifier in others) >= 6
    assert sum(identifier.split("/")[1] == section for identifier in others) >= 9


def test_a_comparison_names_the_place_with_the_larger_number(data: DemoData) -> None:
    question = next(q for q in data.qa_train if q.id.startswith("comparison/area/"))
    by_id = {document.id: document for document in data.documents}
    areas = {}
    for gold in question.gold_ids:
        found = re.search(r"total area is ([\d,]+) square", by_id[gold].text)
        assert found
        areas[by_id[gold].metadata["place"]] = int(found[1].replace(",", ""))
    assert question.answers[0] == max(areas, key=lambda name: areas[name])


def test_stage_1_is_validated_on_every_question_that_one_passage_answers(data: DemoData) -> None:
    asked = [pair.question for example in data.scp_val for pair in example.pairs]
    assert sorted(asked) == sorted(q.question for q in data.qa_val if kind(q) == "simple")
    for example in data.scp_val:
        assert all(pair.answer in example.document for pair in example.pairs), example.id


def test_every_question_kind_has_three_different_wordings() -> None:
    wordings = [entry.questions for entry in ASKS] + [entry.questions for entry in COMPARISONS]
    assert all(len(set(questions)) >= 3 for questions in wordings)


def test_questions_need_only_the_passages_of_the_corpus_given(data: DemoData) -> None:
    corpus: list[Document] = [document for document in data.documents if document.metadata["section"] == "government"]
    asked = build_questions(corpus, "train")
    assert asked and {identifier.split("/")[1] for q in asked for identifier in q.gold_ids} == {"government"}


def test_dates_and_accents_have_alternatives() -> None:
    assert alternatives("28 July 1821") == ("28 July 1821", "July 28, 1821")
    assert alternatives("Bogotá") == ("Bogotá", "Bogota")


def test_files_have_the_same_bytes_twice_and_read_back(tmp_path: Path) -> None:
    first, second = (write_demo_data(tmp_path / name, size=120, seed=3) for name in "ab")
    assert sorted(path.name for path in first.folder.iterdir()) == sorted(DATA_FILES)
    for name in DATA_FILES:
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()
    assert len(list(read_documents(first.folder / "documents.jsonl"))) == first.num_documents
    assert len(list(read_questions(first.folder / "qa_val.jsonl"))) == first.num_qa_val
    assert len(list(read_documents(first.folder / "documents_train.jsonl"))) == first.num_documents_train
    assert len(list(read_scp(first.folder / "scp_val.jsonl"))) == first.num_scp_val


def test_another_seed_words_the_questions_anew(data: DemoData) -> None:
    again = build_questions(data.documents, "held-out", seed=1)
    assert {question.question for question in again} != {question.question for question in data.qa_val}
