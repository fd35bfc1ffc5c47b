"""The names that ``clara_lightning`` offers at its top."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import clara_lightning


@pytest.mark.parametrize("name", clara_lightning.__all__)
def test_each_name_is_there(name: str) -> None:
    assert getattr(clara_lightning, name).__name__ == name


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(clara_lightning.__file__).read_text(encoding="utf-8"))
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = [alias.name for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(imported) == sorted(clara_lightning.__all__)


def test_an_unknown_name_is_refused_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Unknown'"):
        _ = clara_lightning.Unknown  # type: ignore[attr-defined]
