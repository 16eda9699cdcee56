"""Which files on the disk a spool consists of: a name may be removed, or given to another file, while it is open."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from jobstatus_producer.spool.database import side_files

if TYPE_CHECKING:
    from pathlib import Path


class OpenedFiles:
    """The files of one spool, each with its device and inode when the spool was opened."""

    def __init__(self, path: Path) -> None:
        files = (path, *side_files(path), path.with_suffix(".lock"))
        found = {file: status for file in files if (status := _status(file)) is not None}
        self._identities = {file: _identity(status) for file, status in found.items()}
        self.owner = found[path].st_uid if path in found else os.geteuid()
        """the user id that the file system gives for the spool file"""

    def are_still_there(self) -> bool:
        """Whether each name still leads to the file that was opened."""
        return all(self._is_unchanged(file) for file in self._identities)

    def unlink(self) -> None:
        """Remove the names that still lead to the files that were opened, and no file that was put in their place."""
        for file in self._identities:
            # a file that cannot be removed is a copy too many, which does no harm
            with suppress(OSError):
                if self._is_unchanged(file):
                    file.unlink()

    def _is_unchanged(self, file: Path) -> bool:
        status = _status(file)
        return status is not None and _identity(status) == self._identities[file]


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
