"""The managed tables: create them, check that all is in place, count rows. Each call has a connection of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from jobstatus_consumer.errors import DatabaseAwayError, StartError, StoreError
from jobstatus_consumer.store.connection import Limits, connect
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.sqlstate import classify

OLDEST_SERVER: Final = 13
REMEDY: Final = "Is JOBSTATUS_DATABASE_URL right (host, port, user, password, database), and the server up?"
LIMITS: Final = Limits(statement=60.0)
READS: Final = ("SELECT",)
WRITES: Final = ("SELECT", "INSERT", "UPDATE")
"""RETURNING and ON CONFLICT read, too."""

COLUMNS: Final = {
    "job_id": "text",
    "status": "text",
    "error_message": "text",
    "attempt": "integer",
    "worker_id": "text",
    "occurred_at": "timestamp with time zone",
    "event_id": "uuid",
    "latest_occurred_at": "timestamp with time zone",
    "log_id": "text",
    "log_offset": "bigint",
    "updated_at": "timestamp with time zone",
}
PROGRESS_COLUMNS: Final = {"log_id": "text", "next_offset": "bigint", "updated_at": "timestamp with time zone"}


class Problem(NamedTuple):
    """Something that stands in the way, and what to do about it; `may_pass` where it may go away by itself."""

    what: str
    remedy: str
    may_pass: bool = False


class _Column(NamedTuple):
    name: str
    type: str
    must_be_filled: bool
    is_key: bool


class _Part(NamedTuple):
    """One of the two tables: its name, what it must have, its key, and the block that creates it."""

    name: TableName
    columns: dict[str, str]
    key: str
    create: str


def _parts(table: TableName) -> tuple[_Part, _Part]:
    return (
        _Part(table, COLUMNS, "job_id", "table"),
        _Part(table.progress, PROGRESS_COLUMNS, "log_id", "progress_table"),
    )


def migrate(url: str, table: str, *, dry_run: bool = False) -> list[str]:
    """Create what is missing and return its SQL; nothing is altered. Raises StartError for a table that is not ours."""
    name = TableName.parse(table)
    done = []
    with _connected(url) as connection, connection.transaction(force_rollback=dry_run):
        _ask(connection, "lock", name)
        missing = []
        for part in _parts(name):
            if not _exists(connection, part.name):
                missing.append(part)
            elif differences := _differences(connection, part):
                raise StartError(
                    f"there is a table {part.name} that is not ours: {'; '.join(differences)}. "
                    "Nothing was changed. Choose another name with JOBSTATUS_TABLE"
                )
        for part in missing:
            create = block("schema.sql", part.create, name)
            connection.execute(create)
            done.append(create.as_string(connection))
    return done


def check(url: str, table: str, *, to_write: bool = True) -> list[Problem]:
    """Everything that would keep a consumer from writing, or others from reading, each with its remedy."""
    name = TableName.parse(table)
    try:
        with _connected(url) as connection:
            problems = list(_server_problems(connection, name, to_write=to_write))
            for part in _parts(name):
                problems += _table_problems(connection, part, WRITES if to_write else READS)
            return problems
    except StoreError as error:
        may_pass = isinstance(error, DatabaseAwayError)
        return [Problem(str(error).removesuffix(f". {REMEDY}"), REMEDY, may_pass)]


def rows_by_status(url: str, table: str) -> dict[str, int]:
    """How many rows the table has of each status; raises StartError where there is no table."""
    name = TableName.parse(table)
    with _connected(url) as connection:
        if not _exists(connection, name):
            raise StartError(f"there is no table {name}; make it: jobstatus migrate")
        return dict(_ask(connection, "rows_by_status", name))


@contextmanager
def _connected(url: str) -> Iterator[Connection[TupleRow]]:
    try:
        connection = connect(url, LIMITS)
    except DatabaseAwayError as error:
        raise DatabaseAwayError(f"no connection to the database: {error}. {REMEDY}") from None
    try:
        yield connection
    except psycopg.Error as error:
        raise classify(error) from error
    finally:
        connection.close()


def _ask(connection: Connection[TupleRow], name: str, table: TableName, **given: object) -> list[TupleRow]:
    quoted = table.identifier.as_string(connection)
    return connection.execute(block("admin.sql", name, table), {"table": quoted, **given}).fetchall()


def _exists(connection: Connection[TupleRow], table: TableName) -> bool:
    return bool(_ask(connection, "kind", table))


def _server_problems(connection: Connection[TupleRow], table: TableName, *, to_write: bool) -> Iterator[Problem]:
    ((number, version, standby, read_only, encoding, _),) = _ask(connection, "server", table)
    if number < OLDEST_SERVER * 10000:
        yield Problem(f"PostgreSQL {version} is too old", f"use PostgreSQL {OLDEST_SERVER} or newer")
    if standby:
        # whoever only reads would take for missing what has not come to the standby yet
        remedy = "connect to the primary (target_session_attrs=read-write)"
        yield Problem("the server is a read-only standby", remedy, may_pass=True)
    elif read_only and to_write:
        yield Problem(
            "default_transaction_read_only is on for this role or database",
            "ALTER ROLE or DATABASE ... RESET default_transaction_read_only",
            may_pass=True,
        )
    if encoding != "UTF8":
        yield Problem(
            f"the database's encoding is {encoding}: text outside of it goes to the dead letters",
            "use a database with encoding UTF8",
        )


def _table_problems(connection: Connection[TupleRow], part: _Part, needed: Sequence[str]) -> Iterator[Problem]:
    if not _exists(connection, part.name):
        yield Problem(f"there is no table {part.name}", "jobstatus migrate")
        return
    if differences := _differences(connection, part):
        yield Problem(f"the table {part.name} is not ours: {'; '.join(differences)}", "choose another JOBSTATUS_TABLE")
    missing = [privilege for (privilege,) in _ask(connection, "missing_privileges", part.name, needed=list(needed))]
    if missing:
        ((*_, role),) = _ask(connection, "server", part.name)
        yield Problem(
            f"the role {role} has no {', '.join(missing)} on {part.name}",
            sql.SQL("GRANT {} ON {} TO {}")
            .format(sql.SQL(", ").join(map(sql.SQL, missing)), part.name.identifier, sql.Identifier(role))
            .as_string(connection),
        )


def _differences(connection: Connection[TupleRow], part: _Part) -> list[str]:
    """What is not as `migrate` makes it and matters; a column that somebody added matters where it must be filled."""
    found = {row[0]: _Column(*row) for row in _ask(connection, "columns", part.name)}
    if not found:
        return ["it is not a table"]
    differences = []
    for name, wanted in part.columns.items():
        column = found.get(name)
        if column is None:
            differences.append(f"column {name} is missing")
        elif not _fits(column.type, wanted):
            differences.append(f"column {name} is {column.type}, not {wanted}")
    differences += [
        f"column {column.name} must be filled, and nothing of ours fills it"
        for column in found.values()
        if column.must_be_filled and column.name not in part.columns
    ]
    if part.key in found and not found[part.key].is_key:
        differences.append(f"{part.key} is neither its primary key nor unique")
    return differences


def _fits(found: str, wanted: str) -> bool:
    """Somebody may have put a limit on a text column: what is too long for it is a bad row, not another table."""
    return found == wanted or (wanted == "text" and found.startswith("character varying"))
