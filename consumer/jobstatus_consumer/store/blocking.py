"""Which session keeps a row, or the whole table, from being written: for the waiting line and for `status`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from psycopg import Connection
from psycopg.rows import TupleRow

from jobstatus_consumer.store import json_params
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block

OLD: Final = 5.0
"""In seconds. An ordinary write has ended by then; a transaction that is older may be what a consumer waits for."""
LONGEST_JOB: Final = 80
"""Characters of a job id that are shown."""


class Blocker(NamedTuple):
    """A session that keeps others from writing. Ages are in seconds, and None where this role may not see them."""

    pid: int | None
    """None for a prepared transaction, which has no session"""
    application: str
    query_seconds: float | None
    transaction_seconds: float | None
    job_id: str | None
    """the job whose row it has locked, where that is known"""
    whole_table: bool

    @property
    def what(self) -> str:
        """What it has locked, such as "the row of job 'a'"."""
        if self.job_id is not None:
            return row_of(self.job_id)
        return "the whole table" if self.whole_table else "rows of the table"

    @property
    def who(self) -> str:
        """The session: its pid, its application, and how old its query and its transaction are."""
        if self.pid is None:
            return "a prepared transaction (see pg_prepared_xacts)"
        ages = [(self.query_seconds, "query"), (self.transaction_seconds, "transaction")]
        known = [f"{name} {seconds:.0f} s old" for seconds, name in ages if seconds is not None]
        facts = ", ".join([self.application or "no application name", *(known or ["ages need pg_read_all_stats"])])
        return f"pid {self.pid} ({facts})"

    def __str__(self) -> str:
        return f"{self.what} is locked by {self.who}"


def row_of(job_id: str) -> str:
    """How a message names the row of a job."""
    shown = job_id if len(job_id) <= LONGEST_JOB else job_id[:LONGEST_JOB] + "..."
    return f"the row of job {shown!r}"


def blockers(connection: Connection[TupleRow], place: TableName) -> list[Blocker]:
    """The sessions that keep others from writing the table now, each with the row that is waited for.

    If nobody waits at this moment: the sessions that have had locks for more than `OLD` seconds. A consumer that waits
    for a lock tries again every few seconds. Raises what psycopg raises.
    """
    found = _asked(connection, "blockers", place)
    if not found:
        found = [item for item in _asked(connection, "holders", place) if (item.transaction_seconds or 0) > OLD]
    return [_with_job(connection, place, item) for item in found]


def _with_job(connection: Connection[TupleRow], place: TableName, item: Blocker) -> Blocker:
    """The blocker with the job of its row, if it has only that one."""
    if item.job_id is not None or item.whole_table or item.pid is None:
        return item
    jobs = connection.execute(block("blocking.sql", "rows_of", place), {"pid": item.pid}).fetchall()
    return item._replace(job_id=jobs[0][0]) if len(jobs) == 1 else item


def blocker_of(
    connection: Connection[TupleRow], place: TableName, jobs: Iterable[str], target: TableName | None = None
) -> Blocker | None:
    """After a time-out: the session that has locked the table, or the row of one of these jobs, if one has.

    A row of the target is never waited for, so of the target only a lock on the whole of it counts.
    May block as long as the session's own limits allow. Raises what psycopg raises.
    """
    holders = _asked(connection, "holders", place, target)
    whole = next((item for item in holders if item.whole_table), None)
    if whole is not None:
        return whole
    query = block("blocking.sql", "locked_row", place)
    row = connection.execute(query, {"jobs": json_params.texts(jobs)}).fetchone()
    if row is None:
        return None
    job_id, pid = row
    owner = next((item for item in holders if item.pid == pid), holders[0] if holders else None)
    return (owner or Blocker(pid, "", None, None, None, whole_table=False))._replace(job_id=job_id)


def oldest_holder(connection: Connection[TupleRow], place: TableName) -> Blocker | None:
    """Of the sessions that have locks on the tables, that with the oldest transaction. Raises what psycopg raises."""
    return next(iter(_asked(connection, "holders", place)), None)


def oldest_reader(connection: Connection[TupleRow], place: TableName) -> Blocker | None:
    """Of the sessions that use the tables, also by reading, that with the oldest transaction.

    Raises what psycopg raises.
    """
    return next(iter(_asked(connection, "readers", place)), None)


def _asked(
    connection: Connection[TupleRow], name: str, place: TableName, target: TableName | None = None
) -> list[Blocker]:
    names = {
        "target": None if target is None else target.identifier.as_string(connection),
        "table": place.identifier.as_string(connection),
        "progress": place.progress.identifier.as_string(connection),
        "purged": place.purged.identifier.as_string(connection),
        "waiting": place.waiting.identifier.as_string(connection),
        "audit": place.audit.identifier.as_string(connection),
    }
    return [Blocker(*row) for row in connection.execute(block("blocking.sql", name, place), names)]
