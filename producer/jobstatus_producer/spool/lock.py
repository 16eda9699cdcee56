"""Who owns a spool: a lock that the operating system lets go of however its process ends."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class FileLock:
    """The lock on a spool: one owner among all processes, gone with its process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> bool:
        """Whether this process is the owner now."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # the last owner may have removed the file between our open and our lock
            return os.fstat(self._fd).st_ino == os.stat(self._path).st_ino
        except (BlockingIOError, FileNotFoundError):
            return False

    def is_free(self) -> bool:
        """Whether there is no owner. Who asks shares it for a moment: so it is told from an owner."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        return True

    def release(self) -> None:
        """Let go; in a forked child this closes the child's copy only, and the parent remains the owner."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        """Let go for good."""
        with suppress(OSError):
            self._path.unlink()
        self.release()


def lock_of(path: Path) -> FileLock:
    """The lock that goes with the spool file `path`."""
    return FileLock(path.with_suffix(".lock"))
