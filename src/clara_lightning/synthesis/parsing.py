"""A model's text to the JSON object of a task: strict where the text is, tolerant where it only almost is.

Models wrap JSON in prose and fences, leave a comma or a quote out, answer with a bare list, or forget the JSON and
write the answer itself. All of that is read. What cannot be read is said in words, so that the report can count it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from clara_lightning.data.fields import RowError
from clara_lightning.synthesis.tasks import TASKS, Request

_THOUGHT = re.compile(r"<think(ing)?>.*?</think(ing)?>", re.DOTALL)
_FENCE = re.compile(r"```(?:json|JSON)?[ \t]*\n(?P<body>.*?)(?:\n```|\Z)", re.DOTALL)
_ITEM = re.compile(r"^\s*(?:\d{1,3}[.):]|[-*•])\s+(?P<text>\S.*)$", re.MULTILINE)
_REFUSAL = re.compile(
    r"\s*(?:(?:i['\u2019]?m|i am) (?:very )?sorry|sorry,|i (?:can(?:no|['\u2019])?t|won['\u2019]t|am unable to)"
    r"|as an ai\b|unfortunately, i)",
    re.IGNORECASE,
)
_UNANSWERABLE = re.compile(
    r"\W*(?:n/?a|none|unknown|unanswerable|not (?:stated|mentioned|given|answerable)(?: in the \w+)?)\W*",
    re.IGNORECASE,
)
_QUESTION_MARKS = ("?", "\uff1f", "\u061f")  # also the full-width and the Arabic one
_SHOWN = 80


def parse_reply(text: str, request: Request, *, cut: bool = False) -> dict[str, Any]:
    """The checked answer in a model's text.

    Args:
        text: what the model wrote.
        request: what it was asked.
        cut: whether the text ended because it was too long. The last entry of a list is then left out, since it may be
            half an entry; a text that is no list is not used.

    Raises:
        RowError: there is nothing in it that can be used; the message says why, in a few words.
    """
    text = _THOUGHT.sub("", text).strip()
    if not text:
        raise RowError("empty")
    if _REFUSAL.match(text):
        raise RowError(f"refused: {_shown(text)}")
    value = _json(text)
    if value is None:
        value = _from_words(text, request)
    answer = _as_object(value, request)
    if cut:
        answer = _without_last(answer, request)
    return TASKS[request.task].check(answer, request)


def _json(text: str) -> Any:
    """The JSON in the text: all of it, in a fence, from the first bracket on, or mended; ``None`` if there is none."""
    for candidate in (text, *(match["body"] for match in _FENCE.finditer(text))):
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):
            continue
    starts = [place for place in (text.find("{"), text.find("[")) if place >= 0]
    if not starts:
        return None
    rest = text[min(starts) :]
    try:
        return json.JSONDecoder().raw_decode(rest)[0]
    except (ValueError, RecursionError):
        return _mended(rest)


def _mended(text: str) -> Any:
    import json_repair

    try:
        value = json_repair.loads(text, skip_json_loads=True)
    except (ValueError, RecursionError):
        return None
    return value if value else None


def _from_words(text: str, request: Request) -> Any:
    """What the text says without any JSON, for the tasks whose answer is plain text."""
    if request.task == "simple_questions":
        items = [match["text"].strip() for match in _ITEM.finditer(text)] or text.splitlines()
        if questions := [item for item in items if item.rstrip().endswith(_QUESTION_MARKS)]:
            return {"questions": questions}
    elif request.task == "answer":
        return {"answerable": not _UNANSWERABLE.fullmatch(text), "answer": text}
    elif request.task == "paraphrase":
        return {"paraphrase": text}
    raise RowError(f"no JSON: {_shown(text)}")


def _as_object(value: Any, request: Request) -> Mapping[str, Any]:
    """The answer as an object; a bare list is the one list that the task asks for."""
    properties = TASKS[request.task].schema["properties"]
    if isinstance(value, list):
        lists = [name for name, schema in properties.items() if schema["type"] == "array"]
        if len(lists) == 1:
            return {lists[0]: value}
    if not isinstance(value, Mapping):
        raise RowError(f"no JSON object: {_shown(json.dumps(value))}")
    return value


def _without_last(answer: Mapping[str, Any], request: Request) -> Mapping[str, Any]:
    names = [name for name, value in answer.items() if isinstance(value, list) and len(value) > 1]
    if len(TASKS[request.task].schema["properties"]) != 1 or not names:
        raise RowError("cut: longer than --max-tokens")
    return {**answer, names[0]: answer[names[0]][:-1]}


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
