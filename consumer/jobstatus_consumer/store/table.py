"""The managed table, read and repaired in bulk: for replay, verify, history and redrive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg.rows import TupleRow

from jobstatus_consumer.core import RowState
from jobstatus_consumer.store import json_params
from jobstatus_consumer.store.connection import Limits, open_connection
from jobstatus_consumer.store.json_params import JsonText
from jobstatus_consumer.store.layout import MANAGED, Row
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.session import Opener, Session

LIMITS: Final = Limits(statement=3600.0)
"""One statement may read or fill the whole table here."""
AT_ONCE: Final = 20_000
"""Rows that are fetched at once from a cursor."""


class RowPosition(NamedTuple):
    """Where one row came from; `log_id` and `log_offset` are None if another program wrote it."""

    job_id: str
    log_id: str | None
    log_offset: int | None
    too_late: bool


class PurgedJob(NamedTuple):
    """What a purge has left of a job that has no row, and when it was purged (seconds since 1970-01-01 UTC)."""

    state: RowState
    at: float


class RowRepair(NamedTuple):
    """What a row is set to, if it is still at `was_log` and `was_offset`."""

    job_id: str
    row: Row
    was_log: str
    was_offset: int
    keep_attempt: bool
    """whether the row keeps an attempt of its own that is higher"""
    keep_latest: bool
    """whether the row keeps a latest time of its own that is higher"""

    def as_record(self) -> dict[str, Any]:
        """The repair by column, for the block `repair`."""
        return {
            **{column.name: value for column, value in zip(MANAGED.of_row, self.row, strict=True)},
            **{name: value for name, value in self._asdict().items() if name != "row"},
        }


class Table(Session):
    """One managed table. Each method connects if there is no connection, and may block for as long as it reads."""

    def __init__(self, url: str, table: str, *, opener: Opener = open_connection, limits: Limits = LIMITS) -> None:
        super().__init__(url, limits, opener=opener)
        self.name = TableName.parse(table)
        self._place = self.name
        # whether a target is written from this table
        self._has_target = False

    def prepare(self) -> None:
        """Find the table on a new connection, and see whether a target is written from it."""
        self._place = self.located(self.name)
        waiting = {"table": self._place.waiting.identifier.as_string(None)}
        self._has_target = bool(self.execute(block("admin.sql", "kind", self._place), waiting))

    def rows(self, jobs: Iterable[str]) -> dict[str, Row]:
        """By job: the rows of these jobs; a job without a row is left out."""
        return {job_id: Row(*rest) for job_id, *rest in self._ask("rows", jobs=json_params.texts(jobs))}

    def states(self, jobs: Iterable[str]) -> dict[str, RowState]:
        """By job: what the rule compares of these jobs' rows; a job without a row is left out."""
        return {job_id: RowState(*rest) for job_id, *rest in self._ask("states", jobs=json_params.texts(jobs))}

    def purged(self, jobs: Iterable[str]) -> dict[str, PurgedJob]:
        """By job: those of these jobs that were purged and have no row."""
        found = self._ask("purged", jobs=json_params.texts(jobs))
        return {job_id: PurgedJob(RowState(*state), at) for job_id, at, *state in found}

    @contextmanager
    def locked(self, jobs: Iterable[str]) -> Iterator[set[str]]:
        """Those of the jobs that have a row. Nobody can delete such a row inside the block; updates need not wait."""
        with self._use() as connection, connection.transaction():
            found = connection.execute(block("table.sql", "lock", self._place), {"jobs": json_params.texts(jobs)})
            yield {job_id for (job_id,) in found}

    def differing(self, rows: Mapping[str, Row]) -> dict[str, Row | None]:
        """By job: the row in the table if it is not the one in `rows`; None if the job has no row there."""
        found = self._ask("differing", **json_params.row_lists(rows))
        return {job_id: Row(*row) if exists else None for job_id, exists, *row in found}

    def positions(self, limit: int) -> Iterator[RowPosition]:
        """The positions of all rows, and whether their time is `limit` (microseconds) or later.

        All of them are of one snapshot, and few are in memory at a time.
        """
        with self._use() as connection, connection.transaction(), connection.cursor("positions") as cursor:
            cursor.itersize = AT_ONCE
            cursor.execute(block("table.sql", "positions", self._place), {"limit": limit})
            for row in cursor:
                yield RowPosition(*row)

    def progress(self) -> dict[str, int]:
        """By log, for every log that the database has: the next offset that it needs."""
        return dict(self._ask("progress"))

    def first_offsets(self) -> dict[str, int]:
        """By log, the first offset that was written of it, where that is known."""
        return dict(self._ask("first_offsets"))

    def set_progress(self, offsets: Mapping[str, int]) -> None:
        """Set by log the next offset that the database needs, whatever it was before."""
        with self._use() as connection:
            set_progress(connection, self._place, offsets)

    def repair_rows(self, rows: Sequence[RowRepair]) -> set[str]:
        """Set these rows, and return the jobs whose row was still at the position where it was read.

        Where there is a target, these jobs wait until the consumer writes their rows in it.
        """
        given = {"rows": json_params.document([row.as_record() for row in rows])}
        with self._use() as connection:
            parts = {"parked": block("table.sql", "park", self._place)} if self._has_target else {}
            query = block("table.sql", "repair", self._place, parts=parts)
            return {job_id for (job_id,) in connection.execute(query, given)}

    def _ask(self, name: str, **parameters: JsonText) -> list[TupleRow]:
        with self._use() as connection:
            return connection.execute(block("table.sql", name, self._place), parameters).fetchall()

    @contextmanager
    def _use(self) -> Iterator[Connection[TupleRow]]:
        if not self.connected:
            self.connect()
        with self.use() as connection:
            yield connection


def set_progress(connection: Connection[TupleRow], name: TableName, offsets: Mapping[str, int]) -> None:
    """Set by log the next offset that the database needs. Raises what psycopg raises."""
    connection.execute(block("table.sql", "set_progress", name), {"logs": json_params.next_offsets(offsets)})
