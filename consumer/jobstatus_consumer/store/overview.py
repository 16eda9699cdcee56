"""What `status` reads of the database: rows by status, how far the table is, and which sessions block a write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from psycopg.rows import TupleRow

from jobstatus_consumer.errors import DatabaseAwayError, StartError
from jobstatus_consumer.store.admin import session_at
from jobstatus_consumer.store.blocking import Blocker, blockers
from jobstatus_consumer.store.connection import Limits
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.session import Session
from jobstatus_consumer.store.waiting import WaitingReason, waiting_reasons

LIMITS: Final = Limits(connect=4.0, statement=30.0, lock=2.0)


class LogProgress(NamedTuple):
    """The next offset that the table needs of a log, and when it got there (seconds since 1970-01-01 UTC)."""

    next_offset: int
    written_at: float


class TableOverview(NamedTuple):
    """The table now. `rows` is None if they could not be counted; `trouble` says why.

    `waiting` says why jobs wait for their row in a target; None if there is no table of waiting jobs.
    """

    progress: Mapping[str, LogProgress]
    blocked: Sequence[Blocker]
    rows: Mapping[str, int] | None
    trouble: str = ""
    waiting: Sequence[WaitingReason] | None = None


def overview(url: str, table: str, *, count: bool = True) -> TableOverview:
    """Read what `status` shows of the table; without `count` the rows are not counted. Blocks for the answers.

    Raises `StartError` if a table is missing, and StoreError's kinds.
    """
    name = TableName.parse(table)
    with session_at(url, name, LIMITS) as (session, place):
        for part in (place, place.progress):
            if not _ask(session, "admin.sql", "kind", part):
                raise StartError(f"there is no table {part.within(name.schema)}; make it: jobstatus migrate")
        found = _ask(session, "overview.sql", "progress", place)
        progress = {log_id: LogProgress(*rest) for log_id, *rest in found}
        with session.use() as connection:
            blocked = blockers(connection, place)
        if not count:
            return TableOverview(progress, blocked, None)
        waiting = waiting_reasons(session, place)
        try:
            rows: dict[str, int] = dict(_ask(session, "admin.sql", "rows_by_status", place))
        except DatabaseAwayError as error:
            # another session may hold a lock on the table: what is known without its rows is shown all the same
            return TableOverview(progress, blocked, None, f"the rows could not be counted: {error}", waiting)
        return TableOverview(progress, blocked, rows, waiting=waiting)


def _ask(session: Session, file: str, query: str, name: TableName) -> list[TupleRow]:
    with session.use() as connection:
        quoted = name.identifier.as_string(connection)
        return connection.execute(block(file, query, name), {"table": quoted}).fetchall()
