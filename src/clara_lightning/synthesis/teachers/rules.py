"""A teacher without a language model: sentences, patterns and gaps. The same document always gives the same answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from clara_lightning.synthesis.tasks import Request, TaskName
from clara_lightning.synthesis.teacher import BadReplyError, Reply
from clara_lightning.synthesis.teachers.from_rules.compare import differences
from clara_lightning.synthesis.teachers.from_rules.derive import Derived, derive
from clara_lightning.synthesis.teachers.from_rules.fact import Fact
from clara_lightning.synthesis.teachers.from_rules.paraphrase import paraphrase

Value = dict[str, Any]
_VERSION = 1
_AT_FIRST = 8
_JOINED = re.compile(r"; | and ")


class RulesTeacher:
    """Does every task of :data:`clara_lightning.synthesis.tasks.TASKS` by rules, offline and in about a millisecond.

    Its questions are about what a sentence says of numbers, dates, names and things; each answer is a part of the
    document, so that it can only be given by reading it. English gets ordinary questions where a rule fits; everything
    else, and every other language, gets questions with a gap.
    """

    @property
    def name(self) -> str:
        """``rules``."""
        return "rules"

    @property
    def identity(self) -> Mapping[str, Any]:
        """Its name and the version of its rules, which changes with any of its answers."""
        return {"teacher": "rules", "version": _VERSION}

    async def reply(self, request: Request) -> Reply:
        """The answer to a request.

        Raises:
            BadReplyError: the document has no fact that the rules find, or nothing that can be moved.
        """
        return Reply(_TASKS[request.task](request))

    async def close(self) -> None:
        """Nothing is held open."""


def _derived(request: Request) -> Derived:
    return derive(request.document.title, request.document.text)


def _facts(request: Request) -> tuple[Fact, ...]:
    facts = _derived(request).facts
    if not facts:
        raise BadReplyError("the rules find no fact to ask about")
    return facts


def _simple_questions(request: Request) -> Value:
    """Questions about the missing facts, or else about the most telling ones that are not asked yet."""
    facts = _facts(request)
    asked = {_folded(question) for question in request.fields.get("asked", ())}
    missing = {_folded(label) for label in request.fields.get("missing", ())}
    if missing:
        chosen = [fact for fact in facts if _folded(fact.label) in missing]
    else:
        fresh = [fact for fact in facts if asked.isdisjoint(map(_folded, fact.questions))]
        best = sorted(fresh, key=lambda fact: -fact.weight)[:_AT_FIRST]
        chosen = [fact for fact in fresh if any(fact is one for one in best)]
    questions = (_unasked(fact, asked) for fact in chosen)
    return {"questions": [question for question in questions if question]}


def _unasked(fact: Fact, asked: set[str]) -> str:
    return next((question for question in fact.questions if _folded(question) not in asked), "")


def _answer(request: Request) -> Value:
    answer = _derived(request).answers.get(_folded(request.fields["question"]), "")
    return {"answerable": bool(answer), "answer": answer}


def _validate(request: Request) -> Value:
    derived = _derived(request)
    text = " ".join(derived.sentences).casefold()
    verdicts = []
    for number, pair in enumerate(request.fields["pairs"], start=1):
        reason = _fault(pair, derived, text)
        verdicts.append({"number": number, "supported": not reason, "reason": reason})
    return {"verdicts": verdicts}


def _fault(pair: Mapping[str, Any], derived: Derived, text: str) -> str:
    """Why a pair does not hold; empty where it does."""
    answer = derived.answers.get(_folded(pair["question"]))
    if answer is None:
        return "the rules do not ask this question about the document"
    if _folded(answer).casefold() != _folded(pair["answer"]).casefold():
        return f"the document says: {answer}"
    parts = [answer] if answer.casefold() in text else _JOINED.split(answer)
    strange = [part for part in parts if part.casefold() not in text]
    return f"not in the document: {', '.join(strange)}" if strange else ""


def _coverage(request: Request) -> Value:
    facts = _facts(request)
    told = {(_folded(pair["question"]), _folded(pair["answer"]).casefold()) for pair in request.fields["pairs"]}
    return {"facts": [{"fact": fact.label, "covered": _is_told(fact, told)} for fact in facts]}


def _is_told(fact: Fact, told: set[tuple[str, str]]) -> bool:
    answer = _folded(fact.answer).casefold()
    return any((question, answer) in told for question in fact.questions)


def _complex_questions(request: Request) -> Value:
    derived = _derived(request)
    return {
        "questions": [
            {
                "question": one.question,
                "type": one.type,
                "evidence": [derived.sentences[index] for index in one.sentences],
            }
            for one in derived.complex_questions
        ]
    }


def _paraphrase(request: Request) -> Value:
    document = request.document
    return {"paraphrase": paraphrase(document.title, document.text, plain=bool(request.fields.get("faults")))}


def _validate_paraphrase(request: Request) -> Value:
    document = request.document
    names = f"{document.title} {_derived(request).topic.name}"
    missing, added = differences(document.text, request.fields["paraphrase"], names=names)
    return {"missing": missing, "added": added}


def _folded(text: str) -> str:
    return " ".join(text.split())


_TASKS: Mapping[TaskName, Callable[[Request], Value]] = {
    "simple_questions": _simple_questions,
    "answer": _answer,
    "validate": _validate,
    "coverage": _coverage,
    "complex_questions": _complex_questions,
    "paraphrase": _paraphrase,
    "validate_paraphrase": _validate_paraphrase,
}
