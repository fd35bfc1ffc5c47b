"""The rooms of the package import in one direction, as ``docs/architecture.md`` says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "clara_lightning"
NAME = PACKAGE.name

# A room may import those above it that its row names; every room may import errors.
MAY_IMPORT: dict[str, set[str]] = {
    "data": set(),
    "objectives": set(),
    "backbone": {"data", "objectives"},
    "publishing": {"backbone"},
    "corpus": {"backbone", "data", "objectives"},
    "modules": {"backbone", "corpus", "data", "objectives", "publishing"},
    "synthesis": {"data"},
    "inference": {"backbone", "corpus", "data", "objectives"},
    "estimate": {"backbone", "corpus", "data", "objectives"},
    "evaluation": {"backbone", "corpus", "data", "inference", "objectives"},
    "demo": {"backbone", "corpus", "data", "evaluation", "inference", "objectives"},
    "cli": {
        "data",
        "objectives",
        "backbone",
        "corpus",
        "modules",
        "publishing",
        "synthesis",
        "inference",
        "estimate",
        "evaluation",
        "demo",
    },
}

TOP = {"__init__", "__main__"}  # the package's own face: lazy names of every room, and the command line


class Import(NamedTuple):
    """One import of a module, somewhere in a file, at its top or in a function."""

    file: str
    line: int
    module: str

    @property
    def room(self) -> str:
        """Where in the package the module is; empty outside the package."""
        package, _, rest = self.module.partition(".")
        return rest.partition(".")[0] if package == NAME else ""


def imports(path: Path) -> Iterator[Import]:
    """All imports of a file, relative ones resolved."""
    file = path.relative_to(PACKAGE).as_posix()
    package = [NAME, *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # "from clara_lightning import errors" imports a module, "from clara_lightning.errors import X" a name.
            names = [f"{module}.{alias.name}" for alias in node.names] if module == NAME else [module]
            yield from (Import(file, node.lineno, name) for name in names)


def room_of(path: Path) -> str:
    """The room of a file; for a file at the package's top its own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def files(room: str) -> list[Path]:
    """All files of a room."""
    return sorted((PACKAGE / room).rglob("*.py"))


def crossings(room: str) -> list[Import]:
    """Imports of a room's files from other rooms."""
    return [found for path in files(room) for found in imports(path) if found.room not in ("", room, "errors")]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_its_row_names(room: str) -> None:
    broken = [
        f"{found.file}:{found.line} imports {found.module}"
        for found in crossings(room)
        if found.room not in MAY_IMPORT[room]
    ]
    assert not broken


def test_the_table_has_no_way_back() -> None:
    rooms = list(MAY_IMPORT)
    assert all(rooms.index(other) < rooms.index(room) for room in rooms for other in MAY_IMPORT[room])


def test_every_folder_with_code_is_a_room() -> None:
    assert {room_of(path) for path in PACKAGE.rglob("*.py")} <= MAY_IMPORT.keys() | TOP | {"errors"}


def test_errors_import_nothing_of_ours() -> None:
    assert not [found for found in imports(PACKAGE / "errors.py") if found.room]


@pytest.mark.parametrize("room", ["backbone", "objectives"])
def test_what_computes_knows_no_lightning(room: str) -> None:
    roots = {found.module.partition(".")[0] for path in files(room) for found in imports(path)}
    assert not roots & {"lightning", "pytorch_lightning", "jsonargparse"}


def test_the_map_says_the_same() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)/` \|.*\| (.*) \|$", text, flags=re.MULTILINE)
    told = {room: set(re.findall(r"`(\w+)`", cell)) for room, cell in rows}
    built = {room for room in MAY_IMPORT if files(room)}
    assert told == {room: MAY_IMPORT[room] & built for room in MAY_IMPORT if room in built}
