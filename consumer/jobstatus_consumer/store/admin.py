"""The managed tables: create them, check them, count rows. Each call opens and closes a connection."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from threading import Event
from typing import Final, NamedTuple

from psycopg import Connection, sql
from psycopg.rows import TupleRow

from jobstatus_consumer.errors import (
    DatabaseAwayError,
    DeploymentError,
    PoolerError,
    SettingsError,
    StartError,
    StoreError,
    TargetError,
)
from jobstatus_consumer.retry import retry
from jobstatus_consumer.store.blocking import oldest_reader
from jobstatus_consumer.store.connection import Limits, is_pooled
from jobstatus_consumer.store.grants import granted, usage_grant
from jobstatus_consumer.store.layout import AUDIT, Column, TableLayout, made_tables, managed_tables
from jobstatus_consumer.store.mark import mark_in, own_mark
from jobstatus_consumer.store.names import TableName
from jobstatus_consumer.store.privileges import PURGES, READS, WRITES
from jobstatus_consumer.store.problem import Problem
from jobstatus_consumer.store.purging import NEEDS_A_SESSION
from jobstatus_consumer.store.queries import block
from jobstatus_consumer.store.session import Session
from jobstatus_consumer.store.sqlstate import DEADLOCK, LOCK_TIME_OUT
from jobstatus_consumer.store.target import Target
from jobstatus_consumer.store.target_catalog import CORRECT_THE_FILE, refuse_same
from jobstatus_consumer.store.target_check import target_problems

OLDEST_SERVER: Final = 13
REMEDY: Final = "Is JOBSTATUS_DATABASE_URL right (host, port, user, password, database), and the server up?"
LIMITS: Final = Limits(statement=60.0)
LOCK_WAIT: Final = b"SET LOCAL lock_timeout = '500ms'"
"""Every write of a consumer waits behind a change of a table that waits for its lock."""
LONGER_WAIT: Final = b"SET LOCAL lock_timeout = '1500ms'"
"""The server ends an autovacuum that others wait for, but only after its `deadlock_timeout`, which is 1 s."""
LONGER_EVERY: Final = 4
"""One try in so many waits longer."""
NOT_FREE: Final = (LOCK_TIME_OUT, DEADLOCK)
"""The lock was not free in time; a try that waits longer may also be the one that ends a deadlock."""
PATIENCE: Final = 60.0
"""Seconds for which `migrate` tries to get its locks."""
POLICY_COMMANDS: Final = {"SELECT": "r", "INSERT": "a", "UPDATE": "w", "DELETE": "d"}
"""RETURNING and ON CONFLICT read, too."""


class _Found(NamedTuple):
    """A column that a table has."""

    name: str
    type: str
    must_be_filled: bool
    is_key: bool


def migrate(
    url: str, table: str, *, target: Target | None = None, dry_run: bool = False, patience: float = PATIENCE
) -> list[str]:
    """Create the tables that are missing, add the columns that an earlier version did not have, and return the SQL.

    Nothing else is altered, a target neither; with one, the table of waiting jobs is made too. All of it is one
    transaction. With `dry_run` nothing is changed at all, and no table is locked.
    A change waits for its lock for half a second at most, lets the writes go on, and tries again. Every fourth try
    waits 1.5 s, after which the server has ended an autovacuum that was in the way. Blocks for `patience` seconds
    and some more. Raises StartError for a table that is not ours, for one of a later version that
    this program cannot use, and for a lock that did not become free; TargetError, and StoreError's kinds.
    """
    name = TableName.parse(table)
    if target is not None:
        with session_at(url, name) as (session, place):
            refuse_same(session, target, place)
    waits = cycle((*[LOCK_WAIT] * (LONGER_EVERY - 1), LONGER_WAIT))
    try:
        return retry(
            lambda: _migrate(url, name, next(waits), dry_run=dry_run, with_waiting=target is not None),
            retry_on=lambda error: isinstance(error, StoreError) and error.sqlstate in NOT_FREE,
            stop=Event(),
            deadline=time.monotonic() + patience,
        )
    except StoreError as error:
        if error.sqlstate not in NOT_FREE:
            raise
        raise StartError(_not_free(url, name, patience)) from None


def _migrate(url: str, name: TableName, lock_wait: bytes, *, dry_run: bool, with_waiting: bool) -> list[str]:
    """One try of `migrate`."""
    with _connected(url, name) as (connection, place), connection.transaction():
        _refuse_closed_schema(connection, place)
        _ask(connection, "lock", place)
        if problem := _version_problem(connection, place):
            raise StartError(f"{problem.what} ({problem.remedy}). Nothing was changed")
        changes = _changes(connection, place, name, with_waiting=with_waiting)
        connection.execute(lock_wait)
        for change in () if dry_run else changes:
            connection.execute(change)
        return [change.as_string(connection) for change in changes]


def _changes(
    connection: Connection[TupleRow], place: TableName, shown: TableName, *, with_waiting: bool
) -> list[sql.Composed]:
    """The statements that are needed: they alter tables in the order in which a write locks them, then make tables."""
    missing, changes = [], []
    for part, layout in made_tables(place, with_waiting=with_waiting):
        if not _exists(connection, part):
            _refuse_to_make(connection, part)
            missing.append((part, layout))
        elif differences := _differences(connection, part, layout):
            if layout is AUDIT:
                continue  # a table of the user's own may have this name; `remarks` says what that means
            raise StartError(
                f"there is a table {part.within(shown.schema)} that is not ours: {'; '.join(differences)}. "
                "Nothing was changed. Choose another name with JOBSTATUS_TABLE"
            )
        elif additions := _additions(connection, part, layout):
            changes.append(block("schema.sql", "add_columns", part, TableLayout(additions)))
    changes += [block("schema.sql", "create", part, layout) for part, layout in missing]
    if _lacks_mark(connection, place):
        changes.append(mark_statement(place))
    return changes


def mark_statement(place: TableName) -> sql.Composed:
    """The statement that notes which version has shaped the tables."""
    return block("schema.sql", "mark", place, parts={"mark": sql.Literal(str(own_mark()))})


def _not_free(url: str, name: TableName, patience: float) -> str:
    """Why `migrate` got no lock, with the session that has it where that is known."""
    with _connected(url, name) as (connection, place):
        holder = oldest_reader(connection, place)
    by = f"; the oldest transaction on it is of {holder.who}" if holder else ""
    return (
        f"{name}: no lock in {patience:g} s{by}. Nothing was changed. "
        "Wait for that transaction, or end it; then: jobstatus migrate"
    )


def _version_problem(connection: Connection[TupleRow], place: TableName) -> Problem | None:
    """That the tables are of a later version that this program cannot use."""
    mark = mark_in(_comment(connection, place)[0])
    return mark.problem if mark else None


def _lacks_mark(connection: Connection[TupleRow], place: TableName) -> bool:
    """Whether the mark is missing or older, and this role may write it. A comment of the user's own stays."""
    comment, may_write = _comment(connection, place)
    mark = mark_in(comment)
    return may_write and (mark.is_older if mark else comment is None)


def _comment(connection: Connection[TupleRow], place: TableName) -> tuple[str | None, bool]:
    """The comment on the progress table, and whether this role may write it; a table that is not there has none."""
    found = _ask(connection, "comment", place.progress)
    return (found[0][0], found[0][1]) if found else (None, True)


def check(url: str, table: str, *, target: Target | None = None, to_write: bool = True) -> list[Problem]:
    """Everything that would keep a consumer from writing, each with its remedy; raises only MalformedUrlError.

    With `to_write=False`: everything that would keep a command from reading the tables.
    """
    return _check(url, table, WRITES if to_write else READS, target)


def check_purge(url: str, table: str) -> list[Problem]:
    """Everything that would keep `purge` from working, each with its remedy; raises only MalformedUrlError."""
    if is_pooled(url):
        return [NEEDS_A_SESSION]
    return _check(url, table, PURGES)


def _check(url: str, table: str, privileges: Sequence[Sequence[str]], target: Target | None = None) -> list[Problem]:
    name = TableName.parse(table)
    try:
        with _connected(url, name) as (connection, place):
            problems = list(_server_problems(connection, place, to_write=privileges is not READS))
            if closed := closed_schema(connection, place):
                return [*problems, closed]
            if target is not None and (same := _same_table(url, name, target)):
                return [*problems, same]
            if later := _version_problem(connection, place):
                return [*problems, later]
            with_waiting = target is not None or (privileges is PURGES and _exists(connection, place.waiting))
            tables = managed_tables(place, with_waiting=with_waiting)
            for (part, layout), needed in zip(tables, privileges, strict=False):
                problems += _table_problems(connection, part, part.within(name.schema), layout, needed)
        if target is not None and privileges is WRITES and not problems:
            problems += target_problems(url, table, target)
        return problems
    except SettingsError:
        raise
    except PoolerError as error:
        return [Problem(error.what, error.remedy)]
    except StoreError as error:
        may_pass = isinstance(error, DatabaseAwayError)
        return [Problem(str(error).removesuffix(f". {REMEDY}"), REMEDY, may_pass)]


def _same_table(url: str, name: TableName, target: Target) -> Problem | None:
    """That the target is the managed table or one beside it: then no other problem of that table is worth a line."""
    with session_at(url, name) as (session, place):
        try:
            refuse_same(session, target, place)
        except TargetError as error:
            return Problem(error.what, error.remedy) if error.remedy != CORRECT_THE_FILE else None
        except DeploymentError:
            return None  # `target_problems` names what keeps the table from being looked at
    return None


def remarks(url: str, table: str) -> list[Problem]:
    """What is unusual and keeps no consumer from working; none where the database does not answer."""
    name = TableName.parse(table)
    try:
        with _connected(url, name) as (connection, place):
            return list(_remarks(connection, place, name))
    except StoreError:
        return []  # `check` names it


def _remarks(connection: Connection[TupleRow], place: TableName, shown: TableName) -> Iterator[Problem]:
    for (trigger,) in _ask(connection, "triggers", place):
        yield Problem(
            f"the trigger {trigger} runs before each row of {shown}",
            "a row that it leaves out (RETURN NULL), or that it changes itself (27000), becomes a dead letter",
        )
    mark = mark_in(_comment(connection, place)[0])
    if mark and mark.remark:
        yield mark.remark
    if trouble := audit_trouble(connection, place, shown):
        yield Problem(
            f"what operators change is not noted: {trouble}", "rename a table in its place; jobstatus migrate"
        )
    ((commits,),) = _ask(connection, "commits", place)
    if commits == "remote_apply":
        yield Problem(
            "synchronous_commit is remote_apply",
            "jobstatus keeps it: each batch waits until a standby has applied it",
        )


def audit_trouble(connection: Connection[TupleRow], place: TableName, shown: TableName) -> str:
    """Why nothing can be noted in the audit log; empty if it can. Rights are not looked at."""
    if not _exists(connection, place.audit):
        return f"there is no table {shown.audit}"
    return f"the table {shown.audit} is not ours" if _differences(connection, place.audit, AUDIT) else ""


@contextmanager
def session_at(url: str, name: TableName, limits: Limits = LIMITS) -> Iterator[tuple[Session, TableName]]:
    """A session for the block, and the table's name with its schema. What keeps it from the server has a remedy."""
    with Session(url, limits) as session:
        try:
            session.connect()
        except DatabaseAwayError as error:
            raise DatabaseAwayError(f"no connection to the database: {error}. {REMEDY}") from None
        yield session, session.located(name)


@contextmanager
def _connected(url: str, name: TableName) -> Iterator[tuple[Connection[TupleRow], TableName]]:
    """The connection of such a session for the block, and the table's name with its schema."""
    with session_at(url, name) as (session, place), session.use() as connection:
        yield connection, place


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
        # reading a standby is wrong too: what has not been replicated yet would be taken for missing
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
            f"the database's encoding is {encoding}: events with text outside of it go to the dead letters",
            "use a database with encoding UTF8",
        )


def closed_schema(connection: Connection[TupleRow], name: TableName) -> Problem | None:
    """The schema that this role may not use, and in which the table may be: the server hides what is there.

    Where a new table would go to another schema, it may as well be that no table was made yet.
    """
    for schema, role, elsewhere in _ask(connection, "closed_schemas", name, schema=name.schema):
        grant = usage_grant(schema, role)
        if elsewhere is None:
            return Problem(f"the role {role} may not use the schema {schema}", grant)
        what = f"there is no table {name.name} in a schema that the role {role} may use"
        return Problem(what, f"jobstatus migrate; or, if it is in the schema {schema}: {grant}")
    return None


def _refuse_closed_schema(connection: Connection[TupleRow], name: TableName) -> None:
    """Raise StartError if the table may be in a closed schema, and this role may not make it in another one."""
    for schema, role, elsewhere in _ask(connection, "closed_schemas", name, schema=name.schema):
        if elsewhere is None or why_not_made(connection, name, name):
            grant = usage_grant(schema, role)
            raise StartError(f"the role {role} may not use the schema {schema} ({grant}). Nothing was changed")


def _refuse_to_make(connection: Connection[TupleRow], name: TableName) -> None:
    """Raise StartError if this role may not make the table."""
    if trouble := why_not_made(connection, name, name):
        raise StartError(f"{trouble}. Nothing was changed")


def why_not_made(connection: Connection[TupleRow], place: TableName, shown: TableName) -> str:
    """What keeps this role from making the table, with the remedy; an empty text if nothing does."""
    ((schema, there, allowed, role, remedy),) = _ask(connection, "may_make", place, schema=place.schema)
    if not there:
        return f"there is no schema {schema or 'in the search_path'} to make {shown} in ({remedy})"
    return "" if allowed else f"the role {role} may not make tables in the schema {schema} ({remedy})"


def lacking(
    connection: Connection[TupleRow], name: TableName, shown: TableName, needed: Sequence[str]
) -> Problem | None:
    """The privileges on the table that this role has not, with the GRANT."""
    missing = [privilege for (privilege,) in _ask(connection, "missing_privileges", name, needed=list(needed))]
    if not missing:
        return None
    ((*_, role),) = _ask(connection, "server", name)
    what = f"the role {role} has no {', '.join(missing)} on {shown}"
    return Problem(what, granted(", ".join(missing), [shown], role))


def _table_problems(
    connection: Connection[TupleRow],
    name: TableName,
    shown: TableName,
    layout: TableLayout,
    needed: Sequence[str],
) -> Iterator[Problem]:
    if not _exists(connection, name):
        yield Problem(f"there is no table {shown}", "jobstatus migrate")
        return
    if differences := _differences(connection, name, layout):
        yield Problem(f"the table {shown} is not ours: {'; '.join(differences)}", "choose another JOBSTATUS_TABLE")
    elif additions := _additions(connection, name, layout):
        added = ", ".join(column.name for column in additions)
        yield Problem(f"the table {shown} is of an earlier version, and lacks {added}", "jobstatus migrate")
    ((*_, role),) = _ask(connection, "server", name)
    if missing := lacking(connection, name, shown, needed):
        yield missing
    commands = [POLICY_COMMANDS[privilege] for privilege in needed]
    if _ask(connection, "hides_rows", name, commands=commands) == [(True,)]:
        yield Problem(
            f"row-level security may hide rows of {shown} from the role {role}",
            sql.SQL("ALTER ROLE {role} BYPASSRLS, or CREATE POLICY {role} ON {table} TO {role} USING (true)")
            .format(role=sql.Identifier(role), table=shown.identifier)
            .as_string(connection),
        )


def _additions(connection: Connection[TupleRow], name: TableName, layout: TableLayout) -> tuple[Column, ...]:
    """The columns that the table lacks because an earlier version made it."""
    found = {row[0] for row in _ask(connection, "columns", name)}
    return tuple(column for column in layout.columns if column.added and column.name not in found)


def _differences(connection: Connection[TupleRow], name: TableName, layout: TableLayout) -> list[str]:
    """Where the table differs from what `migrate` makes, and that breaks a statement of ours.

    A column that its owner has added breaks one only if it must be filled.
    """
    found = {row[0]: _Found(*row) for row in _ask(connection, "columns", name)}
    if not found:
        return ["it is not a table"]
    differences = []
    wanted_types, added = layout.catalog_types, {column.name for column in layout.columns if column.added}
    for wanted, type_ in wanted_types.items():
        column = found.get(wanted)
        if column is None and wanted in added:
            continue
        if column is None:
            differences.append(f"column {wanted} is missing")
        elif not _fits(column.type, type_):
            differences.append(f"column {wanted} is {column.type}, not {type_}")
    differences += [
        f"column {column.name} must be filled, and jobstatus does not fill it"
        for column in found.values()
        if column.must_be_filled and column.name not in wanted_types
    ]
    if layout.key in found and not found[layout.key].is_key:
        differences.append(f"{layout.key} is neither its primary key nor unique")
    return differences


def _fits(found: str, wanted: str) -> bool:
    """An owner may limit a text column: the table is still ours, and an event that is too long is a bad row."""
    return found == wanted or (wanted == "text" and found.startswith("character varying"))
