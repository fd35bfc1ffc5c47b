"""jsonargparse's errors in our words: the setting's path and what is wrong with it, without the types it tried."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches

_UNION = re.compile(r"Does not validate against any of the Union subtypes Subtypes: \[.*?\] Errors: - ")
_NOT_NONE = re.compile(r" - Expected a <class 'NoneType'>")
_PATH_TRIED = re.compile(r"- Expected a path but \S+ either not accessible or invalid - ")
_CLASS = re.compile(r"(Parser key \"[\w.]+\"): Problem with given class_path '([^']*)': (?=Parser key|Option|Group)")
_DATACLASS = ("Config", "Settings", "Template", "Mix")
_DOTTED = re.compile(r"Expected a dot import path string: .*, got")
_OPTION = re.compile(r"Option '([\w.]+)' is not accepted")
_GROUP = re.compile(r"Group '([\w.]+)' does not accept option '([\w.]+)'")
_TOP = re.compile(r"Subcommand '\w+' does not accept option '([\w.]+)'")
_UNKNOWN = re.compile(r"^unrecognized arguments: --([\w.]+).*")
_VALUE = re.compile(r"(?: Given value type: <class '([\w.]+)'> Given value: |\. Got value: )(.*)", re.DOTALL)
_MISSING = re.compile(r"((?:\w+\.)*)(\w+): no such setting$")
_CHOICES = re.compile(r"expected Literal\[([^\]]*)\]")
_PLAIN = {"str", "int", "float", "bool", "NoneType", None}


def setting_error(message: str, known: Mapping[str, Collection[str]] | None = None) -> str:
    """One line for a message of jsonargparse.

    Args:
        message: its words.
        known: names of the settings below a path, to offer the nearest one for a name that does not exist.

    Example:
        >>> setting_error('Parser key "trainer.max_steps": Expected a <class \\'int\\'>. Got value: x')
        "trainer.max_steps: expected int, got 'x'"
        >>> setting_error('Parser key "best.mode": Expected a typing.Literal[\\'max\\', \\'min\\']. Got value: up')
        "best.mode: expected one of max, min, got 'up'"
        >>> setting_error("Group 'trainer' does not accept option 'max_stepz'", {"trainer": ["max_steps", "devices"]})
        'trainer.max_stepz: no such setting; is it max_steps?'
    """
    text = " ".join(message.split())
    for pattern in (_PATH_TRIED, _UNION, _NOT_NONE):
        text = pattern.sub("", text)
    text = _CLASS.sub(lambda found: found[1] + ("." if found[2].endswith(_DATACLASS) else ".init_args."), text)
    text = _GROUP.sub(r"\1.\2: no such setting", _OPTION.sub(r"\1: no such setting", text))
    text = _UNKNOWN.sub(r"\1: no such setting", _TOP.sub(r"\1: no such setting", text))
    text = re.sub(r"Parser key \"([\w.]+)\"(: |\.init_args\.|\.)", r"\1\2", text)
    text = re.sub(r"Expected an? (?:<class '([\w.]+)'>|typing\.)", lambda found: f"expected {found[1] or ''}", text)
    text = _CHOICES.sub(lambda found: "expected one of " + found[1].replace("'", ""), text)
    text = _VALUE.sub(_got, text)
    text = _DOTTED.sub("expected a group of settings, or a class by its path, got", text)
    missing = _MISSING.match(text)
    return text + _nearest(missing[1] or "", missing[2], known or {}) if missing else text


def _nearest(path: str, name: str, known: Mapping[str, Collection[str]]) -> str:
    names = known.get(path.rstrip("."), ())
    close = get_close_matches(name, names, n=1)
    return f"; is it {close[0]}?" if close else ""


def _got(found: re.Match[str]) -> str:
    """The innermost value, where it is a single one; the outer ones are the whole configuration."""
    innermost = re.split(r" Given value type: ", found[2])[0]
    return f", got {innermost!r}" if found[1] in _PLAIN else ""
