"""The two locks of a spool: between the processes that may own it, and between the threads that use SQLite."""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

SQLITE_LOCK: Final = threading.RLock()
"""Held around every use of SQLite, which has mutexes of its own for the whole process. A fork takes this lock first, so
that no child inherits one of those locked by a thread that it does not have. Reentrant, because a signal's handler that
flushes or closes may have interrupted the thread that holds it."""


def reset_sqlite_lock() -> None:
    """Make the lock free in a forked child, whichever thread of the parent held it."""
    SQLITE_LOCK._at_fork_reinit()  # type: ignore[attr-defined]


class FileLock:
    """The lock on a spool: one owner among all processes. The operating system releases it however its owner ends."""

    def __init__(self, path: Path) -> None:
        """Open the lock's file, or make it, without locking it. Raises `OSError`."""
        self._path = path
        # no symbolic link: in a folder that others can write to, it could lead to any file
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def take(self) -> bool:
        """Try to become the owner; returns whether this process is. Never blocks."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # the last owner may have removed the file between our open and our lock
            return os.fstat(self._fd).st_ino == os.stat(self._path).st_ino
        except (BlockingIOError, FileNotFoundError):
            return False

    def is_free(self) -> bool:
        """Whether the spool has no owner. Never blocks.

        The check itself takes a shared lock for a moment. Two checks do not disturb each other, and a `take` that
        fails can tell a check from an owner by calling this.
        """
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        return True

    def release(self) -> None:
        """Give up the lock. In a forked child this closes the child's copy only: the parent remains the owner."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        """Give up the lock and delete its file: the spool is gone."""
        with suppress(OSError):
            self._path.unlink()
        self.release()


def lock_of(path: Path) -> FileLock:
    """The lock that belongs to the spool file `path`. Raises `OSError`."""
    return FileLock(path.with_suffix(".lock"))
