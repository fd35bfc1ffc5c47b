"""A place that fsspec reaches by an address, such as ``s3://bucket/store``: its files read, written and listed.

What goes wrong on the way is tried again, with a growing pause, and is then one line.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import fsspec
from fsspec.registry import known_implementations

from clara_lightning.errors import ClaraError

log = logging.getLogger(__name__)

PAUSES = (1.0, 4.0, 16.0, 60.0)
"""Seconds between one attempt and the next."""
AT_ONCE = 16
"""So many small files are read, or removed, at the same time."""

_WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "ocilake", "oss", "hf", "memory"})
"""Protocols of stores of objects: one appears whole under its name or not at all, and there are no folders to make."""

_CLIENT_ERRORS = (
    ("aiohttp", "ClientError"),
    ("azure.core.exceptions", "AzureError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
)
"""What packages behind fsspec raise that is no ``OSError``."""

_FINAL = (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError, NotImplementedError)
_FINAL_CODES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_FINAL_NAMES = frozenset({"NoCredentialsError", "ProfileNotFound", "DefaultCredentialsError"})

_T = TypeVar("_T")


def is_address(path: object) -> TypeGuard[str]:
    """Whether a path is an address of fsspec.

    Example:
        >>> is_address("s3://bucket/store"), is_address("runs/store")
        (True, False)
    """
    return isinstance(path, str) and "://" in path


@dataclass(frozen=True)
class Address:
    """A folder behind an address.

    Attributes:
        url: the address, without a slash at its end.
        setting: what the user named it by, for messages.
    """

    url: str
    setting: str

    @classmethod
    def of(cls, url: str, *, setting: str) -> Address:
        """The folder at an address.

        Raises:
            ClaraError: it is none, there is no such protocol, or the package that speaks it is not installed.
        """
        if not is_address(url):
            raise ClaraError(f"{setting}: {url} is no address, such as s3://bucket/store")
        protocol = url.partition("://")[0]
        try:
            fsspec.get_filesystem_class(protocol)
        except ValueError as error:
            raise ClaraError(f"{setting}: {url}: {protocol}:// is no protocol that fsspec knows") from error
        except ImportError as error:
            raise ClaraError(f"{setting}: {url}: {protocol}:// {_needs(protocol)}") from error
        if not url.partition("://")[2].strip("/"):
            raise ClaraError(f"{setting}: {url} names no folder")
        return cls(url.rstrip("/"), setting)

    def read(self, name: str) -> bytes | None:
        """A small file's content; ``None`` where there is none."""
        try:
            return bytes(self._attempt("read", name, lambda system, path: system.cat_file(path)))
        except FileNotFoundError:
            return None

    def read_all(self, names: Iterable[str]) -> list[bytes | None]:
        """As :meth:`read`, of many."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self.read, names))

    def names(self, folder: str = "") -> frozenset[str]:
        """Names of what lies in a folder here, by one listing."""
        try:
            found = self._attempt("listed", folder, lambda system, path: _listed(system, path))
        except FileNotFoundError:
            return frozenset()
        return frozenset(path.rstrip("/").rpartition("/")[2] for path in found)

    def num_bytes(self) -> int:
        """Of all files here and below."""
        found = self._attempt("listed", "", lambda system, path: system.find(path, detail=True))
        return sum(entry["size"] for entry in found.values())

    def download(self, name: str, target: Path) -> str:
        """Write a file's content to a file of this machine.

        Returns:
            Its hex sha256.

        Raises:
            FileNotFoundError: there is none.
        """
        self._attempt(f"brought to {target.parent}", name, lambda system, path: system.get_file(path, str(target)))
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        return digest

    def upload(self, source: Path, name: str) -> None:
        """Put a file of this machine here, whole or not at all; one that is there is replaced."""
        self._put(name, lambda system, path: system.put_file(str(source), path))

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; one that is not there is none to remove."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self._remove_one, names))

    def _remove_one(self, name: str) -> None:
        try:
            self._attempt("removed", name, lambda system, path: system.rm_file(path))
        except FileNotFoundError:
            return

    def _put(self, name: str, put: Callable[[Any, str], object]) -> None:
        is_whole = self.url.partition("://")[0] in _WHOLE

        def place(system: Any, path: str) -> None:
            if is_whole:
                put(system, path)
                return
            folder, _, last = path.rpartition("/")
            working = f"{folder}/.{last}.tmp"
            system.makedirs(folder, exist_ok=True)
            put(system, working)
            system.mv(working, path)

        try:
            self._attempt("written", name, place)
        except FileNotFoundError as error:  # no such bucket
            raise self._failed("written", name, error) from error

    def _attempt(self, done: str, name: str, action: Callable[[Any, str], _T]) -> _T:
        """Try until it works or there is no hope. A file that is not there is for the caller to judge."""
        pauses = iter(PAUSES)
        while True:
            try:
                # Asked for each time: fsspec keeps one for each process and thread, which others must not use.
                system, root = fsspec.core.url_to_fs(self.url)
                return action(system, f"{root}/{name}" if name else root)
            except FileNotFoundError:
                raise
            except _storage_errors() as error:
                pause = None if _is_final(error) else next(pauses, None)
                if pause is None:
                    raise self._failed(done, name, error) from error
                log.warning("%s/%s: not %s: %s; again in %g seconds", self.url, name, done, _reason(error), pause)
            time.sleep(pause)

    def _failed(self, done: str, name: str, error: BaseException) -> ClaraError:
        go_on = "; what is finished is kept: run the same command again to go on" if done == "written" else ""
        where = f"{self.url}/{name}" if name else self.url
        return ClaraError(f"{self.setting}: {where}: cannot be {done}: {_reason(error)}{go_on}")


def _listed(system: Any, path: str) -> list[str]:
    system.invalidate_cache()  # others write here too
    # Some stores list the folder itself too, where it was once made as an object.
    return [found for found in system.ls(path, detail=False) if found.rstrip("/") != path.rstrip("/")]


def _storage_errors() -> tuple[type[BaseException], ...]:
    """Errors of the network and of files: a class can be raised only if its module is loaded."""
    loaded = (getattr(sys.modules.get(module), name, None) for module, name in _CLIENT_ERRORS)
    return (OSError, NotImplementedError, *(error for error in loaded if error is not None))


def _is_final(error: BaseException) -> bool:
    """Whether another attempt would end the same."""
    codes = isinstance(error, OSError) and error.errno in _FINAL_CODES
    return codes or isinstance(error, _FINAL) or type(error).__name__ in _FINAL_NAMES


def _reason(error: BaseException) -> str:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(said.split())[:200] or type(error).__name__


def _needs(protocol: str) -> str:
    """What to install for a protocol; a client that fsspec has itself says what it needs."""
    known = known_implementations[protocol]
    package = known["class"].partition(".")[0]
    if package == "fsspec":
        return f"needs a package that is not installed: {known['err']}"
    return f"needs a package that is not installed: pip install {package.replace('_', '-')}"
