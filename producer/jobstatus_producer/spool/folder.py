"""The folder of spools: each producer makes a file of its own, and takes over those of processes that are gone."""

from __future__ import annotations

import os
import socket
import stat
import time
import uuid
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from jobstatus_producer.errors import SpoolError
from jobstatus_producer.log import logger
from jobstatus_producer.spool.database import SpoolDamagedError, create
from jobstatus_producer.spool.file import SUFFIX, Refused, SpoolFile
from jobstatus_producer.spool.lock import FileLock, lock_of
from jobstatus_producer.spool.salvage import salvage, set_aside

if TYPE_CHECKING:
    from pathlib import Path

OPEN_AT_A_TIME: Final = 32
"""How many taken-over spools are open at once: each has four file descriptors, and there may be hundreds of spools."""
LOCK_TRIES: Final = 100
LOCK_RETRY_SECONDS: Final = 0.002
"""How long a check of a lock takes, or longer on a busy machine. A take-over waits for up to `LOCK_TRIES` of them."""
_warned_of: Final[set[Path]] = set()
"""the folders that other users can write to: one warning for each in a process"""


def open_own(folder: Path, *, topic: str, durable: bool, create_file: Callable[[Path], None] = create) -> SpoolFile:
    """Make an empty spool that this process owns, and the folder if need be. Raises `SpoolError` with the cause."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _warn_if_shared(folder)
        owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        path = folder / f"{topic_label(topic)}.{owner}{SUFFIX}"
        # the lock is there before the file: no process can take over a spool that is being made
        lock = lock_of(path)
    except OSError as error:
        raise SpoolError(f"JOBSTATUS_SPOOL_DIR: {folder} cannot be used: {error.strerror}") from None
    lock.take()
    try:
        create_file(path)
        return SpoolFile(path, lock, durable=durable)
    except SpoolError as error:
        lock.remove()
        raise SpoolError(f"JOBSTATUS_SPOOL_DIR: {error}") from None


def renew(lost: SpoolFile, *, topic: str, durable: bool) -> SpoolFile:
    """Move what is in a spool whose files were removed while it was in use to a new one. Raises `SpoolError`."""
    new = open_own(lost.path.parent, topic=topic, durable=durable)
    try:
        lost.copy_to(new)
    except BaseException:
        new.close_and_unlink()
        raise
    lost.close_and_unlink()
    logger.error("the spool %s was removed while in use; its %d events are now in %s", lost.path, len(new), new.path)
    return new


def paths(folder: Path) -> list[Path]:
    """The spool files in `folder`, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"), key=_changed)


class SpoolInfo(NamedTuple):
    """A spool as `jobstatus spool list` shows it."""

    path: Path
    in_use: bool
    events: int
    bytes: int
    oldest: int | None
    refused: list[Refused]
    trouble: str | None
    """why it cannot be read; None if it can"""
    is_foreign: bool
    """another user's: this one's producers do not take it over"""


OpenFile = Callable[["Path", FileLock], SpoolFile]


def inspect(folder: Path, *, open_file: OpenFile = SpoolFile, user: int | None = None) -> list[SpoolInfo]:
    """Every spool in `folder`, whether a process uses it or not. Changes nothing, and takes no lock for long.

    Foreign spools are those that do not belong to `user`, by default the user of this process.
    """
    user = os.geteuid() if user is None else user
    return [_inspect(path, open_file, user) for path in paths(folder)]


def _inspect(path: Path, open_file: OpenFile, user: int) -> SpoolInfo:
    in_use = is_foreign = False
    file = None
    try:
        is_foreign = path.lstat().st_uid != user
        lock = lock_of(path)
        in_use = not lock.is_free()
        lock.release()
        file = open_file(path, lock)
        events, size = len(file), file.totals().bytes
        return SpoolInfo(path, in_use, events, size, file.oldest(), file.refused(), None, is_foreign)
    except (OSError, SpoolError) as error:
        return SpoolInfo(path, in_use, 0, 0, None, [], str(error), is_foreign)
    finally:
        if file is not None:
            file.close_database()


def damaged(folder: Path) -> list[Path]:
    """The damaged files that were set aside for a person."""
    return sorted(folder.glob("*.damaged"))


def take_over(folder: Path, own: SpoolFile, *, topic: str, durable: bool) -> list[SpoolFile]:
    """Take over every spool of `topic` in `folder` that holds events and whose process is gone.

    What can be read of a damaged one is moved to `own`. What cannot be taken over stays as it is, and an error in the
    log names it. All but `OPEN_AT_A_TIME` of them are released again: `take` opens each when its turn comes.
    """
    found: list[SpoolFile] = []
    for path in paths(folder):
        is_ours = path != own.path and path.name.startswith(f"{topic_label(topic)}.")
        orphan = take(path, own, durable=durable) if is_ours else None
        if orphan is not None:
            logger.warning("took over the spool %s of a process that is gone: %d events", path, len(orphan))
            found.append(orphan)
            if len(found) > OPEN_AT_A_TIME:
                orphan.release()
    return found


def take(path: Path, own: SpoolFile, *, durable: bool, sleep: Callable[[float], None] = time.sleep) -> SpoolFile | None:
    """Take over the spool at `path`; None if it has an owner, holds nothing, or cannot be taken over.

    What can be read of a damaged one is moved to `own`. May block for 0.2 s while other processes check the lock, and
    reads the whole file.
    """
    lock = None
    try:
        _check_owner(path, own)
        lock = lock_of(path)
        if not _owned(lock, sleep):
            lock.release()
            return None
        return _taken(path, lock, own, durable)
    except (OSError, SpoolError) as error:
        # another user's, a newer version's, on a bad sector: no reason not to work with all others
        logger.error("the spool %s is left alone: %s", path, error)
        if lock is not None:
            lock.release()
        return None


def _check_owner(path: Path, own: SpoolFile) -> None:
    """Raise `SpoolError` for a file of another user: what is in it was not written by this user's workers.

    The owner of `own` is what this file system gives for the files of this process. It may differ from the process's
    user id: some file systems give one owner for all files.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        # another process has drained it meanwhile; its lock is removed below
        return
    if stat.S_ISLNK(found.st_mode):
        raise SpoolError("it is a symbolic link, and not a file that a worker has made. Remove it")
    if found.st_uid != own.owner:
        raise SpoolError(
            f"it belongs to user {found.st_uid}, and the spools of this process to user {own.owner}. Start a worker, "
            "or run `jobstatus spool drain`, as its user"
        )


def _owned(lock: FileLock, sleep: Callable[[float], None]) -> bool:
    for _ in range(LOCK_TRIES):
        if lock.take():
            return True
        if not lock.is_free():
            return False
        # another process checks the lock, as `jobstatus spool list` does
        sleep(LOCK_RETRY_SECONDS)
    return False


def _taken(path: Path, lock: FileLock, own: SpoolFile, durable: bool) -> SpoolFile | None:
    if not path.exists():
        lock.remove()
        return None
    try:
        orphan = SpoolFile(path, lock, durable=durable)
    except SpoolDamagedError as error:
        rescue(path, lock, own, error)
        return None
    return _checked(orphan, own)


def _checked(orphan: SpoolFile, own: SpoolFile) -> SpoolFile | None:
    try:
        orphan.check()
    except SpoolDamagedError as error:
        orphan.close_database()
        rescue(orphan.path, orphan.lock, own, error)
        return None
    except SpoolError:
        orphan.close_database()
        raise
    if len(orphan):
        return orphan
    orphan.close()
    return None


def rescue(path: Path, lock: FileLock, into: SpoolFile, error: Exception) -> None:
    """Move what can be read of a damaged spool into another one, and set the file aside.

    Raises `OSError` or `SpoolError`: then the file stays where it is.
    """
    saved = salvage(path)
    into.adopt(saved)
    kept = set_aside(path)
    lock.remove()
    text = "a spool is damaged (%s): %d events of it are saved. The file is kept as %s, for a person to look at"
    logger.error(text, error, len(saved), kept)


def topic_label(topic: str) -> str:
    """How the names of the topic's spool files begin.

    The topic is in the name, where no damage to the file can reach it: a spool must never be sent to another topic.
    """
    return f"{topic[:80]}.{zlib.crc32(topic.encode()):08x}"


def _warn_if_shared(folder: Path) -> None:
    found = folder.stat()
    others_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    # in a sticky folder others can add files, but neither remove nor rename ours; only its owner can
    protected = found.st_mode & stat.S_ISVTX and found.st_uid in (0, os.geteuid())
    if others_write and not protected and folder not in _warned_of:
        _warned_of.add(folder)
        logger.warning(
            "other users can write to the spool folder %s, and so can delete or replace what waits in it. Run "
            "`chmod go-w` on it, or set JOBSTATUS_SPOOL_DIR to a new folder inside it, which only this user can use",
            folder,
        )


def _changed(path: Path) -> tuple[float, str]:
    try:
        return path.stat().st_mtime, path.name
    except FileNotFoundError:
        return 0.0, path.name
