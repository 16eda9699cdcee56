"""A new managed table, made and filled in one transaction: nobody sees it before it is whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from jobstatus_consumer.errors import StartError
from jobstatus_consumer.store import json_params
from jobstatus_consumer.store.admin import mark_statement, why_not_made
from jobstatus_consumer.store.layout import MANAGED, Row, managed_tables
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.session import connected
from jobstatus_consumer.store.table import LIMITS, set_progress

_COPIED: Final = [column.type.copied for column in MANAGED.of_row]


class NewTable:
    """The table while it is being filled; inside `new_table` only."""

    def __init__(self, connection: Connection[TupleRow], name: TableName) -> None:
        self._connection = connection
        self._name = name
        self._now = datetime.now(UTC)

    def copy(self, rows: Iterable[tuple[str, Row]]) -> int:
        """Put in these rows, each with its job, and return their number. May block for as long as that takes."""
        count = 0
        with self._connection.cursor() as cursor, cursor.copy(block("table.sql", "copy", self._name)) as copy:
            for job_id, row in rows:
                copy.write_row((job_id, *_copied(row), self._now))
                count += 1
        return count

    def take_over_purged(self, live: str) -> int:
        """Keep purged what was purged from the table `live`; returns how many rows are left out for that.

        Does nothing if there is no such table, or none of purged jobs beside it. May block while it reads them.
        """
        other = TableName.parse(live)
        names = [part.identifier.as_string(self._connection) for part in (other, other.purged)]
        if len(self._connection.execute(block("table.sql", "taken", other), {"names": names}).fetchall()) < len(names):
            return 0
        parts = {"other": other.identifier, "other_purged": other.purged.identifier}
        query = block("table.sql", "take_over_purged", self._name, parts=parts)
        ((count,),) = self._connection.execute(query, {"late_jobs": json_params.late_jobs(())})
        return int(count)

    def set_progress(self, offsets: Mapping[str, int]) -> None:
        """Set by log the next offset: a consumer that is given the new table goes on there."""
        set_progress(self._connection, self._name, offsets)


def refuse_taken(url: str, table: str) -> str:
    """Raise StartError if the name of the new table, or of a table beside it, is taken.

    Returns what else keeps the table from being made, with the remedy; an empty text if nothing does. That is no
    error here, because a plan needs no right to make the table.
    """
    name = TableName.parse(table)
    with connected(url, LIMITS, name) as (connection, place):
        _refuse_taken(connection, place)
        return why_not_made(connection, place, name)


@contextmanager
def new_table(url: str, table: str) -> Iterator[NewTable]:
    """Make the managed table and those beside it, to be filled in the block. After an error there is none of them."""
    name = TableName.parse(table)
    with connected(url, LIMITS, name) as (connection, place):
        with connection.transaction():
            # the transaction is idle while the log is read
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            _refuse_taken(connection, place)
            try:
                for part, layout in managed_tables(place):
                    connection.execute(block("schema.sql", "create", part, layout))
                connection.execute(mark_statement(place))
            except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
                raise StartError(f"{name} was made by another session just now; nothing was changed") from None
            yield NewTable(connection, place)
        connection.execute(block("table.sql", "analyze", place))


def _refuse_taken(connection: Connection[TupleRow], name: TableName) -> None:
    names = [part.identifier.as_string(connection) for part, _ in managed_tables(name)]
    taken = [str(found) for (found,) in connection.execute(block("table.sql", "taken", name), {"names": names})]
    if taken:
        raise StartError(f"{' and '.join(taken)}: there already. --into makes a new table; nothing was changed")


def _copied(row: Row) -> Iterator[Any]:
    return (
        value if copied is None or value is None else copied(value) for copied, value in zip(_COPIED, row, strict=True)
    )
