"""Checks of single fields. Each takes a value and the field's name, and returns the value typed or refuses it."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a boolean"),  # before int: a bool is an int to Python, and not to JSON
    ((int, float), "a number"),
    (str, "a string"),
    (list, "a list"),
    (Mapping, "an object"),
)


class RowError(ValueError):
    """One row is bad. The reader that knows the file and the line makes a :class:`ClaraError` of it."""


def text_at(row: Mapping[str, Any], key: str, *, prefix: str = "") -> str:
    """``row[key]``, which must be there and hold more than white space.

    Args:
        row: the object that holds the field.
        key: the field's name in the object.
        prefix: where the object stands in its row, such as ``passages[2].``.

    Raises:
        RowError: the field is missing, null, not a string, or empty.
    """
    return as_text(required(row, key, prefix=prefix), prefix + key)


def required(row: Mapping[str, Any], key: str, *, prefix: str = "") -> Any:
    """``row[key]``; a null counts as missing, since Parquet has no other way to leave a field out.

    Raises:
        RowError: the field is missing or null.
    """
    value = row.get(key)
    if value is None:
        raise RowError(f"{prefix}{key}: missing")
    return value


def optional_text_at(row: Mapping[str, Any], key: str, *, prefix: str = "") -> str | None:
    """``row[key]`` as in :func:`text_at`, or ``None`` where it is missing or null."""
    return None if row.get(key) is None else text_at(row, key, prefix=prefix)


def title_at(row: Mapping[str, Any], *, prefix: str = "") -> str:
    """``row["title"]``, the one string that may be empty; empty also where it is missing or null.

    Raises:
        RowError: the title is not a string.
    """
    value = row.get("title")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong_type(value, f"{prefix}title", "a string")
    return value


def flag_at(row: Mapping[str, Any], key: str, *, prefix: str = "", default: bool | None = None) -> bool:
    """``row[key]``, which must be a boolean; ``default``, where there is one, if it is missing or null.

    Raises:
        RowError: the field is not a boolean, or missing without a default.
    """
    if default is not None and row.get(key) is None:
        return default
    value = required(row, key, prefix=prefix)
    if not isinstance(value, bool):
        raise wrong_type(value, prefix + key, "a boolean")
    return value


def texts_at(row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """``row[key]``, which must be a list of at least one string, none of them empty.

    Raises:
        RowError: the field is missing, not a list, empty, or an item is not a string or empty.
    """
    return as_texts(required(row, key), key)


def as_text(value: Any, field: str) -> str:
    """``value``, which must be a string that holds more than white space.

    Raises:
        RowError: the value is not a string, or empty.
    """
    if not isinstance(value, str):
        raise wrong_type(value, field, "a string")
    if not value or value.isspace():
        raise RowError(f"{field}: empty")
    return value


def as_texts(value: Any, field: str) -> tuple[str, ...]:
    """``value``, which must be a list of at least one string, none of them empty.

    Raises:
        RowError: the value is not a list or empty, or an item is not a string or empty.
    """
    texts = as_text_list(value, field)
    if not texts:
        raise RowError(f"{field}: empty list")
    return texts


def as_text_list(value: Any, field: str) -> tuple[str, ...]:
    """``value``, which must be a list of strings, none of them empty; the list may be.

    Raises:
        RowError: the value is not a list, or an item is not a string or empty.
    """
    return tuple(as_text(item, f"{field}[{index}]") for index, item in enumerate(as_list(value, field)))


def as_list(value: Any, field: str) -> list[Any]:
    """``value``, which must be a list.

    Raises:
        RowError: it is something else.
    """
    if not isinstance(value, list):
        raise wrong_type(value, field, "a list")
    return value


def as_object(value: Any, field: str) -> Mapping[str, Any]:
    """``value``, which must be an object (a mapping).

    Raises:
        RowError: it is something else.
    """
    if not isinstance(value, Mapping):
        raise wrong_type(value, field, "an object")
    return value


def wrong_type(value: Any, field: str, expected: str) -> RowError:
    """The error for a value of another type than ``expected``; it shows the value, shortened and on one line."""
    kind = next((name for types, name in _KINDS if isinstance(value, types)), type(value).__name__)
    got = "null" if value is None else f"{kind} ({reprlib.repr(value)})"
    return RowError(f"{field}: expected {expected}, got {got}")
