"""Entries and spools for tests."""

from __future__ import annotations

from pathlib import Path

from jobstatus_producer.record import Record
from jobstatus_producer.spool import folder as spool_folder
from jobstatus_producer.spool.file import SpoolFile
from jobstatus_producer.spool.lock import lock_of
from jobstatus_schemas import JobStatusEvent, encode

TOPIC = "job-status"


def entry(seq: int, job_id: str = "job", message: str | None = None) -> Record:
    event = JobStatusEvent("0f4c5d8e-0000-4000-8000-000000000000", job_id, "ok", message, None, None, seq)
    return Record(seq, job_id.encode(), encode(event), None)


def leave_behind(folder: Path, entries: list[Record], topic: str = TOPIC) -> Path:
    """What a process leaves that died with `entries` in its spool. Returns the file."""
    dead = spool_folder.open_own(folder, topic=topic, durable=False)
    if entries:
        dead.add(entries)
    dead.drop()
    dead.lock.release()
    return dead.path


def open_again(path: Path) -> SpoolFile:
    lock = lock_of(path)
    assert lock.take()
    return SpoolFile(path, lock)
