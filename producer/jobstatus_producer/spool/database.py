"""The SQLite database in a spool file: how it is made, opened and changed, and what its errors mean.

WAL with `synchronous=NORMAL` survives the death of the process at any moment. `FULL`, which a durable producer uses,
survives the machine's, too.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from jobstatus_producer.errors import SpoolError
from jobstatus_producer.spool.lock import SQLITE_LOCK

if TYPE_CHECKING:
    from pathlib import Path

VERSION: Final = 1
SCHEMA: Final = """
create table events (
  seq integer primary key, key blob not null, value blob not null, traceparent text, crc integer not null);
create table refused (
  seq integer primary key, key blob not null, value blob not null, traceparent text, crc integer not null,
  reason text not null, refused_at integer not null);
"""
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SpoolWriteError(SpoolError):
    """A write failed (disk full, read-only, ...): nothing of it is in the file, and a later try may succeed."""


class SpoolDamagedError(SpoolError):
    """The file is not a sound database."""


class SpoolVersionError(SpoolError):
    """The file was written by a newer version, and is left alone."""


def create(path: Path, schema: str = SCHEMA) -> None:
    """Make an empty spool file. Raises `SpoolError`, and leaves no part of the file behind.

    The file gets its name when it is complete: so an empty file of that name is a damaged one.
    """
    unfinished = path.with_suffix(".new")
    try:
        # made here, and not by SQLite: it is readable for its owner alone from the start
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        with SQLITE_LOCK, closing(sqlite3.connect(unfinished, isolation_level=None)) as database:
            database.execute("pragma journal_mode=wal")
            database.executescript(schema)
            database.execute(f"pragma user_version={VERSION}")
        unfinished.rename(path)
    except (sqlite3.Error, OSError) as error:
        for file in (unfinished, *side_files(unfinished)):
            with suppress(OSError):
                file.unlink()
        raise SpoolError(f"cannot write in {path.parent}: {error}") from None


def connect(path: Path) -> sqlite3.Connection:
    """Open an existing file; changes are committed by `transaction` alone. Raises `sqlite3.Error`."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def prepare(database: sqlite3.Connection, path: Path, *, durable: bool) -> None:
    """Check the version and set what a connection needs. Raises `SpoolVersionError`, `SpoolDamagedError`."""
    version = database.execute("pragma user_version").fetchone()[0]
    if version > VERSION:
        raise SpoolVersionError(f"{path}: written by a newer version (layout {version}, known here: {VERSION})")
    if version != VERSION:
        raise SpoolDamagedError(f"{path}: no spool, or one that was cut off")
    database.execute("pragma journal_mode=wal")
    database.execute(f"pragma synchronous={'full' if durable else 'normal'}")
    database.execute("pragma journal_size_limit=4194304")


def side_files(path: Path) -> list[Path]:
    """What SQLite keeps beside the file `path`: the write-ahead log and its index."""
    return [path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All or nothing of what is executed inside."""
    if database.in_transaction:
        # the transaction of a call that this one, in a signal's handler, has interrupted: that call fails
        database.execute("rollback")
    try:
        database.execute("begin immediate")
        yield
        database.execute("commit")
    except BaseException:
        if database.in_transaction:
            database.execute("rollback")
        raise


@contextmanager
def closing(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Close the connection at the end: SQLite's own context manager commits only."""
    try:
        yield database
    finally:
        database.close()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as `SpoolDamagedError` or `SpoolWriteError`, with the file's name."""
    try:
        yield
    except sqlite3.Error as error:
        kind = SpoolDamagedError if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED else SpoolWriteError
        raise kind(f"{path}: {error}") from error
