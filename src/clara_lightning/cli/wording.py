"""jsonargparse's errors in our words: the setting's path and what is wrong with it, without the types it tried."""

from __future__ import annotations

import re

_UNION = re.compile(r"Does not validate against any of the Union subtypes Subtypes: \[.*?\] Errors: - ")
_NOT_NONE = re.compile(r" - Expected a <class 'NoneType'>")
_PATH_TRIED = re.compile(r"- Expected a path but \S+ either not accessible or invalid - ")
_CLASS = re.compile(r"(Parser key \"[\w.]+\"): Problem with given class_path '([^']*)': (?=Parser key|Option|Group)")
_DATACLASS = ("Config", "Settings", "Template")
_OPTION = re.compile(r"Option '([\w.]+)' is not accepted")
_GROUP = re.compile(r"Group '([\w.]+)' does not accept option '([\w.]+)'")
_TOP = re.compile(r"Subcommand '\w+' does not accept option '([\w.]+)'")
_VALUE = re.compile(r"(?: Given value type: <class '([\w.]+)'> Given value: |\. Got value: )(.*)", re.DOTALL)
_PLAIN = {"str", "int", "float", "bool", "NoneType", None}


def setting_error(message: str) -> str:
    """One line for a message of jsonargparse.

    Example:
        >>> setting_error('Parser key "trainer.max_steps": Expected a <class \\'int\\'>. Got value: x')
        "trainer.max_steps: expected int, got 'x'"
    """
    text = " ".join(message.split())
    for pattern in (_PATH_TRIED, _UNION, _NOT_NONE):
        text = pattern.sub("", text)
    text = _CLASS.sub(lambda found: found[1] + ("." if found[2].endswith(_DATACLASS) else ".init_args."), text)
    text = _GROUP.sub(r"\1.\2: no such setting", _OPTION.sub(r"\1: no such setting", text))
    text = _TOP.sub(r"\1: no such setting", text)
    text = re.sub(r"Parser key \"([\w.]+)\"(: |\.init_args\.|\.)", r"\1\2", text)
    text = re.sub(r"Expected an? (?:<class '([\w.]+)'>|typing\.)", lambda found: f"expected {found[1] or ''}", text)
    return _VALUE.sub(_got, text)


def _got(found: re.Match[str]) -> str:
    """The innermost value, where it is a single one; the outer ones are the whole configuration."""
    innermost = re.split(r" Given value type: ", found[2])[0]
    return f", got {innermost!r}" if found[1] in _PLAIN else ""
