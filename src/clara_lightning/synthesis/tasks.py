"""What a teacher is asked to do with a document, and what counts as an answer to it.

A :class:`Request` names one of :data:`TASKS`, a document, and the task's fields; the answer is a JSON object of the
task's schema. ``Task.check`` stands between a teacher and the pipeline: whatever it lets through is well formed.

==================== ============================================== ==================================================
task                 fields                                         answer
==================== ============================================== ==================================================
simple_questions     ``missing``: facts, ``asked``: questions       ``questions``: strings
answer               ``question``                                   ``answerable``, ``answer``
validate             ``pairs``: question and answer                 ``verdicts``: number, supported, reason
coverage             ``pairs``                                      ``facts``: fact, covered
complex_questions    ``pairs``                                      ``questions``: question, type, evidence (2 or more)
paraphrase           ``faults``: what was wrong with the last one   ``paraphrase``
validate_paraphrase  ``paraphrase``                                 ``missing``, ``added``: strings
==================== ============================================== ==================================================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from clara_lightning.data import fields
from clara_lightning.data.fields import RowError
from clara_lightning.data.records import Document

TaskName = Literal[
    "simple_questions",
    "answer",
    "validate",
    "coverage",
    "complex_questions",
    "paraphrase",
    "validate_paraphrase",
]
ComplexType = Literal["bridge", "comparison", "aggregation", "temporal"]
Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """One thing to do with one document.

    Attributes:
        task: what.
        document: with what; its id and metadata do not matter to the teacher.
        fields: the task's own fields, plain JSON values.
    """

    task: TaskName
    document: Document
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A hash of all that the answer may depend on: 32 hexadecimal digits."""
        parts = [self.task, self.document.title, self.document.text, dict(self.fields)]
        return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Task:
    """A task: how its answer is formed.

    Attributes:
        schema: JSON schema of the answer, in the subset that engines for structured output share.
        check: the answer with its strings stripped and nothing in it that the schema does not name.

    Raises:
        RowError: by ``check``, where a field is missing or of a wrong type.
    """

    schema: Mapping[str, Any]
    check: Callable[[Answer, Request], dict[str, Any]]


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}


def _texts(answer: Answer, key: str) -> list[str]:
    """Distinct strings, blank ones left out: no teacher is refused for an empty line in a list."""
    texts = []
    for index, item in enumerate(fields.as_list(fields.required(answer, key), key)):
        if not isinstance(item, str):
            raise fields.wrong_type(item, f"{key}[{index}]", "a string")
        texts.append(" ".join(item.split()))
    return list(dict.fromkeys(text for text in texts if text))


def _objects(answer: Answer, key: str) -> list[tuple[str, Mapping[str, Any]]]:
    items = fields.as_list(fields.required(answer, key), key)
    return [(f"{key}[{index}].", fields.as_object(item, f"{key}[{index}]")) for index, item in enumerate(items)]


def _line(row: Answer, key: str, prefix: str) -> str:
    return " ".join(fields.text_at(row, key, prefix=prefix).split())


def _simple_questions(answer: Answer, request: Request) -> dict[str, Any]:
    return {"questions": _texts(answer, "questions")}


def _answer(answer: Answer, request: Request) -> dict[str, Any]:
    text = answer.get("answer")
    if not fields.flag_at(answer, "answerable", default=True) or text is None or text == "":
        return {"answerable": False, "answer": ""}
    return {"answerable": True, "answer": _line(answer, "answer", "")}


def _validate(answer: Answer, request: Request) -> dict[str, Any]:
    verdicts = []
    for prefix, item in _objects(answer, "verdicts"):
        number = fields.required(item, "number", prefix=prefix)
        if not isinstance(number, int) or isinstance(number, bool):
            raise fields.wrong_type(number, f"{prefix}number", "a whole number")
        if not 1 <= number <= len(request.fields["pairs"]):
            continue  # a verdict about nothing: what is said of the others holds
        reason = item.get("reason")
        verdicts.append(
            {
                "number": number,
                "supported": fields.flag_at(item, "supported", prefix=prefix),
                "reason": " ".join(reason.split()) if isinstance(reason, str) else "",
            }
        )
    return {"verdicts": verdicts}


def _coverage(answer: Answer, request: Request) -> dict[str, Any]:
    facts = [
        {"fact": _line(item, "fact", prefix), "covered": fields.flag_at(item, "covered", prefix=prefix)}
        for prefix, item in _objects(answer, "facts")
    ]
    if not facts:
        raise RowError("facts: empty list")
    return {"facts": facts}


def _complex_questions(answer: Answer, request: Request) -> dict[str, Any]:
    questions = []
    for prefix, item in _objects(answer, "questions"):
        kind = fields.required(item, "type", prefix=prefix)
        if kind not in get_args(ComplexType):
            raise fields.wrong_type(kind, f"{prefix}type", " or ".join(get_args(ComplexType)))
        question = _line(item, "question", prefix)
        questions.append({"question": question, "type": kind, "evidence": _texts(item, "evidence")})
    return {"questions": questions}


def _paraphrase(answer: Answer, request: Request) -> dict[str, Any]:
    return {"paraphrase": fields.text_at(answer, "paraphrase").strip()}


def _validate_paraphrase(answer: Answer, request: Request) -> dict[str, Any]:
    return {"missing": _texts(answer, "missing"), "added": _texts(answer, "added")}


_VERDICT = _object(number={"type": "integer"}, supported=_FLAG, reason=_TEXT)
_COMPLEX = _object(
    question=_TEXT,
    type={"type": "string", "enum": list(get_args(ComplexType))},
    evidence={"type": "array", "items": _TEXT, "minItems": 2},
)
TASKS: Mapping[TaskName, Task] = {
    "simple_questions": Task(_object(questions=_list(_TEXT)), _simple_questions),
    "answer": Task(_object(answerable=_FLAG, answer=_TEXT), _answer),
    "validate": Task(_object(verdicts=_list(_VERDICT)), _validate),
    "coverage": Task(_object(facts=_list(_object(fact=_TEXT, covered=_FLAG))), _coverage),
    "complex_questions": Task(_object(questions=_list(_COMPLEX)), _complex_questions),
    "paraphrase": Task(_object(paraphrase=_TEXT), _paraphrase),
    "validate_paraphrase": Task(_object(missing=_list(_TEXT), added=_list(_TEXT)), _validate_paraphrase),
}
