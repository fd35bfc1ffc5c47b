"""Whether what was read is still the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from clara_lightning.data.rows import readable
from clara_lightning.errors import ClaraError


def fingerprint(path: str | Path) -> dict[str, str]:
    """What tells a file, or a folder with all that is in it, from a changed one.

    Args:
        path: a file or folder; of a data set on the hub nothing but the name is known.

    Returns:
        ``stat``: a hash of names, sizes and times; ``sha256``: of names and contents.

    Raises:
        ClaraError: it is missing or cannot be read.
    """
    return {"stat": _stat(path), "sha256": _sha256(path)}


def is_unchanged(path: str | Path, known: Mapping[str, str]) -> bool:
    """Whether it is what :func:`fingerprint` saw. It is read again only if sizes or times are other ones.

    Raises:
        ClaraError: it is missing or cannot be read.
    """
    return _stat(path) == known["stat"] or _sha256(path) == known["sha256"]


def _stat(path: str | Path) -> str:
    digest = hashlib.sha256(_hub_name(path))
    for name, file in _files(path):
        with readable(str(file)):
            status = file.stat()
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _sha256(path: str | Path) -> str:
    digest = hashlib.sha256(_hub_name(path))
    for name, path_of_file in _files(path):
        with readable(str(path_of_file)), path_of_file.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{name}\0{content}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _hub_name(path: str | Path) -> bytes:
    """The name of a data set on the hub; empty for what is on the disk."""
    name = os.fspath(path)
    return name.encode() if name.startswith("hf:/") else b""


def _files(path: str | Path) -> Iterator[tuple[str, Path]]:
    """Every file of a folder by its path in it, links left out; a file alone has no name, so that it can be renamed."""
    name = os.fspath(path)
    if _hub_name(path):
        return
    if not os.path.exists(name):
        raise ClaraError(f"{name}: no such file or directory")
    if not os.path.isdir(name):
        yield "", Path(name)
        return
    with readable(name):
        found = [Path(folder) / file for folder, _, files in os.walk(name, onerror=_refuse) for file in files]
    for file in sorted(found):
        if not file.is_symlink():
            yield file.relative_to(name).as_posix(), file


def _refuse(error: OSError) -> None:
    raise error
