"""The table looked at and mended in bulk, for replay, verify and redrive, over a connection of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import orjson
import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from jobstatus_consumer.core.rule import RowState
from jobstatus_consumer.store import json_params as documents
from jobstatus_consumer.store.connection import Limits, connect
from jobstatus_consumer.store.json_params import JsonText
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.sqlstate import classify, kind_of

LIMITS: Final = Limits(statement=3600.0)
"""A whole table is read or filled in one statement here."""
AT_ONCE: Final = 20_000


class Row(NamedTuple):
    """A whole row; times in microseconds."""

    attempt: int | None
    latest: int | None
    log_id: str | None
    log_offset: int | None
    status: str | None
    error_message: str | None
    worker_id: str | None
    occurred_at: int | None
    event_id: str | None

    @property
    def state(self) -> RowState:
        """As much of it as the rule asks."""
        return RowState(*self[:4])


class RowPosition(NamedTuple):
    """Where one row came from; `log_id` and `log_offset` are None where it was not written by this program."""

    job_id: str
    log_id: str | None
    log_offset: int | None
    too_late: bool


class RowRepair(NamedTuple):
    """What a row is set to, while it is still at `was_log` and `was_offset`."""

    job_id: str
    status: str
    error_message: str | None
    attempt: int | None
    worker_id: str | None
    occurred_at: int
    event_id: str
    latest: int | None
    log_id: str
    log_offset: int
    keep_attempt: bool
    keep_latest: bool
    was_log: str
    was_offset: int


class Table:
    """One managed table. Every method raises `StoreError`'s kinds; after one that cost the connection the next
    call makes a new one."""

    def __init__(self, url: str, table: str) -> None:
        self._url = url
        self.name = TableName.parse(table)
        self._open: Connection[TupleRow] | None = None

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, where there is one."""
        connection, self._open = self._open, None
        if connection is not None:
            connection.close()

    def rows(self, jobs: Iterable[str]) -> dict[str, Row]:
        """The rows of these jobs, those that there are."""
        return {job_id: Row(*rest) for job_id, *rest in self._ask("rows", jobs=documents.strings(jobs))}

    def states(self, jobs: Iterable[str]) -> dict[str, RowState]:
        """As `rows`, as much of them as the rule asks."""
        return {job_id: RowState(*rest) for job_id, *rest in self._ask("states", jobs=documents.strings(jobs))}

    @contextmanager
    def held(self, jobs: Iterable[str]) -> Iterator[set[str]]:
        """Those of the jobs that have a row, which nobody can delete meanwhile."""
        with self._connection() as connection, connection.transaction():
            text = block("table.sql", "hold", self.name)
            found = connection.execute(text, {"jobs": documents.strings(jobs)}).fetchall()
            yield {job_id for (job_id,) in found}

    def differing(self, rows: Mapping[str, Row]) -> dict[str, Row | None]:
        """Of these jobs, those whose row in the table is another one, with that row; None for those without a row."""
        fields = zip(*rows.values(), strict=True)
        columns = {name: _document(values) for name, values in zip(Row._fields, fields, strict=True)}
        found = self._ask("differing", job_id=_document(list(rows)), **columns)
        return {job_id: Row(*row) if there else None for job_id, there, *row in found}

    def positions(self, limit: int) -> Iterator[RowPosition]:
        """The positions of all rows, and whether their time is `limit` (microseconds) or later.

        In one snapshot and little memory.
        """
        with self._connection() as connection, connection.transaction(), connection.cursor("positions") as cursor:
            cursor.itersize = AT_ONCE
            cursor.execute(block("table.sql", "positions", self.name), {"limit": limit})
            for row in cursor:
                yield RowPosition(*row)

    def progress(self) -> dict[str, int]:
        """The next offset of every log that the database knows."""
        return dict(self._ask("progress"))

    def set_progress(self, offsets: Mapping[str, int]) -> None:
        """Say that the database needs these offsets next, whatever it said before."""
        with self._connection() as connection:
            connection.execute(block("table.sql", "set_progress", self.name), {"logs": _logs(offsets)})

    def mend(self, rows: Sequence[RowRepair]) -> set[str]:
        """Set these rows; the jobs whose row stood where it was read."""
        return {job_id for (job_id,) in self._ask("repair", rows=_document([row._asdict() for row in rows]))}

    def _ask(self, name: str, **parameters: Any) -> list[TupleRow]:
        with self._connection() as connection:
            return connection.execute(block("table.sql", name, self.name), parameters).fetchall()

    @contextmanager
    def _connection(self) -> Iterator[Connection[TupleRow]]:
        if self._open is None or self._open.closed:
            self._open = connect(self._url, LIMITS)
        try:
            yield self._open
        except psycopg.Error as error:
            if self._open is not None and self._open.broken:
                self.close()
            if kind_of(error) is None:
                raise
            raise classify(error) from None  # the text of psycopg's error may hold values of the row


def _document(value: Any) -> JsonText:
    return JsonText(orjson.dumps(value))


def _logs(offsets: Mapping[str, int]) -> JsonText:
    return _document([{"l": log, "n": offset} for log, offset in offsets.items()])


def is_taken(connection: Connection[TupleRow], name: TableName) -> list[str]:
    """Which of the table and its progress table are there."""
    names: dict[str, str] = {
        "table": name.identifier.as_string(connection),
        "progress": name.progress.identifier.as_string(connection),
    }
    return [str(found) for (found,) in connection.execute(block("table.sql", "taken", name), names)]


def progress_document(offsets: Mapping[str, int]) -> JsonText:
    """The parameter of the block `set_progress`."""
    return _logs(offsets)
