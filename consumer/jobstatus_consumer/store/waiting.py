"""The table of waiting jobs, as consumers and commands read it: how many jobs wait, since when, and why."""

from __future__ import annotations

from typing import Final, NamedTuple

from psycopg.rows import TupleRow

from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.session import Session

FILE: Final = "waiting.sql"


class WaitingReason(NamedTuple):
    """Why some jobs wait. `reason` is `no row`, `locked`, `changed`, or the error with which rows were refused."""

    reason: str
    jobs: int
    oldest_seconds: float
    tries: int
    """the most refusals of one of them"""


class WaitingJob(NamedTuple):
    """Why one job waits, for how long, how often its row was refused, and in how many seconds it is tried again."""

    reason: str
    seconds: float
    tries: int
    next_try_seconds: float


def waiting_reasons(session: Session, place: TableName) -> list[WaitingReason] | None:
    """Why jobs wait, the most frequent reason first; None if there is no table of waiting jobs that can be read."""
    if not _is_readable(session, place):
        return None
    return [WaitingReason(*row) for row in _ask(session, "reasons", place)]


def waiting_now(session: Session, place: TableName) -> tuple[int, float]:
    """How many jobs wait, and for how many seconds the oldest of them has."""
    ((jobs, seconds),) = _ask(session, "now", place)
    return jobs, seconds


def waiting_job(session: Session, place: TableName, job_id: str) -> WaitingJob | None:
    """Why this job waits; None if it does not."""
    return next((WaitingJob(*row) for row in _ask(session, "job", place, job=job_id)), None)


def _is_readable(session: Session, place: TableName) -> bool:
    ((is_readable,),) = _ask(session, "readable", place, waiting=place.waiting.identifier.as_string(None))
    return bool(is_readable)


def _ask(session: Session, name: str, place: TableName, **given: object) -> list[TupleRow]:
    return session.execute(block(FILE, name, place), given)
