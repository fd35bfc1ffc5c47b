"""A teacher for tests: it knows a small world by heart, and fails where it is told to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clara_lightning.data.records import Document
from clara_lightning.synthesis.tasks import Request
from clara_lightning.synthesis.teacher import Reply, Usage

FACTS = {"crosses": "the river Tana", "stands at": "Elvik", "was designed by": "Marit Holm", "was opened in": "1936"}


def a_bridge(number: int = 0) -> Document:
    """A document of four facts."""
    name = f"Bridge {number}"
    text = " ".join(f"{name} {verb} {what}." for verb, what in FACTS.items())
    return Document(f"b{number}", text, name)


class KnowingTeacher:
    """Asks two facts a round, answers from the document, and counts every request.

    Attributes:
        overrides: what it says instead, by task; an exception is raised.
        requests: all that it was asked.
    """

    name = "knowing"
    identity: Mapping[str, Any] = {"teacher": "knowing"}

    def __init__(self, overrides: Mapping[str, Callable[[Request], Any]] | None = None) -> None:
        self.overrides = dict(overrides or {})
        self.requests: list[Request] = []
        self.closed = False

    async def reply(self, request: Request) -> Reply:
        self.requests.append(request)
        make = self.overrides.get(request.task) or getattr(self, f"_{request.task}")
        value = make(request)
        if isinstance(value, BaseException):
            raise value
        return Reply(value, Usage(1, 100, 10))

    async def close(self) -> None:
        self.closed = True

    def questions(self, document: Document) -> dict[str, tuple[str, str]]:
        """Question to answer and fact."""
        return {f"What is it that {document.title} {verb}?": (what, f"{verb} {what}") for verb, what in FACTS.items()}

    def _simple_questions(self, request: Request) -> Any:
        asked = request.fields["asked"]
        return {"questions": [q for q in self.questions(request.document) if q not in asked][:2]}

    def _answer(self, request: Request) -> Any:
        known = self.questions(request.document) | {
            f"Whose work is the structure at Elvik, {request.document.title}?": ("Marit Holm", "")
        }
        answer = known.get(request.fields["question"], ("", ""))[0]
        return {"answerable": bool(answer), "answer": answer}

    def _validate(self, request: Request) -> Any:
        numbers = range(1, len(request.fields["pairs"]) + 1)
        return {"verdicts": [{"number": number, "supported": True, "reason": ""} for number in numbers]}

    def _coverage(self, request: Request) -> Any:
        asked = {pair["question"] for pair in request.fields["pairs"]}
        known = self.questions(request.document)
        return {"facts": [{"fact": fact, "covered": question in asked} for question, (_, fact) in known.items()]}

    def _complex_questions(self, request: Request) -> Any:
        question = f"Whose work is the structure at Elvik, {request.document.title}?"
        return {"questions": [{"question": question, "type": "bridge", "evidence": ["Marit Holm", "Elvik"]}]}

    def _paraphrase(self, request: Request) -> Any:
        sentences = request.document.text.rstrip(".").split(". ")
        return {"paraphrase": ". ".join([*reversed(sentences), request.document.title])}

    def _validate_paraphrase(self, request: Request) -> Any:
        return {"missing": [], "added": []}
