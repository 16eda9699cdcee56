"""How a connection to PostgreSQL is opened: every wait on it has a limit, and no error repeats the password."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import psycopg
from jobstatus_schemas.database_url import MALFORMED, POOLED_SCHEME, is_misread, own_parameters, read_url
from jobstatus_schemas.masking import remember
from psycopg import Connection, IsolationLevel
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from jobstatus_consumer.errors import DatabaseAwayError, MalformedUrlError
from jobstatus_consumer.store import json_params
from jobstatus_consumer.store.pooling import refuse_transaction_mode
from jobstatus_consumer.store.sqlstate import classify


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each wait may take, in seconds. A connection whose packets vanish is given up after `deaf`."""

    connect: float = 5.0
    statement: float = 10.0
    lock: float = 5.0
    deaf: float = 15.0


DEFAULT_LIMITS: Final = Limits()


# Set after connecting and not as start-up options, which poolers refuse. The statement is parsed under the user's
# search_path, so every name in it is qualified.
# search_path: with a schema in it, a role that may create there can have an operator of its own run by our statements.
# `Session.located` adds the schemas that are safe. A pooler may hand over a session that we have set, so the user's
# path is the one that the session began with.
# synchronous_commit: an offset is committed once this session has confirmed the write, so the write must be durable;
# remote_apply is more than that, and stays.
# read committed: the guard must see what another writer has just written, and not fail because of it.
_SETTINGS: Final = (
    b" pg_catalog.set_config('search_path', %(path)s, %(local)s),"
    b" pg_catalog.set_config('synchronous_commit',"
    b" CASE WHEN pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'remote_apply'"
    b" THEN 'remote_apply' ELSE 'on' END, %(local)s),"
    b" pg_catalog.set_config('default_transaction_isolation', 'read committed', %(local)s),"
    b" pg_catalog.set_config('statement_timeout', %(statement)s, %(local)s),"
    b" pg_catalog.set_config('lock_timeout', %(lock)s, %(local)s)"
)
SESSION: Final = (
    b"SELECT pg_catalog.set_config('search_path', (SELECT s.reset_val FROM pg_catalog.pg_settings AS s"
    b" WHERE s.name OPERATOR(pg_catalog.=) 'search_path'), %(local)s),"
    b" pg_catalog.current_schemas(false)," + _SETTINGS
)
TRANSACTION: Final = b"SELECT" + _SETTINGS
"""What each transaction begins with behind a pooler in transaction mode: the next one may be in another session.

Everything is set for the transaction alone, because other programs use the same sessions.
"""
SAFE_PATH: Final = "pg_catalog, pg_temp"


def session_parameters(limits: Limits, path: str = SAFE_PATH, *, local: bool = False) -> dict[str, str | bool]:
    """The parameters of `SESSION` and `TRANSACTION`; `local` sets everything for the running transaction alone."""
    times = {"statement": f"{round(limits.statement * 1000)}ms", "lock": f"{round(limits.lock * 1000)}ms"}
    return {**times, "path": path, "local": local}


def is_pooled(url: str) -> bool:
    """Whether each transaction may be in another session of the server."""
    return url.startswith(POOLED_SCHEME)


def open_connection(url: str, limits: Limits) -> Connection[TupleRow]:
    """Connect, without our session settings. May block for `limits.connect` seconds.

    A URL that is in a file is read from there, each time. Raises DatabaseAwayError if the server cannot be reached or
    refuses, or if that file cannot be read now, MalformedUrlError, and PoolerError if a pooler gives each transaction
    another session and the settings do not say so.
    """
    secret = ""
    pooled = is_pooled(url)
    try:
        url = _current(url)
        given = conninfo_to_dict(url)
        if is_misread(given):
            raise MalformedUrlError(MALFORMED)
        secret = str(given.get("password") or "")
        remember([secret])
        ours = own_parameters(given, application="jobstatus", connect=limits.connect, deaf=limits.deaf)
        conninfo = make_conninfo(url, **ours)
        connection = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None if pooled else 0)
        connection.isolation_level = IsolationLevel.READ_COMMITTED
        if not pooled:
            refuse_transaction_mode(connection, conninfo)
    except psycopg.ProgrammingError:
        # libpq's message repeats the URL, and in a malformed URL the password may be anywhere
        raise MalformedUrlError(MALFORMED) from None
    except psycopg.Error as error:
        raise classify(error, secret) from None
    json_params.register(connection)
    return connection


def open_read_only(url: str, limits: Limits) -> Connection[TupleRow]:
    """As `open_connection`, for a session in which the server refuses every write."""
    connection = open_connection(url, limits)
    try:
        connection.execute(b"SET default_transaction_read_only = on")
    except psycopg.Error as error:
        connection.close()
        raise classify(error) from None
    return connection


def _current(url: str) -> str:
    try:
        return read_url(url)
    except ValueError as error:
        # it may be being replaced just now
        raise DatabaseAwayError(f"JOBSTATUS_DATABASE_URL_FILE: {error}") from None
