"""A new managed table, made and filled in one transaction: until it is whole nobody sees it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from jobstatus_consumer.errors import StartError
from jobstatus_consumer.store.connection import connect
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.reader import LIMITS, is_taken, progress_document
from jobstatus_consumer.store.sqlstate import classify, kind_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NewRow(NamedTuple):
    """A row to be copied, in the order of the table's columns; times in microseconds."""

    job_id: str
    status: str
    error_message: str | None
    attempt: int | None
    worker_id: str | None
    occurred_at: int
    event_id: str
    latest: int
    log_id: str
    log_offset: int


class NewTable:
    """The table while it is being filled; inside `new_table` only."""

    def __init__(self, connection: Connection[TupleRow], name: TableName) -> None:
        self._connection = connection
        self._name = name
        self._now = datetime.now(UTC)

    def copy(self, rows: Iterable[NewRow]) -> int:
        """Put these rows in; the number of them."""
        count = 0
        with self._connection.cursor() as cursor, cursor.copy(block("table.sql", "copy", self._name)) as copy:
            for row in rows:
                occurred_at = _time(row.occurred_at)
                latest = occurred_at if row.latest == row.occurred_at else _time(row.latest)
                copy.write_row((*row[:5], occurred_at, row.event_id, latest, *row[8:], self._now))
                count += 1
        return count

    def set_progress(self, offsets: Mapping[str, int]) -> None:
        """Say how far the new table knows each log: a consumer that is given this table goes on there."""
        self._connection.execute(block("table.sql", "set_progress", self._name), {"logs": progress_document(offsets)})


def refuse_taken(url: str, table: str) -> str:
    """Raise `StartError` where the new table's name, or that of its progress table, is taken.

    Returns what else keeps it from being made, with the remedy: who only plans needs no right to make it.
    """
    name = TableName.parse(table)
    with _connected(url) as connection:
        _refuse_taken(connection, name)
        query = block("table.sql", "may_make", name)
        ((schema, there, allowed, role, remedy),) = connection.execute(query, {"schema": name.schema})
    if not there:
        return f"there is no schema {schema or 'in the search_path'} to make {name} in ({remedy})"
    return "" if allowed else f"the role {role} may not make tables in the schema {schema} ({remedy})"


@contextmanager
def new_table(url: str, table: str) -> Iterator[NewTable]:
    """Make the managed table and its progress table, to be filled; all of it or, after an error, nothing is there."""
    name = TableName.parse(table)
    with _connected(url) as connection:
        with connection.transaction():
            # between two passes over the log this transaction has nothing to do
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            _refuse_taken(connection, name)
            try:
                for part in ("table", "progress_table"):
                    connection.execute(block("schema.sql", part, name))
            except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
                raise StartError(f"{name} was made by somebody else just now; nothing was changed") from None
            yield NewTable(connection, name)
        connection.execute(block("table.sql", "analyze", name))


def _refuse_taken(connection: Connection[TupleRow], name: TableName) -> None:
    taken = is_taken(connection, name)
    if taken:
        raise StartError(f"{' and '.join(taken)}: there already. --into makes a new table; nothing was changed")


@contextmanager
def _connected(url: str) -> Iterator[Connection[TupleRow]]:
    connection = connect(url, LIMITS)
    try:
        yield connection
    except psycopg.Error as error:
        if kind_of(error) is None:
            raise
        raise classify(error) from None
    finally:
        connection.close()


def _time(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
