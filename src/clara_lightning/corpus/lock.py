"""Who may write to a store, and whether somebody reads it: locks of the system, which die with their process.

They are on folders, the store's for its writer and ``shards`` for its readers, so that they leave no file behind.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clara_lightning.errors import ClaraError

log = logging.getLogger(__name__)

_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EBADF)


@contextmanager
def writing(folder: Path, *, setting: str = "--store") -> Iterator[None]:
    """Scope of the one writer of a store.

    Raises:
        ClaraError: another process writes to it, or it is not there.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ClaraError(f"{setting}: {folder}: {error.strerror or error}") from error
    try:
        is_locked = _lock(descriptor, fcntl.LOCK_EX)
        if is_locked is None:
            log.warning("%s: its file system has no locks: let no other process write to it", folder)
        elif not is_locked:
            raise ClaraError(f"{setting}: {folder}: another process is writing to it")
        yield
    finally:
        os.close(descriptor)


class ReadLock:
    """Held by every reader for as long as it lives, so that nobody removes the files that it may yet open."""

    def __init__(self, folder: Path) -> None:
        try:
            self._descriptor = os.open(folder / "shards", os.O_RDONLY)
        except OSError:  # no store yet
            self._descriptor = -1
            return
        _lock(self._descriptor, fcntl.LOCK_SH)

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


@contextmanager
def in_turn(file: Path) -> Iterator[Path]:
    """Scope in which no other process or thread writes a file, after waiting for its turn.

    Yields:
        The file to write, which is there and may be renamed or removed: that one, or one of a name that nobody else
        has, where the file system has no locks.
    """
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            is_alone = True
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                os.close(descriptor)
                raise
            is_alone = False
        if not is_alone or _is_at(file, descriptor):
            break
        os.close(descriptor)  # the one before renamed or removed it
    try:
        yield file if is_alone else file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}")
    finally:
        os.close(descriptor)


def _is_at(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def nobody_reads(folder: Path) -> bool:
    """Whether no process has the store open at this moment; no where that cannot be known."""
    descriptor = os.open(folder / "shards", os.O_RDONLY)
    try:
        return bool(_lock(descriptor, fcntl.LOCK_EX))
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int) -> bool | None:
    """Whether the lock was taken; ``None`` where the file system has none."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
            return False
        if error.errno in _WITHOUT_LOCKS:
            return None
        raise
    return True
