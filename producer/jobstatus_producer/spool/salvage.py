"""A damaged spool file: read what can be read of it, and set it aside for a person."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from jobstatus_producer.record import Record
from jobstatus_producer.spool.database import closing, connect, side_files, translated
from jobstatus_producer.spool.lock import SQLITE_LOCK
from jobstatus_producer.spool.rows import is_sound

if TYPE_CHECKING:
    from pathlib import Path

MAX_LENGTHENED_BYTES: Final = 2**40
"""A damaged header may state any size; no copy is made longer than this."""
_FROM_BOTH_ENDS: Final = (
    "select seq, key, value, traceparent, crc from events order by seq",
    "select seq, key, value, traceparent, crc from events order by seq desc",
)


def salvage(path: Path) -> list[Record]:
    """The records that can still be read of a damaged file, from both its ends. The file itself stays as it is.

    Reads a copy beside the file, which only the file's owner can read. Raises `OSError` or `SpoolError` where there is
    no room for the copy, or no right to read.
    """
    copy = path.with_suffix(".salvage")
    copies = (copy, *side_files(copy))
    # what a process left that was killed in the middle of this
    _remove(copies)
    try:
        for file, its_copy in zip((path, *side_files(path)), copies, strict=True):
            if file.exists():
                _copy(file, its_copy)
        _lengthen(copy)
        with SQLITE_LOCK, translated(copy), closing(connect(copy)) as database:
            return _readable(database)
    finally:
        _remove(copies)


def set_aside(path: Path) -> Path:
    """Rename a spool file and its side files, so that no process takes it over. Returns the new path."""
    kept = path.with_suffix(f".{time.time_ns()}.damaged")
    for beside in side_files(path):
        if beside.exists():
            beside.rename(f"{kept}{beside.name.removeprefix(path.name)}")
    path.rename(kept)
    return kept


def _copy(file: Path, to: Path) -> None:
    """Copy to a new file. Raises `FileExistsError` if there is one, or a symbolic link, which could lead anywhere."""
    source = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(source, "rb") as read:
        target = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(target, "wb") as written:
            shutil.copyfileobj(read, written)


def _remove(files: tuple[Path, ...]) -> None:
    for file in files:
        with suppress(FileNotFoundError):
            file.unlink()


def _lengthen(path: Path) -> None:
    """SQLite opens no file that is shorter than its header states: add zeros for what was cut off."""
    with path.open("r+b") as file:
        header = file.read(32)
        if header.startswith(b"SQLite format 3\x00"):
            page_size = int.from_bytes(header[16:18], "big")
            pages = int.from_bytes(header[28:32], "big")
            wanted = pages * (65_536 if page_size == 1 else page_size)
            if path.stat().st_size < wanted < MAX_LENGTHENED_BYTES:
                file.truncate(wanted)


def _readable(database: sqlite3.Connection) -> list[Record]:
    found: dict[int, Record] = {}
    for statement in _FROM_BOTH_ENDS:
        try:
            for row in database.execute(statement):
                if is_sound(row):
                    found[row[0]] = Record(*row[:4])
        except (sqlite3.Error, UnicodeDecodeError):
            # rows beyond the damage may be reached from the other end
            continue
    return [found[seq] for seq in sorted(found)]
