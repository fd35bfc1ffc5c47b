"""From a request to the messages of a model, by templates that a user can replace.

A template is a Markdown file named after its task. Its sections ``# system``, ``# user`` and ``# assistant`` are the
turns of a conversation: the demonstrations come first, the last section is the request itself. Sections are Jinja
templates over ``document`` (title and text) and the task's fields (see :mod:`clara_lightning.synthesis.tasks`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from clara_lightning.data.records import Document
from clara_lightning.data.rows import readable
from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.chat import Message
from clara_lightning.synthesis.tasks import Request, TaskName

if TYPE_CHECKING:
    from jinja2 import Template

_SECTION = re.compile(r"^# (system|user|assistant)[ \t]*$", re.MULTILINE)
# A document that spells the mark of its own end could go on as an instruction.
_MARK = re.compile(r"<(?=/?(?:document|paraphrase)\b)", re.IGNORECASE)
_SAMPLE: Mapping[str, Any] = {
    "document": "Title\n Text.",
    "missing": ["fact"],
    "asked": ["question?"],
    "question": "question?",
    "pairs": [{"question": "question?", "answer": "answer"}],
    "faults": ["fault"],
    "paraphrase": "Text.",
}


@dataclass(frozen=True)
class PromptFile:
    """One template.

    Attributes:
        name: the file as messages name it.
        text: its content.
    """

    name: str
    text: str

    @cached_property
    def sections(self) -> tuple[tuple[str, Template], ...]:
        """Role and template of each turn.

        Raises:
            ClaraError: there is no section, the last is not ``# user``, or Jinja cannot read one.
        """
        from jinja2 import StrictUndefined, TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
        before, *parts = _SECTION.split(self.text)
        roles, bodies = parts[::2], parts[1::2]
        if before.strip() or not roles or roles[-1] != "user":
            raise ClaraError(f"{self.name}: expected sections '# system', '# user', '# assistant', the last '# user'")
        try:
            turns = tuple(
                (role, environment.from_string(body.strip("\n"))) for role, body in zip(roles, bodies, strict=True)
            )
            for _, template in turns:
                template.render(_SAMPLE)
        except TemplateError as error:
            raise ClaraError(f"{self.name}: {' '.join(str(error).split())}") from error
        return turns


class Prompts:
    """The templates of all tasks.

    Args:
        folder: templates that take the place of our own, by name; those that are not in it stay.

    Raises:
        ClaraError: the folder is missing, holds no template, or one of its templates is wrong.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.templates = {task: _our_own(task) for task in get_args(TaskName)}
        if folder is not None:
            self.templates |= _of_user(Path(folder))
        for template in self.templates.values():
            _ = template.sections  # a mistake is found before the first request

    @property
    def fingerprint(self) -> str:
        """A hash of all templates, 16 hexadecimal digits."""
        text = "\0".join(f"{task}\0{self.templates[task].text}" for task in sorted(self.templates))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def messages(self, request: Request) -> tuple[Message, ...]:
        """The conversation for a request."""
        values = {"document": _quoted(request.document), **request.fields}
        sections = self.templates[request.task].sections
        return tuple(cast("Message", {"role": role, "content": body.render(values)}) for role, body in sections)


def write_prompts(folder: str) -> list[Path]:
    """Write our own templates into a folder, as a beginning of one's own; none that is there is replaced.

    Raises:
        ClaraError: one of the files is there already, or cannot be written.
    """
    paths = [Path(folder) / f"{task}.md" for task in get_args(TaskName)]
    if taken := next((path for path in paths if path.exists()), None):
        raise ClaraError(f"{taken}: is there already")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path, task in zip(paths, get_args(TaskName), strict=True):
            path.write_text(_our_own(task).text, encoding="utf-8")
    except OSError as error:
        raise ClaraError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return paths


def _our_own(task: TaskName) -> PromptFile:
    path = files("clara_lightning.synthesis").joinpath("templates", f"{task}.md")
    return PromptFile(f"templates/{task}.md", path.read_text(encoding="utf-8"))


def _of_user(folder: Path) -> dict[TaskName, PromptFile]:
    if not folder.is_dir():
        raise ClaraError(f"--prompts: {folder}: no such folder")
    known = {f"{task}.md": task for task in get_args(TaskName)}
    found = sorted(path for path in folder.iterdir() if path.suffix == ".md")
    if unknown := [path.name for path in found if path.name not in known]:
        raise ClaraError(f"--prompts: {folder / unknown[0]}: no task of this name (there are {', '.join(known)})")
    if not found:
        raise ClaraError(f"--prompts: {folder}: holds none of {', '.join(known)}")
    templates = {}
    for path in found:
        with readable(str(path), UnicodeDecodeError):
            templates[known[path.name]] = PromptFile(str(path), path.read_text(encoding="utf-8"))
    return templates


def _quoted(document: Document) -> str:
    return _MARK.sub("\u2039", document.content)
