"""Entries and spools for tests, and what may happen to a spool from outside."""

from __future__ import annotations

import os
import resource
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from jobstatus_producer.record import Record
from jobstatus_producer.spool import folder as spool_folder
from jobstatus_producer.spool.file import SpoolFile
from jobstatus_producer.spool.lock import lock_of
from jobstatus_schemas import JobStatusEvent, encode

TOPIC = "job-status"
PAGE = 4096


def entry(seq: int, job_id: str = "job", message: str | None = None) -> Record:
    event = JobStatusEvent("0f4c5d8e-0000-4000-8000-000000000000", job_id, "ok", message, None, None, seq)
    return Record(seq, job_id.encode(), encode(event), None)


def leave_behind(folder: Path, entries: list[Record], topic: str = TOPIC) -> Path:
    """What a process leaves that died with `entries` in its spool. Returns the file."""
    dead = spool_folder.open_own(folder, topic=topic, durable=False)
    if entries:
        dead.add(entries)
    dead.release()
    return dead.path


def open_again(path: Path) -> SpoolFile:
    lock = lock_of(path)
    assert lock.take()
    return SpoolFile(path, lock)


def in_the_file(path: Path) -> list[int]:
    """The `seq` of all that waits, as another process would find it."""
    with closing(sqlite3.connect(path)) as database:
        return [seq for (seq,) in database.execute("select seq from events order by seq")]


def execute(path: Path, *statements: str) -> None:
    """What another process may do to the file, while it is open or not."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """In here nothing can be read from the table of events, nor written to it; then it is as it was."""
    execute(path, "alter table events rename to hidden")
    try:
        yield
    finally:
        execute(path, "alter table hidden rename to events")


def damage(path: Path, *, page: int) -> None:
    """Overwrite a page (the first is 1, the last is -1) of a spool that may be open, whatever SQLite has cached."""
    execute(path, "create table other (x)", "drop table other", "pragma wal_checkpoint(truncate)")
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE if page > 0 else page * PAGE, os.SEEK_SET if page > 0 else os.SEEK_END)
        file.write(b"\xff" * PAGE)


@contextmanager
def no_new_files() -> Iterator[None]:
    """In here this process can open no file: it has as many open files as it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def observed(observe: Callable[[CodeType], None]) -> Iterator[None]:
    """Call `observe` wherever a signal's handler may run: as a function begins, and after each call of one in C.

    What it raises is raised there.
    """

    def profile(frame: FrameType, what: str, _argument: Any) -> None:
        if what in ("call", "c_return"):
            observe(frame.f_code)

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)
