"""The folder of spools: a new file for each producer, and those that dead processes left behind."""

from __future__ import annotations

import os
import socket
import time
import uuid
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from jobstatus_producer.errors import SpoolError
from jobstatus_producer.log import logger
from jobstatus_producer.spool import file as spool
from jobstatus_producer.spool.file import Refused, SpoolDamagedError, SpoolFile
from jobstatus_producer.spool.lock import FileLock, lock_of

if TYPE_CHECKING:
    from pathlib import Path

OPEN_AT_A_TIME: Final = 32
"""So many taken-over spools are held open: each has four file descriptors, and there may be hundreds of spools."""
LOOKS: Final = 100
LOOK_SECONDS: Final = 0.002
"""How long a look at a lock takes, or longer on a busy machine: a start waits for the end of so many."""


def open_own(folder: Path, *, topic: str, durable: bool) -> SpoolFile:
    """A new, empty spool that this process owns. Raises `SpoolError`, which says what is wrong with the folder."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        path = folder / f"{_label(topic)}.{owner}{spool.SUFFIX}"
        # the lock is there before the file: nobody can take over a spool that is being made
        lock = lock_of(path)
    except OSError as error:
        raise SpoolError(f"JOBSTATUS_SPOOL_DIR: {folder} cannot be used: {error.strerror}") from None
    lock.take()
    try:
        spool.create(path)
        return SpoolFile(path, lock, durable=durable)
    except SpoolError as error:
        lock.remove()
        raise SpoolError(f"JOBSTATUS_SPOOL_DIR: {error}") from None


def renew(lost: SpoolFile, *, topic: str, durable: bool) -> SpoolFile:
    """What a spool holds whose files were removed while it was in use, in a new one. Raises `SpoolError`."""
    new = open_own(lost.path.parent, topic=topic, durable=durable)
    try:
        lost.copy_to(new)
    except BaseException:
        new.give_up_names()
        raise
    lost.give_up_names()
    logger.error(
        "the spool %s was removed while in use; what it held (%d events) is in %s", lost.path, len(new), new.path
    )
    return new


def paths(folder: Path) -> list[Path]:
    """The spool files in `folder`, oldest first."""
    return sorted(folder.glob(f"*{spool.SUFFIX}"), key=_changed)


class SpoolInfo(NamedTuple):
    """A spool as `jobstatus spool list` shows it. `trouble`: why it cannot be read."""

    path: Path
    in_use: bool
    events: int
    bytes: int
    oldest: int | None
    refused: list[Refused]
    trouble: str | None


def inspect(folder: Path) -> list[SpoolInfo]:
    """Every spool in `folder`, whether a process uses it or not; changes nothing."""
    return [_inspect(path) for path in paths(folder)]


def _inspect(path: Path) -> SpoolInfo:
    try:
        lock = lock_of(path)
    except OSError as error:
        return SpoolInfo(path, False, 0, 0, None, [], str(error))
    in_use = not lock.is_free()
    lock.release()
    try:
        file = SpoolFile(path, lock)
    except SpoolError as error:
        return SpoolInfo(path, in_use, 0, 0, None, [], str(error))
    try:
        return SpoolInfo(path, in_use, len(file), file.totals().bytes, file.oldest(), file.refused(), None)
    except SpoolError as error:
        return SpoolInfo(path, in_use, 0, 0, None, [], str(error))
    finally:
        file.drop()


def damaged(folder: Path) -> list[Path]:
    """The files that were set aside, for a person to look at."""
    return sorted(folder.glob("*.damaged"))


def take_over(folder: Path, own: SpoolFile, *, topic: str, durable: bool) -> list[SpoolFile]:
    """The spools of `topic` in `folder` whose processes are gone and which hold events, each now this process's alone.

    Of a damaged one, what can be read is moved to `own`, and the file is set aside. What cannot be taken over is left
    alone. Beyond `OPEN_AT_A_TIME` they rest, and it is `take` that opens one when its turn has come.
    """
    found: list[SpoolFile] = []
    for path in paths(folder):
        others = path == own.path or not path.name.startswith(f"{_label(topic)}.")
        orphan = None if others else take(path, own, durable=durable)
        if orphan is not None:
            logger.warning("took over the spool %s of a process that is gone: %d events", path, len(orphan))
            found.append(orphan)
            if len(found) > OPEN_AT_A_TIME:
                orphan.rest()
    return found


def take(path: Path, own: SpoolFile, *, durable: bool) -> SpoolFile | None:
    """The spool at `path`, if its process is gone and it holds events; what is damaged is saved to `own`."""
    lock = None
    try:
        lock = lock_of(path)
        return _taken(path, lock, own, durable)
    except (OSError, SpoolError) as error:
        # one of another user, or on a bad sector: no reason not to work with all others
        logger.error("the spool %s is left alone: %s", path, error)
        if lock is not None:
            lock.release()
        return None


def _taken(path: Path, lock: FileLock, own: SpoolFile, durable: bool) -> SpoolFile | None:
    if not _owned(lock):
        lock.release()
        return None
    if not path.exists():
        lock.remove()
        return None
    try:
        orphan = SpoolFile(path, lock, durable=durable)
    except SpoolDamagedError as error:
        rescue(path, lock, own, error)
        return None
    return _checked(orphan, lock, own)


def _owned(lock: FileLock) -> bool:
    for _ in range(LOOKS):
        if lock.take():
            return True
        if not lock.is_free():
            return False
        # somebody looks at it, as `spool list` does
        time.sleep(LOOK_SECONDS)
    return False


def _checked(orphan: SpoolFile, lock: FileLock, own: SpoolFile) -> SpoolFile | None:
    try:
        orphan.check()
    except SpoolDamagedError as error:
        orphan.drop()
        rescue(orphan.path, lock, own, error)
        return None
    except SpoolError:
        orphan.drop()
        raise
    if len(orphan):
        return orphan
    orphan.close()
    return None


def rescue(path: Path, lock: FileLock, into: SpoolFile, error: Exception) -> None:
    """Move what can be read of a damaged spool into another, and set the file aside."""
    saved = spool.salvage(path)
    into.take_in(saved)
    kept = spool.set_aside(path)
    lock.remove()
    text = "a spool is damaged (%s): %d events of it are saved; what else it held is in %s, unreadable here"
    logger.error(text, error, len(saved), kept)


def _label(topic: str) -> str:
    # in the name, where damage to the file cannot reach it: a spool must never be sent to another topic
    return f"{topic[:80]}.{zlib.crc32(topic.encode()):08x}"


def _changed(path: Path) -> tuple[float, str]:
    try:
        return path.stat().st_mtime, path.name
    except FileNotFoundError:
        return 0.0, path.name
